"""c1: forward and backward of a feed-forward CuBa-LIF layer; the floor is memory."""

from benchmarks.layers import set_up
from benchmarks.works import C1

WORK = C1
PEERS = ("torch_eager", "torch_compile", "jax_scan")
set_up_ours = set_up
