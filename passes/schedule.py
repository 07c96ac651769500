"""Program -> Schedule: kernels, their layout and their buffers, for one device and dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from graphc.ir import (
    Const,
    DelayedSynapses,
    DeviceSpec,
    Graph,
    History,
    Input,
    Kernel,
    Names,
    Node,
    Outer,
    Output,
    Pool,
    Precision,
    Program,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Region,
    Reset,
    Schedule,
    Spread,
    Synapses,
    TargetError,
    Time,
    Value,
)

from .fuse import loops_of
from .options import Tuned, check_options, for_half
from .partition import PRODUCTS, is_product
from .phases import phases_of, split_axes, split_parts
from .storage import buffers_of, keep_exact
from .strategy import Layout, Loop, lay_out
from .tile_time import between_barriers, stages_of

Dtype = Literal["float32", "float64"]
MULTIPLY = (*PRODUCTS, Synapses, DelayedSynapses)
"""What reads a weight."""

POOLED = 64
"""Samples of a batch over which a kernel of target "c" reduces changes of weights, if `schedule=` does not say."""

C_ALONE = ("packed", "dense_rows", "vector", "stream", "dense", "threads")
"""Options of target "c" whose defaults its own texts and its loader know."""

OWN = 4096
"""Synapses of a sample from which each has the caches for itself."""

BLOCK = 1 << 18
"""Numbers that one stage of a block of steps may hand on to the next on a CPU: more would not stay in its caches."""


def schedule(
    program: Program,
    device: DeviceSpec,
    dtype: Dtype,
    target: str,
    tuned: Tuned | None = None,
    precision: Precision = "float32",
) -> Schedule:
    """Return how `target` runs `program`.

    Args:
        program: a program after every pass.
        device: what it runs on.
        dtype: the state dtype.
        target: "c" or "triton".
        tuned: a strategy, tiles and more that replace the defaults: see options.py.
        precision: of sequences and of the factors of products.

    Raises:
        TargetError: the target has no strategy for a loop of this program, or not this precision.
    """
    check_options(tuned or {})
    check_precision(target, dtype, precision)
    program = keep_exact(program, precision)
    kernels: list[Kernel] = []
    halves = {backward: for_half(tuned or {}, backward) for backward in (False, True)}
    for region in program.regions:
        chosen = halves[region.backward]
        if region.kind == "once":
            continue
        if region.kind == "all_steps":
            kernels += _products(region, chosen if target == "c" else {})
        elif target == "triton":
            kernels += _triton_loops(region, program, device, dtype, precision, chosen)
        else:
            kernels.append(_c_loop(region, program, chosen))
    return Schedule(
        target=target,
        dtype=dtype,
        sizes=dict(program.sizes),
        buffers=buffers_of(program, kernels, target, precision, (tuned or {}).get("spikes")),
        kernels=tuple(kernels),
        saved=_saved(kernels),
        precision=precision,
    )


def check_precision(target: str, dtype: Dtype, precision: Precision) -> None:
    """Raise a TargetError unless `target` computes in `precision`, with states in `dtype`."""
    if precision == "float32":
        return
    if target != "triton":
        raise TargetError(
            f"target {target!r} does not compute in precision {precision!r}",
            hint='use precision="float32", or move the model to a CUDA device',
        )
    if dtype != "float32":
        raise TargetError(f"precision {precision!r} keeps states in float32, not in {dtype}", hint="leave dtype out")


def _loop(region: Region, layout: Layout, graph: Graph | None = None) -> Kernel:
    assert region.kind in ("steps", "reverse")
    kind: Literal["steps", "reverse"] = "steps" if region.kind == "steps" else "reverse"
    graph = graph or region.graph
    return Kernel(
        name=graph.name,
        kind=kind,
        graph=graph,
        loops=loops_of(graph),
        strategy=layout.strategy,
        options=layout.options,
        backward=region.backward,
        checks=checks(graph),
        reason=layout.reason,
    )


def _c_loop(region: Region, program: Program, tuned: Tuned) -> Kernel:
    """Return a loop that takes as many steps together as delays allow, and as its caches have room for."""
    layout = _c_layout(region.graph, program, tuned)
    kernel, products = _loop(region, layout), [n for n in region.graph.nodes if isinstance(n, MULTIPLY)]
    widest = max((program.sizes[a] for n in products for a in n.result.type.axes), default=1)
    allowed = tile_of(region, tuned)
    tile = min(allowed, BLOCK // (layout.options["rows"] * widest))
    kernel = replace(kernel, options={**kernel.options, **_c_options(tuned)})
    if tile > 1 and all(isinstance(n, (Project, ProjectTransposed)) for n in products):
        graph, stages = stages_of(region.graph, tile)
        return replace(kernel, graph=graph, loops=loops_of(graph), tile=tile, stages=stages)
    return kernel if allowed == 1 else _one_by_one(kernel, allowed)


def _c_options(tuned: Tuned) -> dict[str, int]:
    """Return the options that kernels of target "c" have only where someone chose them."""
    return {name: int(tuned[name]) for name in C_ALONE if name in tuned}


def _one_by_one(kernel: Kernel, allowed: int) -> Kernel:
    return replace(kernel, reason=f"{kernel.reason}; step by step, although delays allow {allowed} steps together")


def tile_of(region: Region, tuned: Tuned) -> int:
    """Return how many steps go together: what the delays allow, or less where `schedule=` says so."""
    return min(region.tile, int(tuned.get("tile_time", region.tile)))


def has_product(graph: Graph) -> bool:
    """Whether the loop multiplies by a weight at every step."""
    return any(isinstance(n, MULTIPLY) for n in graph.nodes)


def _c_layout(graph: Graph, program: Program, tuned: Tuned) -> Layout:
    """Return the blocks in which the C target goes through a time loop.

    Rows of the batch advance together where a weight is read at every step, so that one reading serves them all;
    without one they do so where few neurons make a row: short rows of memory waste pages and prefetches. Many neurons
    of one axis are cut into chunks whose states stay in cache.
    """
    if any(isinstance(n, Pool) for n in graph.nodes):
        rows = max(int(tuned.get("rows", POOLED)), POOLED)  # a larger batch is refused, so fewer help nobody
        return Layout("rows", {"rows": rows}, "changes are reduced over the batch at every step")
    own = [math.prod(program.sizes[a] for a in v.type.axes) for v in graph.values if is_own(v, graph)]
    if own:
        rows = int(tuned.get("rows", 1 if max(own) > OWN else 8))
        return Layout("rows", {"rows": rows}, "every sample has synapses of its own")
    if has_product(graph):
        lists = [n for n in graph.nodes if isinstance(n, (DelayedSynapses, Synapses))]
        lanes = any(isinstance(n, DelayedSynapses) or n.over == "post" for n in lists)
        rows = 32 if any(isinstance(n, DelayedSynapses) for n in lists) else 16 if lanes else 8
        why = "a synapse is read for many rows" if lanes else "a weight is read at every step"
        return Layout("rows", {"rows": int(tuned.get("rows", rows))}, why)
    widest = max((program.sizes[v.type.axes[0]] for v in graph.values if len(v.type.axes) == 1), default=1)
    options = {"rows": int(tuned.get("rows", max(min(2048 // widest, 32), 1)))}
    elementwise = [n for n in graph.nodes if not isinstance(n, (Const, Time, Read, Reduce))]
    over = {n.result.type.axes for n in elementwise if n.result.type.batched or n.result.type.axes}
    over |= {c.current.type.axes for c in graph.carries}
    chunk = int(tuned.get("neurons", 1024))
    if len(over) == 1 and () not in over and widest > chunk:
        options["chunk"] = chunk
    return Layout("elementwise", options, "no neuron hears of another inside the loop")


def _refuse_own(graph: Graph) -> None:
    """Raise where a loop keeps numbers per synapse and sample, or reduces over the batch at every step."""
    for node in graph.nodes:
        if isinstance(node, Pool) or (isinstance(node, Spread) and node.side is not None) or is_own(node.result, graph):
            raise TargetError(
                f"%{node.result.name} belongs to the synapses of each sample, which a learning rule changes, or noise "
                "draws, at every step; target 'triton' runs rules whose states stay per neuron",
                node.result.loc,
                'use target="c", which runs it inside the time loop, or "reference"',
            )


def is_own(value: Value, graph: Graph) -> bool:
    """Whether `value` is one number per synapse and sample."""
    axes = {n.result.type.axes for n in graph.nodes if isinstance(n, Spread) and n.side in ("pre", "post")}
    return value.type.batched and (len(value.type.axes) == 2 or value.type.axes in axes)


def _triton_loops(
    region: Region,
    program: Program,
    device: DeviceSpec,
    dtype: Dtype,
    precision: Precision,
    tuned: Tuned,
) -> list[Kernel]:
    """Sums over the steps leave the loop as sequences: they would cost registers there."""
    _refuse_own(region.graph)
    whole, reductions = _without_sums(region.graph)
    kernels = []
    for graph in [whole] if has_product(whole) else split_axes(whole):
        layout = lay_out(Loop(graph, program, device, dtype, precision, tuned))
        kernel = _loop(region, layout, graph)
        if layout.strategy in ("cooperative", "stepwise"):
            kernel = replace(kernel, phases=phases_of(graph))
        if has_product(graph) and (tile := tile_of(region, tuned)) > 1:
            kernel = _wait_less(kernel, tile)
        if layout.strategy == "stepwise":
            kernel = split_parts(kernel, precision)
        kernels.append(kernel)
    return [*kernels, *(_product(region, node, graph) for node, graph in reductions)]


def _wait_less(kernel: Kernel, tile: int) -> Kernel:
    """Return a loop whose delays allow `tile` steps to go together; its programs, if they wait, do so once in these."""
    several = between_barriers(kernel.graph, tile) if kernel.strategy == "cooperative" else None
    if several is None:
        return _one_by_one(kernel, tile)
    graph, phases = several
    reason = f"{kernel.reason}; one barrier for {tile} steps, of which each makes its own products"
    return replace(kernel, graph=graph, loops=loops_of(graph), phases=phases, tile=tile, reason=reason)


def _without_sums(graph: Graph) -> tuple[Graph, list[tuple[Node, Graph]]]:
    """Return `graph` writing sequences where it summed over the steps, and a graph for each of those sums."""
    definition = graph.definition()
    names = Names(v.name for v in graph.values)
    outputs: list[Output] = []
    reductions: list[tuple[Node, Graph]] = []
    dropped: set[Node] = set()
    for output in graph.outputs:
        node = definition.get(output.value)
        if output.kind != "sum" or not isinstance(node, Reduce):
            outputs.append(output)
            continue
        operand = node.operands[0]
        name = next((o.name for o in outputs if o.value is operand and o.kind == "sequence"), f"summand {output.name}")
        if all(o.name != name for o in outputs):
            outputs.append(Output(name, operand, "sequence"))
        dropped.add(node)
        source = Value(names.fresh(operand.name), operand.type, operand.loc)
        total = replace(node, operands=(source,))
        reductions.append((total, Graph("sum", (Input(name, source, "sequence"),), (total,), (output,))))
    return replace(graph, outputs=tuple(outputs), nodes=tuple(n for n in graph.nodes if n not in dropped)), reductions


def _products(region: Region, tuned: Tuned) -> list[Kernel]:
    """Return one kernel per product of a region over all steps."""
    graph = region.graph
    kernels = []
    for node in graph.nodes:
        if isinstance(node, Read):
            continue
        if not is_product(node) and not isinstance(node, Reduce):
            node.fail("stands in an all_steps region, which holds products; partition puts it elsewhere")
        kernels.append(replace(_product(region, node, _alone(graph, node)), options=_c_options(tuned)))
    return kernels


def _alone(graph: Graph, node: Node) -> Graph:
    """Return the part of `graph` that computes `node` from inputs and shifts."""
    definition = graph.definition()
    reads = [definition[v] for v in node.operands if v in definition]
    histories: list[History] = []
    needed = dict.fromkeys(node.operands)  # in order, so that equal programs make equal texts
    for read in reads:
        if isinstance(read, Read):
            history = graph.history(read.history)
            histories.append(history)
            needed[history.value] = None
    made = {o.value: o.name for o in graph.outputs}
    inputs = [i for i in graph.inputs if i.value in needed]
    inputs += [
        Input(made[v], v, "sequence")
        for v in needed
        if v in definition and v in made and not isinstance(definition[v], Read)
    ]
    return Graph(
        graph.name,
        tuple(inputs),
        (*(r for r in reads if isinstance(r, Read)), node),
        tuple(o for o in graph.outputs if o.value is node.result),
        (),
        tuple(dict.fromkeys(histories)),
    )


def _product(region: Region, node: Node, graph: Graph) -> Kernel:
    name = f"{region.graph.name}_{node.result.name}"
    strategy = _STRATEGIES[type(node)]
    return Kernel(name, "product", graph, loops_of(graph), strategy, {}, region.backward)


_STRATEGIES: Mapping[type[Node], str] = {
    Project: "project",
    ProjectTransposed: "project_transposed",
    Outer: "outer",
    Reduce: "sum",
    Synapses: "synapses",
    DelayedSynapses: "delayed synapses",
}


def checks(graph: Graph) -> tuple[tuple[Value, str], ...]:
    """Return the values of the states before their resets, with the names to report where one is not finite."""
    definition = graph.definition()
    found = []
    for carry in graph.carries:
        value = carry.next
        if value.type.dtype != "real":
            continue
        while isinstance(node := definition.get(value), Reset):
            value = node.operands[0]
        if value is carry.current:  # all it does is jump
            value = carry.next
        found.append((value, carry.name))
    return tuple(found)


def _saved(kernels: list[Kernel]) -> tuple[str, ...]:
    """Return the buffers that the backward half reads and the forward half wrote or read."""
    forward = {name for k in kernels if not k.backward for name in k.arguments}
    return tuple(dict.fromkeys(name for k in kernels if k.backward for name in k.reads if name in forward))
