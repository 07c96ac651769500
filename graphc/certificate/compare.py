"""One target against the float64 reference on given inputs: spikes in lockstep, values, gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .lockstep import Paths, distance, first_fault, lockstep
from .reference import Call, Traces, batch_of, call_target, few_threads, observed, run_reference, run_target, spiking
from .rounding import NONE, TIMES, measure_rounding
from .table import Certificate, Row

if TYPE_CHECKING:
    import torch

    from graphc.compile import NetworkCompiler
    from graphc.network import Network
    from graphc.runtime import Model

# Largest distance relative to the largest value; ROUNDING is for the |condition| at which a spike may differ.
VALUES = {"float32": 1e-4, "float64": 1e-9, "tf32": 5e-3, "bfloat16": 5e-2, "float16": 5e-3}
GRADIENTS = {"float32": 1e-3, "float64": 1e-8, "tf32": 2e-2, "bfloat16": 2e-1, "float16": 2e-2}
ROUNDING = {"float32": 1e-4, "float64": 1e-10, "tf32": 5e-3, "bfloat16": 5e-2, "float16": 5e-3}
SATURATED = 0.99  # spikes per neuron and step, of a population that fires whenever it can


def certify(
    model: Model,
    compiler: NetworkCompiler,
    inputs: Any,
    steps: int | None,
    batch: int | None,
    called: bool = False,
    state: Any = None,
    reference: Traces | None = None,
) -> Certificate:
    """Run `model` and the float64 reference on `inputs` and compare.

    Spikes are compared one by one. Where the first difference of a sample is a condition within rounding of 0, the two
    runs are different trajectories from there on; values and gradients are compared on the steps before it, on which
    both took the same path. What differs by more than the tolerance of its dtype is held against what rounding does to
    the reference itself.

    Args:
        model: the model as it is, on its device and in its dtype.
        compiler: of the model.
        inputs: (T, B, N), or by name; nothing for a network without inputs.
        steps: T, for a network without inputs.
        batch: B, for a network without inputs.
        called: also call the model without records, as training does: other kernels, which must give the same.
        state: where it starts; by default the initial state, drawn where the network draws one.
        reference: the run of the reference, where it is at hand.
    """
    import torch

    kind = dtype = str(model.dtype).removeprefix("torch.")
    network = compiler.network
    populations, records = spiking(network), observed(network)
    if state is None and compiler.lowered(()).draws:
        state = model.initial_state(batch or batch_of(inputs))
    call = Call(inputs, state, steps, batch)
    target = run_target(model, call, records)
    title = f"target {model.last_build().key.target} on {model.last_build().key.device}"
    if (precision := model.last_build().key.options.precision) != "float32":
        kind, dtype = precision, f"{dtype} rounded to {precision}"
    order = [*records, *(n for n in model.last_build().program.outputs if n not in records)]
    plain = call_target(model, call) if called else None
    length, samples = next(iter(target.sequences.values())).shape[:2]
    if reference is None:
        reference = run_reference(model, compiler, call, records, length, samples)
    title = f"{title} in {dtype} against the reference in float64"
    compared = _Comparison(target, plain, reference, populations, order, compiler.lowered(()).outputs, kind, network)
    certificate = compared.certificate(title)
    if kind == "float32" and any(row.what != "liveness" for row in certificate.failed):
        rounded = run_reference(model, compiler, call, records, length, samples, torch.float32)
        certificate = replace(compared, rounded=rounded).certificate(title)
    return certificate


@dataclass
class _Comparison:
    """A target's run and the reference's, side by side.

    Attributes:
        target: with records.
        plain: without records, or None.
        reference: what they should be.
        populations: those that spike.
        order: the names of what was recorded, as a step computes it.
        outputs: the names of the outputs.
        kind: the dtype or precision that tolerances are for.
        network: what ran.
        rounded: the reference in float32, where rounding is to be allowed for.
    """

    target: Traces
    plain: Traces | None
    reference: Traces
    populations: Sequence[str]
    order: Sequence[str]
    outputs: Sequence[str]
    kind: str
    network: Network
    rounded: Traces | None = None

    def __post_init__(self) -> None:
        """Find where the paths are the same, and the gradients of the outputs there."""
        self.rounding = NONE
        if self.rounded is not None:
            self.rounding = measure_rounding(self.rounded, self.reference, self.populations)
        near = ROUNDING[self.kind]
        self.spikes, self.paths = lockstep(self.target, self.reference, self.populations, near, self.rounding)
        differentiable = any(self.target.sequences[n].requires_grad for n in self.outputs)
        runs = [self.reference, self.target, self.plain, self.rounded]
        self.gradients = [self.weighted(r) if r is not None and differentiable else [] for r in runs]

    def certificate(self, title: str) -> Certificate:
        """Return the table."""
        rows, values, rounding = list(self.spikes), VALUES[self.kind], self.rounding
        for name in self.order:
            if not name.endswith(".spike"):
                a, b = self.target.sequences[name], self.reference.sequences[name]
                rows.append(distance(name, "values", a, b, self.paths.same, values, rounding))
        fault = None
        if not all(row.ok for row in rows):
            fault = first_fault(self.target, self.reference, self.order, self.paths, values, rounding)
        rows += self._gradients(self.gradients[1], "gradient")
        if self.plain is not None:
            rows += self._as_called(self.plain)
        return Certificate(title, (*rows, *_liveness(self.target, self.populations, self.paths)), fault)

    def weighted(self, run: Traces) -> list[torch.Tensor | None]:
        """Return the gradients of one random weighting of the outputs, which is 0 where the paths differ."""
        import torch

        loss = torch.zeros((), dtype=torch.float64)
        for name in self.outputs:
            y = run.sequences[name].cpu().double()
            weights = torch.rand(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.25
            loss = loss + (weights * self.paths.same.unsqueeze(2) * y).sum()
        leaves = list(run.leaves.values())
        if run is self.target or run is self.plain:
            return list(torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True))
        with few_threads(self.network, self.paths.same.shape[1]):
            return list(torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True))

    def _gradients(self, found: Sequence[torch.Tensor | None], what: str) -> list[Row]:
        rows = []
        rounded = self.gradients[3] or [None] * len(found)
        for name, a, b, r in zip(self.target.leaves, found, self.gradients[0], rounded, strict=bool(found)):
            if a is None or b is None:
                rows.append(Row(name, what, "none", not any(g.any() for g in (a, b) if g is not None)))
                continue
            scale, most = float(b.abs().max()), float((a.cpu().double() - b).abs().max())
            text, strict = f"differs by {most:.1e}, largest {scale:.1e}", GRADIENTS[self.kind] * scale
            allowed = 0.0 if r is None else TIMES * float((r.double() - b).abs().max())
            ok = scale > 0 and most <= strict + allowed
            if ok and most > strict:
                text += ", as rounding to float32 makes it"
            rows.append(Row(name, what, text, ok))
        return rows

    def _as_called(self, plain: Traces) -> list[Row]:
        """Compare the outputs and gradients of a call without records, which other kernels compute."""
        rows, values, rounding = [], VALUES[self.kind], self.rounding
        for name in self.outputs:
            a, b = plain.sequences[name], self.reference.sequences[name]
            row = distance(name, "as called", a, b, self.paths.same, values, rounding)
            if not row.ok:
                before = Paths(self.paths.same, self.paths.same)
                where = first_fault(plain, self.reference, [name], before, values, rounding)
                row = replace(row, found=f"{row.found}; {where}")
            rows.append(row)
        if all(row.ok for row in rows):
            rows += self._gradients(self.gradients[2], "as called")
        return rows


def _liveness(target: Traces, populations: Sequence[str], paths: Paths) -> list[Row]:
    """Say whether every population spikes, and not always, and how much was compared."""
    import torch

    rows = []
    for name in populations:
        z = target.sequences[f"{name}.spike"].detach()
        rate = float(z.double().mean()) if z.numel() else 0.0
        active = float((z > 0).any(dim=0).double().mean()) if z.numel() else 0.0
        found = f"{rate:.4f} spikes per neuron and step, {100 * active:.0f} % of the neurons spike"
        rows.append(Row(name, "liveness", found, 0 < rate < SATURATED))
    same = paths.same
    compared = float(same.to(torch.float64).mean()) if same.numel() else 0.0
    found = f"{100 * compared:.1f} % of {same.shape[0]} steps x {same.shape[1]} samples"
    return [*rows, Row("steps compared", "liveness", found, compared > 0)]
