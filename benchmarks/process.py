"""The caller's side of a worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.works import Arrays

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = {  # module in benchmarks/peers -> environment under .peers; None is the one that runs the suite
    "torch_eager": None,
    "torch_compile": None,
    "torch_online": None,
    "jax_scan": "jax",
    "brain_trace": "jax",
    "snntorch": "snn",
    "norse": "snn",
    "spikingjelly": "snn",
    "brian": "brian",
    "brian_cython": "brian",
}


def find_python(peer: str) -> Path | None:
    """Return the interpreter of a peer's environment, or None where it is not installed."""
    environment = ENVIRONMENTS[peer]
    if environment is None:
        return Path(sys.executable)
    python = ROOT / ".peers" / environment / "bin" / "python"
    return python if python.exists() else None


class Worker:
    """One peer on one work, alive between rounds of timing."""

    def __init__(self, peer: str, folder: Path) -> None:
        """Start the peer on the work in `folder`; `ready` waits for its first run."""
        python = find_python(peer)
        if python is None:
            raise FileNotFoundError(f"peer {peer} is not installed: make peers")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.name, self.folder, self.versions = peer, folder, dict[str, str]()
        self.log = (folder / f"{peer}.log").open("w")
        self.process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{peer}", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=folder, env=environment,
        )  # fmt: skip

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"peer {self.name} ended: {Path(self.log.name).read_text()[-2000:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._read()

    def ready(self) -> float:
        """Wait for the first run; return its seconds, compilation included."""
        reply = self._read()
        self.versions = dict(reply["versions"])
        return float(reply["first_s"])

    def check(self, weight: NDArray[Any]) -> Arrays:
        """Return the peer's spikes, and its gradients of a loss that weighs the samples by `weight` (B,)."""
        path = self.folder / f"{self.name}.npz"
        np.savez(path, weight=weight)
        self._ask(f"check {path}")
        with np.load(path) as file:
            return {name: file[name] for name in file.files}

    def time(self, runs: int) -> list[float]:
        """Return the milliseconds of `runs` runs."""
        return [float(ms) for ms in self._ask(f"time {runs}")["ms"]]

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.log.close()
