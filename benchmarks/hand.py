"""Hand-written C for c1 and c2, built with the flags of the C target: the yardstick of the generated code."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.peers.worker import Check, Run
from benchmarks.works import Arrays, Work

FOLDER = Path(__file__).resolve().parent
FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
)  # fmt: skip


class Neuron(ctypes.Structure):
    """The constants of the neuron, as `hand.h` declares them."""

    _fields_ = [(name, ctypes.c_float) for name in ("a", "b", "a_s", "theta", "beta")]


def build(name: str) -> ctypes.CDLL:
    """Compile `name`.c, or find it compiled already, and load it."""
    text = "".join((FOLDER / file).read_text() for file in ("hand.h", f"{name}.c"))
    folder = Path(tempfile.gettempdir()) / f"graphc-hand-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        compiler = os.environ.get("CC", "gcc")
        subprocess.run([compiler, *FLAGS, "-o", str(library), str(FOLDER / f"{name}.c")], check=True)
    return ctypes.CDLL(str(library))


def empty(*shape: int) -> torch.Tensor:
    """Return a float32 tensor that starts on a cache line, as non-temporal stores demand."""
    count = 1
    for size in shape:
        count *= size
    memory = torch.zeros(count + 16)
    offset = (-memory.data_ptr() % 64) // 4
    return memory[offset : offset + count].view(*shape)


def address(tensor: torch.Tensor) -> ctypes.c_void_p:
    """Return where the data of `tensor` starts."""
    return ctypes.c_void_p(tensor.data_ptr())


def set_up(work: Work, arrays: Arrays) -> tuple[Run, Check]:
    """Return the forward and backward of c1 or c2 in hand-written C, buffers allocated once."""
    library, threads = build(f"hand_{work.id}"), torch.get_num_threads()
    neuron = Neuron(work.v_decay, work.i_to_v, work.i_decay, work.threshold, work.beta)
    long = ctypes.c_long
    shape = (work.steps, work.batch, work.neurons)
    x, gy, z, c, gx = (empty(*shape) for _ in range(5))
    x.copy_(torch.from_numpy(arrays["x"]))
    gy.copy_(torch.from_numpy(arrays["gy"]))
    steps, batch = long(work.steps), long(work.batch)

    def check(weight: NDArray[Any]) -> Arrays:
        gy.copy_(torch.from_numpy(arrays["gy"] * weight[:, None]))
        (run if work.id == "c1" else run_recurrent)()
        gy.copy_(torch.from_numpy(arrays["gy"]))
        grads = {"grad_x": gx.numpy().copy()} | ({} if work.id == "c1" else {"grad_w": gw.numpy().copy()})
        return {"spikes": z.numpy().astype("uint8"), **grads}

    if work.id == "c1":
        width = long(work.batch * work.neurons)

        def run() -> Any:
            library.forward(address(x), address(z), address(c), steps, width, neuron, threads)
            library.backward(address(gy), address(c), address(gx), steps, width, neuron, threads)

        return run, check

    w, gw = torch.from_numpy(arrays["w"]), empty(work.neurons, work.neurons)
    sums = empty(threads, work.neurons, work.neurons)

    def run_recurrent() -> Any:
        transposed = w.t().contiguous()
        library.forward(address(x), address(w), address(z), address(c), steps, batch, neuron, threads)
        library.backward(address(gy), address(c), address(transposed), address(gx), steps, batch, neuron, threads)
        library.backward_weight(address(c), address(gx), address(gw), address(sums), steps, batch, threads)

    return run_recurrent, check
