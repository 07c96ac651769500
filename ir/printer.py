"""Text form of graphs, programs and schedules."""

from __future__ import annotations

from functools import singledispatch

from .graph import Graph
from .node import Node, Value
from .ops import Const, Diffusion, Map, Noise, Ode, Pool, Propagator, Read, Spike, Spread, Test, Time
from .program import Program
from .schedule import Kernel, Schedule, StepBuffer
from .synapses import DelayedSynapses, Synapses


@singledispatch
def show(thing: object) -> str:
    """Return the text of a Program, Graph or Schedule."""
    raise TypeError(f"cannot print a {type(thing).__name__}")


@show.register
def _program(program: Program) -> str:
    sizes = ", ".join(f"{axis}={size}" for axis, size in program.sizes.items())
    parts = [f"program {program.stage} dt={program.dt!r} {sizes}"]
    parts += [f"  parameter {p.name}: {p.type}{' learned' if p.learn else ''}" for p in program.parameters]
    parts.append(_indent(f"initial {_graph(program.initial)}"))
    for region in program.regions:
        head = region.kind + " backward" * region.backward + f" by {region.tile}" * (region.tile > 1)
        parts.append(_indent(f"{head} {_graph(region.graph)}"))
    return "\n".join(parts)


@show.register
def _graph(graph: Graph) -> str:
    lines = [f"graph {graph.name}:"]
    lines += [f"  %{i.value.name}: {i.value.type} = {i.kind} {i.source}" for i in graph.inputs]
    lines += [f"  %{c.current.name}: {c.current.type} = carry {c.name} from {c.init or 'zero'}" for c in graph.carries]
    lines += [f"  {_node(node)}" for node in graph.nodes]
    lines += [f"  carry {c.name} <- %{c.next.name}{f' to {c.final}' if c.final else ''}" for c in graph.carries]
    lines += [
        f"  history {h.name}[{h.depth}] <- %{h.value.name}{f' to {h.final}' if h.final else ''}"
        for h in graph.histories
    ]
    lines += [f"  {o.kind} {o.name} <- %{o.value.name}" for o in graph.outputs]
    return "\n".join(lines)


@show.register
def _schedule(schedule: Schedule) -> str:
    lines = [f"schedule {schedule.target} {schedule.dtype}"]
    lines += [f"  buffer {b.name}: {b.kind} {b.type} as {b.storage}" for b in schedule.buffers.values()]
    lines += [f"  saved {name}" for name in schedule.saved]
    lines += [_indent(_kernel(kernel)) for kernel in schedule.kernels]
    return "\n".join(lines)


def _kernel(kernel: Kernel) -> str:
    options = "".join(f" {key}={value}" for key, value in kernel.options.items())
    tile = f" tile={kernel.tile}" * (kernel.tile > 1)
    lines = [f"kernel {kernel.name} {kernel.kind} {kernel.strategy}{options}{tile}"]
    lines += [f"  reads {name}" for name in kernel.reads] + [f"  writes {name}" for name in kernel.writes]
    lines += [f"  hands on {_step_buffer(b)}" for b in kernel.buffers]
    lines += [_indent(_kernel(part)) for part in kernel.parts]
    for number, loop in enumerate(kernel.loops if not kernel.parts and not kernel.stages else ()):
        lines += [f"  loop {number}:"] + [f"    {_node(node)}" for node in loop]
    for number, stage in enumerate(kernel.stages):
        lines += [f"  stage {number}:"] + [f"    {_node(node)}" for node in stage.graph.nodes]
        lines += [f"    history {h.name} <- %{h.value.name}" for h in stage.graph.histories]
    return "\n".join(lines)


def _step_buffer(buffer: StepBuffer) -> str:
    row = "" if buffer.row is None else f"[{buffer.row}]"
    start, end = f" from {buffer.init}{row}" if buffer.init else "", f" to {buffer.final}" if buffer.final else ""
    return f"{buffer.name}: {buffer.type} as {buffer.storage}{start}{end}"


def _node(node: Node) -> str:
    args = ", ".join(f"%{v.name}" for v in node.operands)
    match node:
        case Const(value=value):
            body = f"const {value!r}"
        case Time():
            body = "time"
        case Noise(stream=stream, kind=kind):
            body = f"noise {stream} {kind}"
        case Map(expr=expr):
            body = f"map {expr}"
        case Test(strict=strict) | Spike(strict=strict):
            body = f"{type(node).__name__.lower()} {args} {'>' if strict else '>='} 0"
        case Read(history=history, delay=delay):
            body = f"read {history}[-{delay}]"
        case Spread(side=str() as side):
            body = f"spread {args} by {side}"
        case Pool(mean=mean):
            body = f"{'mean' if mean else 'sum'} over the batch of {args}"
        case Diffusion(row=row, column=column):
            body = f"diffusion [{row}, {column}] {args}"
        case Propagator(row=row, column=column, forcing=forcing):
            body = f"{'forcing' if forcing else 'propagator'} [{row}, {column}] of {args}"
        case Synapses(expr=expr, over=over, roles=roles):
            named = [f"{v.name} ({r})" for v, r in zip(node.operands, roles, strict=False)]
            of = f" of list %{node.operands[-2].name}, %{node.operands[-1].name}" if node.listed else ""
            body = f"synapses {expr} over {over} [{', '.join(named)}]{of}"
        case DelayedSynapses(lags=lags, over=over):
            body = f"delayed_synapses over {over} at {', '.join(map(str, lags))} of {args}"
        case Ode(system=system, index=index):
            body = f"ode {system.integrator} d{system.states[index]}/dt = {system.rates[index]} of {args}"
        case _:
            body = f"{_verb(node)} {args}"
    return f"%{node.result.name}: {node.result.type} = {body}{_where(node.result)}"


def _verb(node: Node) -> str:
    return "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in type(node).__name__).lstrip("_")


def _where(value: Value) -> str:
    return f"  # {value.loc}" if value.loc else ""


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
