"""Functions of the emitted text that fit a tile into the storage of its tensor, written in Triton."""

PACKING = """
def _keep_sign(x, least, most):  # rounding to fewer digits then leaves no number 0 or infinite that is not
    a = tl.minimum(tl.maximum(tl.abs(x), least), most)
    return tl.where(x > 0.0, a, tl.where(x < 0.0, -a, x))

def _pack(z, inside):  # words of 32 neighbours of a row, the first in the lowest bit
    bits = tl.where(inside, z, 0.0).to(tl.int32)
    bits = tl.reshape(bits, (inside.shape[0], inside.shape[1] // 32, 32)) << tl.arange(0, 32)[None, None, :]
    return tl.sum(bits, 2)
"""
