"""One target against the float64 reference on given inputs: spikes in lockstep, values, gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .lockstep import Paths, distance, first_fault, lockstep
from .reference import Call, Traces, batch_of, call_target, observed, run_reference, run_target, spiking
from .table import Certificate, Row

if TYPE_CHECKING:
    import torch

    from graphc.compile import NetworkCompiler
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
) -> Certificate:
    """Run `model` and the float64 reference on `inputs` and compare.

    Spikes are compared one by one. Where the first difference of a sample is a condition within rounding of 0, the two
    runs are different trajectories from there on; values and gradients are compared on the steps before it, on which
    both took the same path.

    Args:
        model: the model as it is, on its device and in its dtype.
        compiler: of the model.
        inputs: (T, B, N), or by name; nothing for a network without inputs.
        steps: T, for a network without inputs.
        batch: B, for a network without inputs.
        called: also call the model without records, as training does: other kernels, which must give the same.
    """
    kind = dtype = str(model.dtype).removeprefix("torch.")
    network = compiler.network
    populations, records = spiking(network), observed(network)
    state = model.initial_state(batch or batch_of(inputs)) if compiler.lowered(()).draws else None
    call = Call(inputs, state, steps, batch)
    target = run_target(model, call, records)
    title = _title(model)
    if (precision := model.last_build().key.options.precision) != "float32":
        kind, dtype = precision, f"{dtype} rounded to {precision}"
    length, samples = next(iter(target.sequences.values())).shape[:2]
    reference = run_reference(model, compiler, call, records, length, samples)
    rows, paths = lockstep(target, reference, populations, ROUNDING[kind])
    order = [*records, *(n for n in model.last_build().program.outputs if n not in records)]
    for name in order:
        if not name.endswith(".spike"):
            a, b = target.sequences[name], reference.sequences[name]
            rows.append(distance(name, "values", a, b, paths.same, VALUES[kind]))
    fault = first_fault(target, reference, order, paths, VALUES[kind]) if not all(r.ok for r in rows) else None
    outputs = compiler.lowered(()).outputs
    wanted: list[torch.Tensor | None] = []
    if any(target.sequences[n].requires_grad for n in outputs):
        wanted = _weighted(reference, outputs, paths.same)
        found = _weighted(target, outputs, paths.same)
        rows += _gradients(target.leaves, found, wanted, GRADIENTS[kind], "gradient")
    if called:
        plain = call_target(model, call)
        rows += _as_called(plain, reference, outputs, paths, kind)
        if wanted and all(row.ok for row in rows):
            found = _weighted(plain, outputs, paths.same)
            rows += _gradients(plain.leaves, found, wanted, GRADIENTS[kind], "as called")
    rows += _liveness(target, populations, paths)
    return Certificate(f"{title} in {dtype} against the reference in float64", tuple(rows), fault)


def _title(model: Model) -> str:
    return f"target {model.last_build().key.target} on {model.last_build().key.device}"


def _weighted(run: Traces, outputs: Sequence[str], same: torch.Tensor) -> list[torch.Tensor | None]:
    """Return the gradients of one random weighting of the outputs, which is 0 where the paths differ."""
    import torch

    loss = torch.zeros((), dtype=torch.float64)
    for name in outputs:
        y = run.sequences[name].cpu().double()
        weights = torch.rand(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.25
        loss = loss + (weights * same.unsqueeze(2) * y).sum()
    return list(torch.autograd.grad(loss, list(run.leaves.values()), allow_unused=True))


def _gradients(
    names: Iterable[str],
    found: Sequence[torch.Tensor | None],
    wanted: Sequence[torch.Tensor | None],
    tolerance: float,
    what: str,
) -> list[Row]:
    """Compare the gradients of one random weighting of the outputs."""
    rows = []
    for name, a, b in zip(names, found, wanted, strict=True):
        if a is None or b is None:
            rows.append(Row(name, what, "none", a is None and (b is None or not b.any())))
            continue
        scale, most = float(b.abs().max()), float((a.cpu().double() - b).abs().max())
        text = f"differs by {most:.1e}, largest {scale:.1e}"
        rows.append(Row(name, what, text, scale > 0 and most <= tolerance * scale))
    return rows


def _as_called(plain: Traces, reference: Traces, outputs: Sequence[str], paths: Paths, kind: str) -> list[Row]:
    """Compare the outputs of a call without records, which other kernels compute."""
    rows = []
    for name in outputs:
        a, b = plain.sequences[name], reference.sequences[name]
        row = distance(name, "as called", a, b, paths.same, VALUES[kind])
        if not row.ok:
            where = first_fault(plain, reference, [name], Paths(paths.same, paths.same), VALUES[kind])
            row = replace(row, found=f"{row.found}; {where}")
        rows.append(row)
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
