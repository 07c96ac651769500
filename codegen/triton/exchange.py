"""Functions of the emitted text by which programs hear of each other and multiply what they hear, written in Triton."""

# The interpreter multiplies the raw bits of narrow types, so there a factor is rounded and stays a float32.
EXCHANGE = '''
def _bfloat16(x, device: tl.constexpr):
    return x.to(tl.bfloat16) if device else x.to(tl.bfloat16).to(tl.float32)

def _float16(x, device: tl.constexpr):
    return x.to(tl.float16) if device else x.to(tl.float16).to(tl.float32)

def _slice(pointer, first, rows, i, inside, down, across, height: tl.constexpr):
    """Rows from `first` on of the columns i of a matrix, 0 beyond its last row and column."""
    r = first + tl.arange(0, height)[:, None]
    return tl.load(pointer + r * down + i * across, (r < rows) & inside, 0.0)

def _rows_by_warp(w, warps: tl.constexpr):
    """The rows of w, in as many shares as there are warps: (warps, rows, columns)."""
    return tl.reshape(w, (warps, w.shape[0] // warps, w.shape[1]))

def _pairs(p):
    """The sum of both halves of p; tl.sum would leave all of it to every warp."""
    halves = tl.reshape(p, (2, p.shape[0] // 2, p.shape[1], p.shape[2]))
    first, second = tl.split(tl.permute(halves, (1, 2, 3, 0)))
    return first + second

def _added2(p):
    return tl.reshape(_pairs(p), (p.shape[1], p.shape[2]))

def _added4(p):
    return _added2(_pairs(p))

def _added8(p):
    return _added4(_pairs(p))

def _heard(pointer, first, size, inside, width: tl.constexpr):
    """What the neurons from `first` on have published in the rows at `pointer`, 0 beyond the last."""
    i = first + tl.arange(0, width)[None, :]
    return tl.load(pointer + i, inside & (i < size), 0, cache_modifier=".cg")

def _heard_by_warp(pointer, first, size, inside, width: tl.constexpr, warps: tl.constexpr):
    """What the neurons from `first` on have published, in as many shares as there are warps: (warps, rows, columns)."""
    share: tl.constexpr = width // warps
    i = first + tl.arange(0, warps)[:, None, None] * share + tl.arange(0, share)[None, None, :]
    return tl.load(pointer[None, :, :] + i, inside[None, :, :] & (i < size), 0, cache_modifier=".cg")

def _arrive(count):
    """Say that this program has published; all of a batch tile together add 2**31 to `count` and turn its sign."""
    tl.debug_barrier()
    first = 2147483647 - (tl.num_programs(1) - 2)
    return tl.atomic_add(count, tl.where(tl.program_id(1) == 0, first, 1), sem="release")

def _wait(count, old, device: tl.constexpr):
    """Wait until all have: until the sign of `count` is no longer the one found on arrival."""
    now = tl.atomic_add(count, 0, sem="acquire")
    spins = 0
    while ((now ^ old) >= 0) & (spins < 50000000):
        now = tl.atomic_add(count, 0, sem="acquire")
        spins += 1
    if spins == 50000000:  # a program is lost: an error, not a wait for ever
        if device == 1:
            tl.inline_asm_elementwise("trap; mov.b32 $0, $1;", "=r,r", [now], tl.int32, False, 1)
        if device == 2:
            tl.inline_asm_elementwise("s_trap 2\\nv_mov_b32 $0, $1", "=v,v", [now], tl.int32, False, 1)
    tl.debug_barrier()
'''
