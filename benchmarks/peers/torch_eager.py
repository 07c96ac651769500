"""Peer: eager PyTorch."""

from benchmarks.peers import torch_delays
from benchmarks.peers.torch_cells import make_setups
from benchmarks.peers.worker import serve

if __name__ == "__main__":
    serve({**make_setups(lambda forward: forward), "c5": torch_delays.set_up})
