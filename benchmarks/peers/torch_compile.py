"""Peer: the same loop under torch.compile, unrolled over the steps."""

import torch

from benchmarks.peers.torch_cells import make_setups
from benchmarks.peers.worker import serve

if __name__ == "__main__":
    serve(make_setups(lambda forward: torch.compile(forward, fullgraph=True, dynamic=False)))
