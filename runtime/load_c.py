"""Text -> callable on the C target: build the library, pass pointers and strides."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from graphc.codegen.c import is_delayed, is_event_driven, is_synapses, is_transposed
from graphc.ir import Kernel, Pool, Schedule, TargetError

from .compiler import build
from .products import run_product

REAL = {"float32": torch.float32, "float64": torch.float64}
DENSE = 250_000  # parts per million of non-zero elements from which a dense product is faster than events
SMALL = 1 << 14  # elements of all steps below which waking a second thread costs more than it does

_process = {"forked": False}


def _note_fork() -> None:
    _process["forked"] = True


os.register_at_fork(after_in_child=_note_fork)  # the threads of OpenMP do not survive a fork: waiting for them hangs


def threads_for(elements: int) -> int:
    """Return how many threads are worth waking for work on so many elements."""
    return 1 if _process["forked"] or elements < SMALL else torch.get_num_threads()


def load(schedule: Schedule, texts: Mapping[str, str]) -> Library:
    """Return the kernels of `schedule`, whose texts `graphc.codegen.c.emit` made; nothing is built yet."""
    return Library(schedule, texts)


class Library:
    """The kernels of one schedule; each half is built when it is first needed."""

    def __init__(self, schedule: Schedule, texts: Mapping[str, str]) -> None:
        """Remember what to build."""
        self._schedule, self._texts = schedule, dict(texts)
        self._halves: dict[bool, ctypes.CDLL] = {}
        self._launchers: dict[str, _Launcher] = {}
        self._lock = threading.Lock()

    def prepare(self, backward: bool) -> None:
        """Build, or fetch from the cache, the library of one half.

        Raises:
            TargetError: there is no C compiler.
        """
        with self._lock:
            if backward in self._halves:
                return
            library = ctypes.CDLL(str(build(self._texts["backward" if backward else "forward"])))
            for kernel in self._schedule.half(backward):
                self._launchers[kernel.name] = _Launcher(self._schedule, kernel, library)
            self._halves[backward] = library

    def launch(
        self,
        kernel: Kernel,
        tensors: Sequence[torch.Tensor],
        steps: int,
        batch: int,
        start: int,
        bad: torch.Tensor | None,
        seed: int = 0,
    ) -> None:
        """Run `kernel`.

        Args:
            kernel: one of the schedule.
            tensors: in the order of ``kernel.arguments``; those that it writes are allocated.
            steps: T.
            batch: B.
            start: absolute step of the first row.
            bad: four int64 words for the first value that is not finite, or None not to look.
            seed: of noise.
        """
        if kernel.backward not in self._halves:
            self.prepare(kernel.backward)
        self._launchers[kernel.name](tensors, steps, batch, start, bad, seed)


class _Launcher:
    """One kernel of a loaded library."""

    def __init__(self, schedule: Schedule, kernel: Kernel, library: ctypes.CDLL) -> None:
        self._kernel, self._real = kernel, REAL[schedule.dtype]
        self._function: Any = None
        self._density: Any = None
        events = kernel.kind == "product" and is_event_driven(schedule, kernel)
        if kernel.kind != "product" or events or any(f(kernel) for f in (is_transposed, is_synapses, is_delayed)):
            self._function = getattr(library, kernel.name)
            self._function.restype = None
        if events:
            self._density = getattr(library, f"{kernel.name}_density")
            self._density.restype = ctypes.c_int64
        buffers = [schedule.buffers[name] for name in kernel.arguments]
        # How many of the leading axes of an argument have strides: T and B of a sequence, depth and B of a history.
        self._strided = [0 if b.kind == "fixed" else 1 + b.type.batched for b in buffers]
        self._width = max(
            (_elements(schedule, v.type.axes) for v in kernel.graph.values if len(v.type.axes) < 2), default=1
        )
        count = len(buffers)
        self._pointers, self._strides = ctypes.c_void_p * (count + 1), ctypes.c_int64 * (2 * count)
        self._sizes = ctypes.c_int64 * 5
        pools = [n for n in kernel.graph.nodes if isinstance(n, Pool)]
        self._most = kernel.options.get("threads", 1 << 20)
        self._dense = 10_000 * kernel.options["dense"] if "dense" in kernel.options else DENSE
        self._pool = (pools[0].result.loc, kernel.options["rows"]) if pools else None

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        steps: int,
        batch: int,
        start: int,
        bad: torch.Tensor | None,
        seed: int = 0,
    ) -> None:
        if self._pool is not None and batch > self._pool[1]:
            raise TargetError(
                f"changes of weights are reduced over a batch of {batch}, but the kernel was built for {self._pool[1]}",
                self._pool[0],
                f'gc.compile(..., target="c", schedule={{"rows": {1 << (batch - 1).bit_length()}}})',
            )
        if self._function is None:
            run_product(self._kernel, tensors, steps, self._real)
            return
        strides: list[int] = []
        for tensor, strided in zip(tensors, self._strided, strict=True):
            strides.append(tensor.stride(0) if strided else 0)
            strides.append(tensor.stride(1) if strided > 1 else 0)
        threads = min(threads_for(steps * batch * self._width), self._most)
        arguments = (
            self._sizes(steps, batch, start, threads, seed),
            self._pointers(*(t.data_ptr() for t in tensors), None if bad is None else bad.data_ptr()),
            self._strides(*strides),
        )
        if self._density is not None and self._density(*arguments) > self._dense:
            run_product(self._kernel, tensors, steps, self._real)
            return
        self._function(*arguments)


def _elements(schedule: Schedule, axes: Sequence[str]) -> int:
    return schedule.sizes[axes[0]] if axes else 1
