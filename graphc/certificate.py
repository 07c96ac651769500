"""The certificate: how far the kernels of one target are from the float64 reference on given inputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphc.ir import Output, Program, Spike, initial
from graphc.passes import Request, pipeline
from graphc.passes.localize import STAYS, Localize

from .lower import evaluation_order, lower
from .network import Population

if TYPE_CHECKING:
    import torch

    from graphc.runtime import Model

    from .compile import NetworkCompiler

# Largest distance relative to the largest value; ROUNDING is for the |condition| at which a spike may differ.
VALUES = {"float32": 1e-4, "float64": 1e-9, "tf32": 5e-3, "bfloat16": 5e-2, "float16": 5e-3}
GRADIENTS = {"float32": 1e-3, "float64": 1e-8, "tf32": 2e-2, "bfloat16": 2e-1, "float16": 2e-2}
ROUNDING = {"float32": 1e-4, "float64": 1e-10, "tf32": 5e-3, "bfloat16": 5e-2, "float16": 5e-3}


@dataclass(frozen=True)
class Row:
    """One line: what was compared, what was found, and whether that is as it must be."""

    about: str
    what: str
    found: str
    ok: bool


@dataclass(frozen=True)
class Certificate:
    """A comparison with the float64 reference; `ok` when every row is, and printed it is a table."""

    title: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every row is as it must be."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        """Return the table."""
        wide = max(len(row.about) for row in self.rows)
        kind = max(len(row.what) for row in self.rows)
        lines = [f"  {'ok  ' if r.ok else 'FAIL'}  {r.what:{kind}}  {r.about:{wide}}  {r.found}" for r in self.rows]
        return "\n".join([self.title, *lines, f"certificate: {'ok' if self.ok else 'FAILED'}"])


@dataclass(frozen=True)
class _Traces:
    """What one run gave: sequences (T, B, N) by name, and the parameters and inputs they depend on."""

    sequences: dict[str, torch.Tensor]
    leaves: dict[str, torch.Tensor]


def certify(model: Model, compiler: NetworkCompiler, inputs: Any, steps: int | None, batch: int | None) -> Certificate:
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
    """
    import torch

    kind = dtype = str(model.dtype).removeprefix("torch.")
    network = compiler.network
    spiking = [n for n in evaluation_order(network) if network.populations[n].neuron.spike is not None]
    records = tuple(f"{p.name}.{s}" for p in network.populations.values() for s in _observed(p))
    state = model.initial_state(batch or _batch(inputs)) if compiler.lowered(()).draws else None
    target = _run_target(model, inputs, records, state, steps, batch)
    if (precision := model.last_build().key.options.precision) != "float32":
        kind, dtype = precision, f"{dtype} rounded to {precision}"
    length, samples = next(iter(target.sequences.values())).shape[:2]
    reference = _run_reference(model, compiler, inputs, records, spiking, state, length, samples)
    rows, paths = _lockstep(target, reference, spiking, ROUNDING[kind])
    for name in records:
        if name.endswith(".spike"):
            continue
        rows.append(_distance(name, "values", target.sequences[name], reference.sequences[name], paths, VALUES[kind]))
    for name in model.last_build().program.outputs:
        if name not in records:
            a, b = target.sequences[name], reference.sequences[name]
            rows.append(_distance(name, "values", a, b, paths, VALUES[kind]))
    outputs = compiler.lowered(()).outputs
    if any(target.sequences[n].requires_grad for n in outputs):
        rows += _gradients(target, reference, outputs, paths, GRADIENTS[kind])
    for name in spiking:
        z = target.sequences[f"{name}.spike"].detach()
        rate = float(z.double().mean()) if z.numel() else 0.0
        rows.append(Row(name, "liveness", f"{rate:.4f} spikes per neuron and step", rate > 0))
    compared = float(paths.to(torch.float64).mean()) if paths.numel() else 0.0
    rows.append(
        Row("steps compared", "liveness", f"{100 * compared:.1f} % of {length} steps x {samples} samples", compared > 0)
    )
    return Certificate(f"{_target(model)} in {dtype} against the reference in float64", tuple(rows))


def _observed(population: Population) -> list[str]:
    neuron = population.neuron
    return [s.name for s in neuron.states] + ["spike"] * (neuron.spike is not None)


def _target(model: Model) -> str:
    return f"target {model.last_build().key.target} on {model.last_build().key.device}"


def _batch(inputs: Any) -> int:
    if inputs is None:
        return 1
    first = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
    return int(first.shape[1])


def _leaves(inputs: Any) -> Any:
    if inputs is None:
        return None
    if isinstance(inputs, dict):
        return {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
    return inputs.detach().clone().requires_grad_()


def _by_name(model: Model, inputs: Any) -> dict[str, torch.Tensor]:
    if inputs is None:
        return {}
    if isinstance(inputs, dict):
        return dict(inputs)
    (tensor,) = model.last_build().program.inputs
    return {tensor.name: inputs}


def _run_target(
    model: Model, inputs: Any, records: Sequence[str], state: Any, steps: int | None, batch: int | None
) -> _Traces:
    given = _leaves(inputs)
    kept = [(t, t.detach().clone(), t.grad) for t in (*model.parameters(), *model.buffers())]
    run = model.run(given, record=records, state=state, steps=steps, batch_size=batch)
    for tensor, value, gradient in kept:  # what learning rules wrote is no part of the comparison
        tensor.data.copy_(value)
        tensor.grad = gradient
    outputs = model.last_build().program.outputs
    own = [n for n in outputs if n not in run.records]
    values = run.output if isinstance(run.output, dict) else {own[0] if own else outputs[0]: run.output}
    named = {n: values[n] if n in values else values[n.removesuffix(".output")] for n in own}
    inputs_too = _by_name(model, given) if _whole(model) else {}
    leaves = {n: p for n, p in model.named_parameters() if p.requires_grad} | inputs_too
    return _Traces({**run.records, **named}, leaves)


def _run_reference(
    model: Model,
    compiler: NetworkCompiler,
    inputs: Any,
    records: Sequence[str],
    spiking: Sequence[str],
    state: Any,
    steps: int,
    batch: int,
) -> _Traces:
    """Interpret the discretised program in float64, with torch autograd for the gradients, on the CPU."""
    import torch

    from graphc.ir.interpret import Mode, interpret, run_once
    from graphc.runtime.parameters import read_parameters

    request = Request(rule=model._options.rule)
    program = pipeline(request)[0].run(lower(compiler.network, tuple(records)))
    program = _with_conditions(Localize(request).run(program), spiking)
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float64)
    parameters = dict(zip((p.name for p in program.parameters), read_parameters(twin, program), strict=True))
    given = {n: x.detach().to("cpu", torch.float64).requires_grad_() for n, x in _by_name(model, inputs).items()}
    env = {**parameters, **given, "@t": torch.tensor(0), "@T": torch.tensor(steps), "@B": torch.tensor(batch)}
    if state is None:
        start = dict(parameters)
        run_once(program.initial, start, Mode())
    else:
        start = {initial(n): value for n, value in state.items()}
    for tensor in program.states:
        lead = (batch,) if tensor.depth is None else (tensor.depth, batch)
        shape = (*lead, *(program.sizes[a] for a in tensor.type.axes))
        value = start.get(initial(tensor.name), torch.zeros(()))
        env[initial(tensor.name)] = value.to("cpu", torch.float64).expand(shape)
    done = interpret(program, env)
    names = {o.name for r in program.regions for o in r.graph.outputs}
    if any(STAYS in line for about, line in program.notes if about == "learning"):
        # What stays in a population over time but goes on within a step is no autograd graph: the reference target's.
        twin._target = "reference"
        named = given if len(given) > 1 else next(iter(given.values()), None)
        run = twin.run(named, record=tuple(records), state=state, steps=steps, batch_size=batch)
        outputs = (
            run.output if isinstance(run.output, dict) else dict.fromkeys(compiler.lowered(()).outputs, run.output)
        )
        done |= run.records | {n if n in names else f"{n}.output": y for n, y in outputs.items()}
    leaves = {n: p for n, p in twin.named_parameters() if p.requires_grad} | (given if _whole(model) else {})
    return _Traces({n: done[n] for n in names}, leaves)


def _whole(model: Model) -> bool:
    """Whether gradients go everywhere; a local rule's gradient of an input is that of its own step."""
    rule = model._options.rule
    return rule is None or not rule.local


def _with_conditions(program: Program, spiking: Sequence[str]) -> Program:
    """Return `program` with the spike condition of every population among its outputs."""
    (region,) = program.regions
    graph = region.graph
    definition = graph.definition()
    found = []
    for output in graph.outputs:
        node = definition.get(output.value)
        if output.name.removesuffix(".spike") in spiking and isinstance(node, Spike):
            found.append(Output(output.name + "@condition", node.operands[0], "sequence"))
    return program.with_regions([replace(region, graph=replace(graph, outputs=graph.outputs + tuple(found)))])


def _lockstep(
    target: _Traces, reference: _Traces, spiking: Sequence[str], rounding: float
) -> tuple[list[Row], torch.Tensor]:
    """Compare spikes one by one; return a row per population, and (T, B): whether the paths are still the same."""
    import torch

    shape = next(iter(target.sequences.values())).shape[:2]
    differs = {
        n: (target.sequences[f"{n}.spike"].detach().cpu() > 0) != (reference.sequences[f"{n}.spike"].detach() > 0)
        for n in spiking
    }
    apart = torch.zeros(shape, dtype=torch.bool)
    for where in differs.values():
        apart |= where.any(dim=2)
    paths = apart.cumsum(0) == 0
    first = apart & (apart.cumsum(0) == 1)
    rows = []
    for name in spiking:
        begin = differs[name] & first.unsqueeze(2)
        condition = reference.sequences[f"{name}.spike@condition"].detach().abs()
        spikes = int((reference.sequences[f"{name}.spike"] > 0).sum())
        if not begin.any():
            rows.append(Row(name, "spikes", f"{spikes} spikes, none differs in lockstep", True))
            continue
        worst = float(condition[begin].max() / condition.max())
        step = int(begin.any(dim=2).any(dim=1).nonzero()[0])
        count = int(begin.any(dim=2).sum())
        found = f"{count} samples part, first at step {step}, |condition| {worst:.1e} of its range"
        rows.append(Row(name, "spikes", found, worst <= rounding))
        first = first & ~begin.any(dim=2)  # what differs at the same step downstream follows from this
    return rows, paths


def _distance(name: str, what: str, a: torch.Tensor, b: torch.Tensor, paths: torch.Tensor, tolerance: float) -> Row:
    """Return the row of two sequences compared while the paths are the same."""
    a, b = a.detach().cpu().double()[paths], b.detach()[paths]
    if not b.numel():
        return Row(name, what, "nothing to compare", True)
    scale = float(b.abs().max())
    distance = float((a - b).abs().max())
    return Row(name, what, f"differs by {distance:.1e}, range {scale:.1e}", distance <= tolerance * max(scale, 1e-30))


def _gradients(
    target: _Traces, reference: _Traces, outputs: Sequence[str], paths: torch.Tensor, tolerance: float
) -> list[Row]:
    """Compare the gradients of one random weighting of the outputs, which is 0 where the paths differ."""
    import torch

    found = []
    for run in (target, reference):
        loss = torch.zeros((), dtype=torch.float64)
        for name in outputs:
            y = run.sequences[name].cpu().double()
            weights = torch.rand(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.25
            loss = loss + (weights * paths.unsqueeze(2) * y).sum()
        found.append(torch.autograd.grad(loss, list(run.leaves.values()), allow_unused=True))
    rows = []
    for name, a, b in zip(target.leaves, *found, strict=True):
        if a is None or b is None:
            rows.append(Row(name, "gradient", "none", a is None and (b is None or not b.any())))
            continue
        scale, distance = float(b.abs().max()), float((a.cpu().double() - b).abs().max())
        text = f"differs by {distance:.1e}, largest {scale:.1e}"
        rows.append(Row(name, "gradient", text, scale > 0 and distance <= tolerance * scale))
    return rows
