"""c5: c2 with a delay per synapse, 1 to 25 steps, in the recurrence."""

from benchmarks.layers import set_up
from benchmarks.works import C5

WORK = C5
PEERS = ("torch_eager", "jax_scan")
set_up_ours = set_up
