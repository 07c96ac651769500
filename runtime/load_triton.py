"""Text -> callable on the Triton target: import the module, launch its kernels, run products by torch."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from graphc.codegen.triton import Plan, Pointer, options, plan
from graphc.ir import Graph, GraphcError, Kernel, Schedule, TargetError

from .cache import content_hash, fetch
from .cooperative import launches, refusal
from .products import run_product, store_final
from .stepwise import Stepwise

REAL = {"float32": torch.float32, "float64": torch.float64}


def load(schedule: Schedule, texts: Mapping[str, str]) -> Library:
    """Return the kernels of `schedule`, whose texts `graphc.codegen.triton.emit` made; nothing is imported yet."""
    return Library(schedule, texts)


class Library:
    """The kernels of one schedule; each half is imported when it is first needed."""

    def __init__(self, schedule: Schedule, texts: Mapping[str, str]) -> None:
        """Remember what to load."""
        self._schedule, self._texts = schedule, dict(texts)
        self._modules: dict[bool, ModuleType] = {}
        self._launchers: dict[str, _Launcher | Stepwise] = {}
        self._products: Counter[str] = Counter()

    @property
    def launched(self) -> dict[str, int]:
        """How often each kernel was launched: a stepwise one at every step as often as it has parts, a product once."""
        return {**self._products, **{name: launcher.launched for name, launcher in self._launchers.items()}}

    def prepare(self, backward: bool) -> None:
        """Import the module of one half; the GPU code itself is compiled at the first launch."""
        if backward in self._modules:
            return
        text = self._texts["backward" if backward else "forward"]
        module = self._modules[backward] = import_text(text)
        for kernel in self._schedule.half(backward):
            if kernel.strategy == "stepwise":
                self._launchers[kernel.name] = Stepwise(self._schedule, kernel, module, interpreting())
            elif kernel.kind != "product":
                function = getattr(module, kernel.name)
                self._launchers[kernel.name] = _Launcher(kernel, plan(self._schedule, kernel), function)

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
        """Run `kernel` on the current stream of the tensors' device.

        Args:
            kernel: one of the schedule.
            tensors: in the order of ``kernel.arguments``; those that it writes are allocated.
            steps: T.
            batch: B.
            start: absolute step of the first row.
            bad: four int64 words for the first value that is not finite, of a stepwise kernel for each part with
                checks, or None not to look.
            seed: of noise.
        """
        with torch.no_grad():
            if kernel.kind == "product":
                self._products[kernel.name] += 1
                run_product(kernel, tensors, steps, REAL[self._schedule.dtype], self._schedule.precision)
                return
            self.prepare(kernel.backward)
            if steps == 0:
                _run_no_step(kernel.graph, dict(zip(kernel.arguments, tensors, strict=True)))
                return
            with on_device(tensors):
                self._launchers[kernel.name](tensors, steps, batch, start, bad, seed)


class _Launcher:
    """One kernel with a time loop."""

    def __init__(self, kernel: Kernel, plan: Plan, function: Any) -> None:
        self._kernel, self._plan, self._function = kernel, plan, function
        self.launched = 0
        self._real = REAL[plan.dialect.dtype]
        narrow = torch.float16 if plan.precision == "float16" else torch.bfloat16
        self._storage = {"real": self._real, "narrow": narrow, "uint8": torch.uint8}
        self._sizes, self._draws = tuple(plan.extent.values()), plan.draws
        self._options = {**plan.constants, **({} if interpreting() else options(plan))}
        if "_device" in plan.constants:
            self._options["_device"] = 0 if interpreting() else 2 if torch.version.hip else 1

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        steps: int,
        batch: int,
        start: int,
        bad: torch.Tensor | None,
        seed: int = 0,
    ) -> None:
        plan = self._plan
        given = dict(zip(self._kernel.arguments, tensors, strict=True))
        device = tensors[0].device
        arguments: list[Any] = []
        reductions: list[tuple[torch.Tensor, torch.Tensor]] = []
        for pointer, name in zip(plan.pointers, plan.kernel.arguments, strict=True):
            tensor = given[name]
            if pointer.kind == "sum" and tensor.shape != (shape := self._shape(pointer, batch)):
                scratch = torch.empty(shape, dtype=self._real, device=device)
                reductions.append((scratch, tensor))
                tensor = scratch
            arguments += (tensor, *tensor.stride()[: len(pointer.strides)])
        for ring in (*plan.rings.values(), *plan.exchanges.values()):
            shape = (ring.depth, *self._shape(ring, batch))
            arguments.append(torch.empty(shape, dtype=self._storage[ring.storage], device=device))
        grid = plan.grid(batch)
        drawn = (seed,) if self._draws else ()
        if plan.programs:
            for together in launches(plan, batch, device):
                call = (together.arrived, bad, steps, batch, start, *drawn, together.first, *self._sizes)
                self._launch(together.grid, [*arguments, *call])
        elif grid[0] * grid[1]:
            self._launch(grid, [*arguments, bad, steps, batch, start, *drawn, *self._sizes])
        for scratch, total in reductions:
            torch.sum(scratch, dim=tuple(range(scratch.dim() - total.dim())), out=total)
        for history, sequence in plan.handed:
            if history.final:
                store_final(history, given[sequence], given, steps)

    def _launch(self, grid: tuple[int, int], arguments: list[Any]) -> None:
        from triton.runtime.errors import OutOfResources

        self.launched += 1
        try:
            self._function[grid](*arguments, **self._options)
        except OutOfResources as error:
            raise TargetError(
                f"kernel {self._plan.kernel.name!r} does not fit this GPU: {error}",
                None,
                "use target='c', or smaller recurrent populations",
            ) from error
        except RuntimeError as error:
            if self._plan.programs and "cooperative" in str(error):
                raise refusal(self._plan, error) from error
            raise

    def _shape(self, pointer: Pointer, batch: int) -> tuple[int, ...]:
        extent = self._plan.extent
        return (*((batch,) if pointer.type.batched else ()), *(extent[axis] for axis in pointer.type.axes))


def _run_no_step(graph: Graph, given: Mapping[str, torch.Tensor]) -> None:
    """Write what a loop without steps leaves: sums of nothing, and states as they were."""
    for output in graph.outputs:
        given[output.name].zero_()
    for name, init in [(c.final, c.init) for c in graph.carries] + [(h.final, h.init) for h in graph.histories]:
        if name and init:
            given[name].copy_(given[init])
        elif name:
            given[name].zero_()


def on_device(tensors: Sequence[torch.Tensor]) -> AbstractContextManager[object]:
    """Return a context in which kernels are launched on the device of `tensors`.

    Raises:
        TargetError: the device runs no Triton kernels.
    """
    device = tensors[0].device
    if device.type == "cuda":
        return torch.cuda.device(device)
    if interpreting():
        return nullcontext()
    raise TargetError(
        f"target 'triton' cannot run on {device.type!r} tensors",
        None,
        "move the model and its inputs to a CUDA device, or use target='c'",
    )


def interpreting() -> bool:
    """Return whether Triton interprets kernels, as TRITON_INTERPRET said when it was imported."""
    import triton

    return bool(triton.knobs.runtime.interpret)


def import_text(text: str) -> ModuleType:
    """Return the module with source `text`; Triton reads sources from files, so it is written to the cache first."""

    def write(file: Path) -> None:
        file.write_text(text)

    name = f"graphc_triton_{content_hash(text)}"
    path = fetch(name, ".py", write)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise GraphcError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
