"""What a model computes and how, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphc.ir import (
    Const,
    Count,
    DelayedSynapses,
    Diffusion,
    Graph,
    Kernel,
    Map,
    Node,
    Noise,
    Parameter,
    Place,
    Pool,
    Program,
    Project,
    Propagator,
    Read,
    Repeat,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Synapses,
    Take,
    Test,
    Time,
    Total,
    slot,
    symbol,
)
from graphc.passes.launches import launches_in_words

from .card import card_of
from .jacobian import show_jacobian, step_jacobian
from .memory import memory
from .network import Network

MULTIPLY = ("Project", "ProjectTransposed", "Synapses", "DelayedSynapses")

if TYPE_CHECKING:
    from graphc.runtime.build import Build


def explain(
    network: Network,
    stages: Sequence[tuple[str, Program]],
    build: Build,
    key: str,
    steps: int,
    batch: int,
    rule: Sequence[str] = (),
) -> str:
    """Return every section of ``model.explain()``.

    Args:
        network: what was declared.
        stages: the program after every pass, by name.
        build: the kernels of the key that is shown.
        key: the key in words.
        steps: T of the call whose memory is predicted.
        batch: B of that call.
        rule: lines about an online learning rule.
    """
    discrete = next(program for _, program in stages if program.stage != "declared")
    program = stages[-1][1]
    card = card_of(network, discrete, str(build.key.dtype).removeprefix("torch."), build.key.options.precision)
    sections = [
        ("one step, after discretisation", equations(discrete)),
        ("step Jacobian, entries that are not zero by structure", show_jacobian(step_jacobian(discrete))),
        ("inputs without a connection, which are 0", unconnected(network)),
        ("parameters", [_parameter(p, program) for p in program.parameters]),
        ("schedule", [options_of(build)]),
        ("kernels", _kernels(build)),
        ("storage of sequences", storages(build)),
        ("saved for backward", saved(build)),
        (f"memory of a call of {steps} steps, {batch} samples, predicted", memory(build, steps, batch)),
        ("notes of the passes", [f"{about}: {line}" for about, line in program.notes]),
    ]
    if rule:
        sections.insert(2, ("learning rule: what it carries from step to step, and what it drops", list(rule)))
    parts = [f"shown for {key}", str(card)]
    parts += [f"{title}\n" + "\n".join(f"  {line}" for line in lines or ["none"]) for title, lines in sections]
    return "\n\n".join(parts) + "\n"


def options_of(build: Build) -> str:
    """Return where the options of the kernels come from."""
    chosen = build.key.options.schedule
    if build.key.options.origin:
        return f"tuned: {build.key.options.origin}"
    if chosen is None:
        return "the defaults; the tuning database has nothing for this call (`graphc tune` finds what is faster)"
    return ", ".join(f"{name} {value}" for name, value in chosen) or "the defaults, as asked for"


def equations(program: Program) -> list[str]:
    """Return the nodes of one time step as equations, each with the user's line."""
    lines = []
    for region in program.regions:
        for node in live(region.graph):
            where = f"  # {node.result.loc}" if node.result.loc else ""
            lines.append(f"{node.result.name} = {right_hand_side(node)}{where}")
        lines += [f"{c.name}[t+1] = {c.next.name}" for c in region.graph.carries]
    return lines


def live(graph: Graph) -> list[Node]:
    """Return the nodes that something depends on, in order."""
    live, kept = set(graph.results), []
    for node in reversed(graph.nodes):
        if node.result in live:
            live.update(node.operands)
            kept.append(node)
    return kept[::-1]


def right_hand_side(node: Node) -> str:
    """Return what a node computes, in words where there is no formula."""
    names = [v.name for v in node.operands]
    match node:
        case Map(expr=expr):
            return str(expr)
        case Const(value=value):
            return repr(value)
        case Time():
            return "time of the step in ms"
        case Noise(kind=kind, stream=stream):
            return f"{kind} random number, stream {stream}"
        case Test(strict=strict):
            return f"{names[0]} {'>' if strict else '>='} 0"
        case Spike(strict=strict):
            blocked = f" and not {names[1]}" if len(names) > 1 else ""
            return f"spike where {names[0]} {'>' if strict else '>='} 0{blocked}, derivative {node.derivative}"
        case Reset():
            return f"{names[2]} where {names[1]}, else {names[0]}"
        case Count():
            return f"{names[2]} where {names[1]}, else {names[0]} - 1, at least 0"
        case StopGradient():
            return f"{names[0]} without gradient"
        case Project():
            return f"{names[0]} @ {names[1]}"
        case Synapses(expr=expr, roles=roles, over=over):
            named = expr.xreplace({slot(k): symbol(v) for k, v in enumerate(node.operands[: len(roles)])})
            return (
                f"sum over {'listed ' * node.listed}synapses of {named}, per {'target' if over == 'pre' else 'source'}"
            )
        case DelayedSynapses(lags=lags):
            delays = f"{lags[0]} to {lags[-1]} steps" if len(lags) > 2 else f"{' and '.join(map(str, lags))} steps"
            return f"sum over listed synapses of {node.factor.name} times their source, delays of {delays}, per target"
        case Repeat():
            return f"{names[0]} of the channel of every neuron"
        case Take() | Place() | Total():
            return f"{type(node).__name__.lower()} of {', '.join(names)}"
        case Read(history=history, delay=delay):
            return f"{history.removesuffix('@history')} {delay} step{'s' * (delay > 1)} ago"
        case Spread(side="pre" | "post" as side):
            return f"{names[0]} of the {'source' if side == 'pre' else 'target'} of every synapse"
        case Spread():
            return f"{names[0]} for every neuron"
        case Pool(mean=mean):
            return f"{'mean' if mean else 'sum'} of {names[0]} over the batch"
        case Propagator(row=row, column=column, forcing=forcing):
            what = "response" if forcing else "exponential"
            return f"{what} [{row}, {column}] of the linear block of {', '.join(names)}"
        case Diffusion(row=row, column=column):
            return f"factor [{row}, {column}] of the covariance that noise leaves, of {', '.join(names)}"
    return f"{type(node).__name__}({', '.join(names)})"


def unconnected(network: Network) -> list[str]:
    """Return the inputs of populations that no connection drives."""
    driven = {(c.post, target) for c in network.connections.values() for target in c.transmit}
    inputs = [(p.name, i.name) for p in network.populations.values() for i in p.neuron.inputs]
    factors = [(f"{c.name}.{i.name}", i.name) for c in network.connections.values() if c.rule for i in c.rule.inputs]
    alone = [f"{owner}.{name}" for owner, name in inputs if (owner, name) not in driven]
    return alone + [owner for owner, name in factors if (owner, name) not in driven]


def saved(build: Build) -> list[str]:
    """Return what is kept between the halves: bytes per step and sample, and per neuron."""
    lines, total = [], 0
    for name in build.sequences:
        size, count = build.storage(name).itemsize, math.prod(build.row(name))
        total += size * count
        each, many = ("32 neurons", "words") if _is_bits(build, name) else ("neuron", "neurons")
        lines.append(
            f"{name.removeprefix('saved ')}: {size} byte{'s' * (size > 1)} per {each} and step, {count} {many}"
        )
    if lines:
        lines.append(f"{total} bytes per step and sample, beside the inputs and outputs that the caller has")
    return lines


def _is_bits(build: Build, name: str) -> bool:
    return build.schedule is not None and name in (b := build.schedule.buffers) and b[name].storage == "bits"


def storages(build: Build) -> list[str]:
    """Return how the sequences that kernels hand on are stored, with the reason where a choice was made."""
    if build.schedule is None:
        return []
    lines = []
    for buffer in build.schedule.buffers.values():
        if buffer.kind == "sequence":
            dtype = str(build.storage(buffer.name)).removeprefix("torch.")
            kind = {"bits": "a bit", "condition": f"{dtype} that keeps the sign"}.get(buffer.storage, dtype)
            lines.append(f"{buffer.name}: {kind}" + (f", {buffer.reason}" if buffer.reason else ""))
    return lines


def _parameter(p: Parameter, program: Program) -> str:
    shape = ", ".join(str(program.sizes[a]) for a in p.type.axes)
    bounds = [f"> {p.minimum!r}"] * (p.minimum is not None) + [f"< {p.maximum!r}"] * (p.maximum is not None)
    kind = "learned" if p.learn else "fixed"
    return f"{p.name}: ({shape}) {kind}" + (f", {' and '.join(bounds)}" if bounds else "")


def _kernels(build: Build) -> list[str]:
    if build.schedule is None:
        return ["none: the reference target interprets the program"]
    launches = [launches_in_words(build.schedule)] if build.schedule.target == "triton" else []
    return [*(_kernel(k) for k in build.schedule.kernels), *launches]


def _kernel(kernel: Kernel) -> str:
    half = "backward" if kernel.backward else "forward"
    if kernel.kind == "product":
        return f"{kernel.name} ({half}): {kernel.strategy.replace('_', ' ')} over all steps at once"
    options = "".join(f", {name} {value}" for name, value in kernel.options.items())
    direction = "time loop" if kernel.kind == "steps" else "reverse time loop"
    loops = [len(loop) for loop in kernel.loops]
    fused = f"{sum(loops)} operations fused into {len(loops)} loop{'s' * (len(loops) != 1)}"
    options += f", {kernel.tile} steps together" * (kernel.tile > 1)
    layout = f"{kernel.strategy}{options} ({kernel.reason})"
    return f"{kernel.name} ({half}): {direction}, {layout}; {fused}; {_products(kernel.graph)}"


def _products(graph: Graph) -> str:
    products = [n for n in graph.nodes if type(n).__name__ in MULTIPLY]
    if not products:
        return "no product inside"
    weights = ", ".join(dict.fromkeys(_weight(n) for n in products))
    return f"products inside with {weights}"


def _weight(node: Node) -> str:
    """Return the name of what a product multiplies by."""
    if isinstance(node, DelayedSynapses):
        return node.factor.name
    if isinstance(node, Synapses):
        return ", ".join(v.name for v in node.role("synapse")) or "synapses drawn at every spike"
    return node.operands[1].name
