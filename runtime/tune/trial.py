"""A compiled model as a candidate: one call of it, timed in halves, and what it computes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from graphc.ir import Schedule, TargetError
from graphc.runtime.build import Build
from graphc.runtime.module import Model

from .predict import MACHINES, overfull
from .search import Results

AGREE = {"float32": 1e-3, "float64": 1e-8, "tf32": 2e-2, "bfloat16": 2e-1, "float16": 2e-2}
"""Largest distance of gradients relative to their norm; sums in another order round otherwise."""

PARTED = 0.1  # of the samples, whose spikes may take another path from a rounding on


class ModelTrial:
    """One model; inputs are shared by all candidates and never written."""

    def __init__(self, model: Model, inputs: Any, steps: int, batch: int) -> None:
        """Remember what to call, and draw the weights of a loss."""
        self.model, self._inputs, self._steps, self._batch = model, inputs, steps, batch
        self._learns = any(p.requires_grad for p in model.parameters()) and model._trainable
        self._weights: list[torch.Tensor] = []
        self._cuda = model._like.device.type == "cuda"
        ruled = {applied.parameter for applied in model._program.applied}
        self._start = {n: p.detach().clone() for n, p in model.named_parameters() if n in ruled}

    @property
    def build(self) -> Build:
        """The kernels of this call."""
        wrt = self.model._learned() if self._learns else frozenset()
        return self.model._build(self.model._key((), wrt, False))

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the kernels' texts, and the options that these do not show."""
        build = self.build
        plan, options = build.schedule, build.key.options
        assert plan is not None
        return (*build.texts.values(), *hidden(plan), f"{options.checkpoint} {options.chunk}")

    def prepare(self) -> None:
        """Build both halves."""
        plan = self.build.schedule
        if (
            self._cuda
            and plan is not None
            and self.model._options.schedule
            and (why := overfull(plan, MACHINES["sm_90"]))
        ):
            raise TargetError(why)
        library = self.build.library()
        for backward in (False, True) if self._learns else (False,):
            library.prepare(backward)

    def results(self) -> Results:
        """Return outputs and gradients of one call, by name, on the CPU."""
        self._reset()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            outputs = self._forward()
            found = {f"output {n}": y.detach().cpu().double() for n, y in outputs.items()}
            if self._learns:
                self._backward(outputs)
                for name, parameter in self.model.named_parameters():
                    if parameter.grad is not None:
                        found[f"gradient {name}"] = parameter.grad.detach().cpu().double()
        return found

    def run(self) -> tuple[float, float]:
        """Return the seconds of both halves of one call."""
        self._reset()
        started = self._now()
        outputs = self._forward()
        between = self._now()
        if not self._learns:
            return between - started, 0.0
        self._backward(outputs)
        return between - started, self._now() - between

    def _reset(self) -> None:
        """Take back what earlier calls left: gradients, and weights that learning rules wrote."""
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, value in self._start.items():
                self.model.get_parameter(name).copy_(value)

    def _forward(self) -> dict[str, torch.Tensor]:
        sizes = {} if self._inputs is not None else {"steps": self._steps, "batch_size": self._batch}
        with torch.set_grad_enabled(self._learns):
            found = self.model(self._inputs, seed=0, **sizes)
        return found if isinstance(found, dict) else {"": found}

    def _backward(self, outputs: Mapping[str, torch.Tensor]) -> None:
        live = [y for y in outputs.values() if y.requires_grad]
        if not self._weights:
            draw = torch.Generator().manual_seed(0)
            self._weights = [torch.randn(y.shape, generator=draw).to(y.device, y.dtype) for y in live]
        torch.autograd.backward(live, self._weights)

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize(self.model._like.device)
        return time.perf_counter()


def hidden(plan: Schedule) -> tuple[str, ...]:
    """Return what distinguishes a schedule from another with the same texts."""
    own = None if plan.target == "triton" else ("threads", "dense")
    said = [
        f"{k.name} {k.strategy} {n} {v}" for k in plan.kernels for n, v in k.options.items() if own is None or n in own
    ]
    names = {name for k in plan.kernels for name in k.arguments}
    return (*said, *(f"{b.name} {b.storage}" for b in plan.buffers.values() if b.name in names))


def agree(kind: str, found: Results, wanted: Results) -> str:
    """Return what is wrong with results, "" where they are those of the defaults within rounding.

    A spike whose condition lies within rounding of 0 may fall on either side, and its sample is another trajectory from
    there on: outputs are compared on the samples that stay together, which must be nearly all.
    """
    tolerance = AGREE[kind]
    if found.keys() != wanted.keys():
        return f"it gives {', '.join(sorted(found.keys() ^ wanted.keys()))}, or the defaults alone do"
    together = True
    for name, value in wanted.items():
        if not name.startswith("output"):
            continue
        scale = max(float(value.abs().max()), 1e-30)
        apart = ((found[name] - value).abs() > tolerance * scale) | found[name].isnan()
        parted = apart.any(dim=0).flatten(1).any(dim=1) if apart.dim() > 1 else apart.any(dim=0)
        share = float(parted.double().mean())
        together = together and share == 0
        if (share > PARTED and parted.numel() > 1) or (parted.numel() == 1 and share == 1):
            return f"{name} differs from that of the defaults in {100 * share:.0f} % of the samples"
    for name, value in wanted.items():
        if name.startswith("gradient"):
            norm = max(float(value.norm()), 1e-30)
            distance = float((found[name] - value).norm()) / norm
            if not distance <= (tolerance if together else 100 * tolerance):
                return f"{name} differs from that of the defaults by {distance:.1e} of its norm"
    return ""
