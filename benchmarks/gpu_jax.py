"""JAX as a peer of the GPU suite: one process for all works, so that it starts and takes the device's memory once.

``python -m benchmarks.gpu_jax`` is the process. A line asks, a line answers: ``set ID FOLDER`` builds the work in
FOLDER and runs it, ``check PATH`` writes results as .npz, ``time N`` runs it N times.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_cells import CELLS
from benchmarks.works import Arrays, Work, load, save

ROOT = Path(__file__).resolve().parent.parent
DRIVE, WEIGHT = 1 / 16, 1 / 1024  # the grids of g2
Setup = tuple[Callable[[], Any], Callable[[Any], Arrays]]


class Jax:
    """The caller's side."""

    def __init__(self) -> None:
        """Start the process; it needs some seconds, which nobody waits for yet."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self._scratch = tempfile.TemporaryDirectory()
        self._log = (Path(self._scratch.name) / "log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu_jax"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip

    def _ask(self, line: str, seconds: float = 60.0) -> dict[str, Any]:
        """Return the answer; a process that gives none in time is ended, and asked nothing again."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise RuntimeError(f"the JAX process ended: {self._told()}") from error
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self._process.kill()
            raise RuntimeError(f"the JAX process gave no answer in {seconds:.0f} s")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the JAX process ended: {self._told()}")
        reply: dict[str, Any] = json.loads(answer)
        if "failed" in reply:
            raise RuntimeError(reply["failed"])
        return reply

    def _told(self) -> str:
        return Path(self._log.name).read_text()[-500:].replace("\n", " ")

    def set_up(self, kind: str, work: Work, arrays: Arrays) -> float:
        """Build a work and run it once; return the seconds of that run, compilation included."""
        folder = Path(self._scratch.name) / "work"
        save(work, arrays, folder)
        return round(float(self._ask(f"set {kind} {folder}", 90.0)["first_s"]), 2)

    def check(self) -> Arrays:
        """Return what the work computes."""
        path = Path(self._scratch.name) / "results.npz"
        self._ask(f"check {path}")
        with np.load(path) as file:
            return {name: file[name] for name in file.files}

    def time(self, runs: int) -> list[float]:
        """Return the milliseconds of `runs` runs."""
        return [float(ms) for ms in self._ask(f"time {runs}")["ms"]]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()
        self._scratch.cleanup()


def installed() -> bool:
    """Return whether JAX can be imported; whether it sees a GPU its process finds out."""
    return importlib.util.find_spec("jax") is not None


def set_up_recurrent(work: Work, arrays: Arrays) -> Setup:
    """Return g2: forward and backward of the recurrent layer, jitted together; products in tf32."""
    import jax
    import jax.numpy as jnp

    a, b, a_s, theta, beta = work.v_decay, work.i_to_v, work.i_decay, work.threshold, work.beta
    x, gy = (jnp.asarray(arrays[n]).astype(jnp.bfloat16) * DRIVE for n in ("x", "gy"))
    w = jnp.asarray(arrays["w"]).astype(jnp.float32) * WEIGHT

    @jax.custom_jvp
    def spike(c: Any) -> Any:
        return (c > 0).astype(c.dtype)

    @spike.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return spike(primals[0]), tangents[0] / (1 + beta * jnp.abs(primals[0])) ** 2

    def forward(x: Any, w: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            v, i, z = carry
            i = i + (jnp.dot(z, w, precision="tensorfloat32") + row.astype(jnp.float32))
            v = a * v + b * i
            z = spike(v - theta)
            return (jnp.where(jax.lax.stop_gradient(z) > 0, 0.0, v), a_s * i, z), z.astype(row.dtype)

        zeros = jnp.zeros(x.shape[1:], jnp.float32)
        return jax.lax.scan(step, (zeros, zeros, zeros), x)[1]

    @jax.jit
    def both(x: Any, w: Any, gy: Any) -> Any:
        y, pull = jax.vjp(forward, x, w)
        return y, pull(gy)

    def check(result: Any) -> Arrays:
        y, (_, gw) = result
        return {"spikes": np.asarray(y > 0).astype("uint8"), "grad_w": np.asarray(gw, dtype=np.float32)}

    return lambda: jax.block_until_ready(both(x, w, gy)), check


def set_up_cells(work: Work, arrays: Arrays) -> Setup:
    """Return g5: a population without recurrence, simulated; the drive is drawn from the columns that are given."""
    import jax
    import jax.numpy as jnp

    cell = CELLS[work.title]
    columns = jnp.asarray(arrays["x"])
    x = jnp.tile(columns, (1, work.batch, work.neurons // columns.shape[2]))

    @jax.jit
    def simulate(x: Any) -> Any:
        def step(state: Any, row: Any) -> Any:
            z, state = cell.step(jnp, row, state)
            return state, z.astype(jnp.float32)

        start = tuple(jnp.full(x.shape[1:], s, jnp.float32) for s in cell.start)
        return jax.lax.scan(step, start, x)[1]

    def check(result: Any) -> Arrays:
        return {"spikes": np.asarray(result[:, :1, : columns.shape[2]] > 0).astype("uint8")}

    return lambda: jax.block_until_ready(simulate(x)), check


SETUPS = {"g2": set_up_recurrent, "g5": set_up_cells}


def answer(words: list[str], held: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to one line; `held` is the work that is set up."""
    if words[0] == "set":
        import jax

        if jax.default_backend() not in ("gpu", "cuda"):
            raise RuntimeError(f"JAX sees no GPU, only {jax.default_backend()}")
        held.clear()
        jax.clear_caches()
        started = time.perf_counter()
        held["run"], held["check"] = SETUPS[words[1]](*load(Path(words[2])))
        held["run"]()
        return {"first_s": time.perf_counter() - started}
    if words[0] == "check":
        np.savez(words[1], **held["check"](held["run"]()))
        return {}
    times = []
    for _ in range(int(words[1])):
        started = time.perf_counter()
        held["run"]()
        times.append(1e3 * (time.perf_counter() - started))
    return {"ms": times}


def serve() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")  # libraries print; their words go to standard error
    os.dup2(2, 1)
    held: dict[str, Any] = {}
    if installed():
        importlib.import_module("jax")  # takes seconds, while the caller is busy with something else
    for line in sys.stdin:
        try:
            reply = answer(line.split(), held)
        except (RuntimeError, ValueError, TypeError, KeyError, ImportError, AttributeError) as error:
            reply = {"failed": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
