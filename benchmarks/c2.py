"""c2: forward and backward of a recurrent CuBa-LIF layer, with the gradient of its weights."""

from benchmarks.layers import set_up
from benchmarks.works import C2

WORK = C2
PEERS = ("torch_eager", "torch_compile", "jax_scan", "snntorch", "norse", "spikingjelly")
SPIKING_LIBRARIES = ("snntorch", "norse", "spikingjelly")
set_up_ours = set_up
