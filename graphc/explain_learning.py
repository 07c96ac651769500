"""What an online rule carries and leaves out, in words and equations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import sympy

from graphc.ir import Graph, GraphcError, Program, TargetError, Trace, Value
from graphc.passes.jacobian import NONZERO, derivatives

if TYPE_CHECKING:
    from graphc.passes import Rule
    from graphc.runtime.build import Build

    from .compile import NetworkCompiler

WORDS = {
    "diagonal": "block-diagonal traces: gradients stay within a neuron over time",
    "snap1": "block-diagonal traces with the weight of each neuron to itself",
    "ottt": "traces of sources alone",
    "sltt": "no traces: each step by itself",
    "full": "real-time recurrent learning: all paths",
}
KIND = {
    "shared": "shared by all targets",
    "dense": "one per synapse",
    "full": "one per synapse and state of every neuron",
}


def learning(compiler: NetworkCompiler, build: Build, latex: bool = False) -> list[str]:
    """Return the lines of the section on the learning rule of `build`; nothing without one.

    Args:
        compiler: what compiled the network.
        build: the kernels of a key with gradients.
        latex: write equations in LaTeX.
    """
    found = _driven(compiler, build)
    if found is None:
        return []
    rule, program, graph = found
    lines = [f"{rule.name}: {WORDS[rule.name]}; feedback {rule.feedback}", *_schedule(build, program)]
    for trace in program.traces:
        lines += _trace(trace, graph, program, build.key.dtype.itemsize, latex)
    lines += [line for about, line in program.notes if about == "learning"]
    return lines


def _driven(compiler: NetworkCompiler, build: Build) -> tuple[Rule, Program, Graph] | None:
    """Return the rule of a build, the program that writes what traces accumulate, and one step before its adjoint."""
    from graphc.runtime.online import driven

    rule = build.key.request.rule
    if rule is None or not build.key.request.wrt:
        return None
    states = tuple(t for t in build.program.states if "~" not in t.name)
    stages = compiler.stages(driven(build.key.request, states))
    local = next(p for _, p in reversed(stages) if p.stage == "discrete")
    (graph,) = (r.graph for r in local.regions if r.kind == "steps")
    return rule, stages[-1][1], graph


def trace_equations(compiler: NetworkCompiler, build: Build) -> list[tuple[Trace, sympy.Expr]]:
    """Return every trace of a build with what it becomes at a step; nothing without an online rule."""
    found = _driven(compiler, build)
    if found is None:
        return []
    _, program, graph = found
    return [(trace, _total(_terms(trace, graph, program))) for trace in program.traces]


def _total(terms: list[tuple[str, sympy.Expr]]) -> sympy.Expr:
    return sympy.Add(*(factor * (sympy.Symbol(name) if name else 1) for name, factor in terms))


def _schedule(build: Build, program: Program) -> list[str]:
    """Return how a call is cut into chunks, and why."""
    chunk, sizes = build.key.options.chunk, program.sizes
    dense = any(len(t.type.axes) > 1 for t in program.traces)
    carried = sum(math.prod(sizes[a] for a in t.type.axes) for t in program.traces) * build.key.dtype.itemsize
    text = f"traces take {carried} bytes per sample"
    if chunk == "all":
        return [f"a call is one chunk, as asked; {text} in a stream"]
    if chunk is not None:
        return [f"calls of more than {chunk} steps are cut into chunks of {chunk}, as asked; {text}"]
    if not dense:
        text += ", none of them per synapse"
    crossover = build.crossover()
    return [
        f"calls of up to {crossover} steps are one local reverse pass, whose sequences then take less than traces; "
        f"longer ones are cut into chunks; {text}"
    ]


def _trace(trace: Trace, graph: Graph, program: Program, width: int, latex: bool) -> list[str]:
    """Return the equation of a trace from step to step, and what it costs."""
    count = math.prod(program.sizes[a] for a in trace.type.axes)
    terms = _terms(trace, graph, program)
    cost = f"{count * width} bytes and {2 * count * max(len(terms), 1)} operations per sample and step"
    kind = KIND[trace.kind] if trace.driver.source is not None else "one per neuron"
    total = _total(terms)
    if latex:
        named = {s: sympy.Symbol(_latex_name(s.name)) for s in total.free_symbols}
        equation = f"{_latex_name(trace.name)} \\leftarrow {sympy.latex(total.xreplace(named))}"
    else:
        equation = f"{trace.name} <- {total}"
    return [f"{equation}  ({kind}: ({', '.join(('B', *trace.type.axes))}), {cost})"]


def _terms(trace: Trace, graph: Graph, program: Program) -> list[tuple[str, sympy.Expr]]:
    """Return what a trace becomes: names of traces and of the source, each with its factor."""
    if trace.state.history is not None and trace.state.age > 1:
        before = f"{trace.state.history.removesuffix('@history')}-{trace.state.age - 1}"
        return [(f"{trace.driver.coefficient}~{before}", sympy.S.One)]
    terms = []
    for other in program.traces:
        if other.driver is trace.driver and trace.state.next is not None:
            entry = derivatives(graph, other.state.current).get(trace.state.next, sympy.S.Zero)
            if entry != 0:
                terms.append((other.name, _named(entry, f"d {trace.state.label} / d {other.state.label}")))
    start = _start(trace, graph)
    if start is not None and trace.state.next is not None:
        entry = derivatives(graph, start).get(trace.state.next, sympy.S.Zero)
        if entry != 0:
            source = trace.driver.source
            what = "" if source is None else source.removeprefix("source ").removeprefix("saved ")
            factor = _named(entry, f"d {trace.state.label} / d {start.name}")
            terms.append((what, factor))
    return terms


def _start(trace: Trace, graph: Graph) -> Value | None:
    """Return the value through which the coefficient acts."""
    if trace.driver.source is None:
        return next((i.value for i in graph.inputs if i.source == trace.driver.coefficient), None)
    return next((v for v in graph.values if v.name == trace.driver.into), None)


def _named(entry: sympy.Expr, name: str) -> sympy.Expr:
    return sympy.Symbol(f"({name})") if entry == NONZERO else entry


def _latex_name(name: str) -> str:
    return "\\mathit{" + name.replace("_", "\\_").replace("~", "\\sim ") + "}"


def traces_text(build: Build) -> str:
    """Return the text of the kernel that advances the traces of a build.

    Raises:
        GraphcError: the build has no traces.
        TargetError: the target makes their sums by torch.
    """
    from graphc.runtime.online import Stream, Whole

    stream = build.stream() if isinstance(build, Whole) else build
    weights = [t for t in stream.traces if t.driver.source is not None] if isinstance(stream, Stream) else []
    if not isinstance(stream, Stream) or not weights or stream.full:
        raise GraphcError("this key has no traces of synapses", hint="compile with learn=gc.learn.BlockDiagonal()")
    if build.key.target == "c":
        from graphc.codegen.c.traces import emit_traces as emit_c

        return emit_c("double" if build.key.dtype.itemsize == 8 else "float", "uint8_t")
    if build.key.target == "triton":
        from graphc.codegen.triton.traces import Shape
        from graphc.codegen.triton.traces import emit_traces as emit_triton

        own = [t for t in weights if t.driver is weights[-1].driver]
        labels = [t.state.label for t in own]
        reads = tuple(tuple(labels.index(r) for r in t.reads if r in labels) if t.kind == "dense" else () for t in own)
        return emit_triton(Shape(tuple(t.kind == "shared" for t in own), (True,) * len(own), reads, True))
    raise TargetError("target 'reference' sums traces by torch: it has no text", hint='pass target="c"')
