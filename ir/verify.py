"""What always holds of a program, and which ops each stage may contain."""

from __future__ import annotations

from .errors import VerifyError
from .graph import Graph
from .node import Node, Value
from .ops import (
    Const,
    Count,
    Diffusion,
    Map,
    Noise,
    Ode,
    Outer,
    Pool,
    Project,
    ProjectTransposed,
    Propagator,
    Read,
    Reduce,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Test,
    Time,
    Via,
)
from .program import Program, Region, initial
from .synapses import PREPARES, DelayedSynapses, Synapses

_ALWAYS: frozenset[type[Node]] = frozenset(
    {
        Const,
        Time,
        Noise,
        Map,
        Test,
        Spike,
        Reset,
        Count,
        Project,
        ProjectTransposed,
        Outer,
        Pool,
        Reduce,
        Read,
        Spread,
        Synapses,
        DelayedSynapses,
    }
)
LEGAL: dict[str, frozenset[type[Node]]] = {
    "declared": _ALWAYS | {Ode, StopGradient, Via, *PREPARES},
    "discrete": _ALWAYS | {StopGradient, Via, Propagator, Diffusion, *PREPARES},
    "differentiated": _ALWAYS | {StopGradient, Propagator, Diffusion, *PREPARES},
}
"""Which ops may stand at each stage: `Ode` until discretize, `StopGradient` until the adjoint."""


def verify(program: Program, sound: set[Node] | None = None) -> None:
    """Raise a VerifyError where `program` breaks a rule of the IR.

    Nodes in `sound` keep the rules of their classes, and those that are found to are added.
    """
    sound = set() if sound is None else sound
    if program.stage not in LEGAL:
        raise VerifyError(f"unknown stage {program.stage!r}")
    known = (
        {p.name for p in program.parameters}
        | {t.name for t in program.inputs}
        | {initial(t.name) for t in program.states}
    )
    verify_graph(program.initial, sound)
    for region in program.regions:
        _verify_region(region, program, known, sound)
        known |= _written(region)
    missing = [name for name in program.outputs if name not in known]
    if missing:
        raise VerifyError(f"no region writes the output {missing[0]!r}")


def _written(region: Region) -> set[str]:
    graph = region.graph
    finals = {c.final for c in graph.carries if c.final} | {h.final for h in graph.histories if h.final}
    return {o.name for o in graph.outputs} | finals


def _verify_region(region: Region, program: Program, known: set[str], sound: set[Node]) -> None:
    graph = region.graph
    verify_graph(graph, sound)
    legal = LEGAL[program.stage]
    for node in graph.nodes:
        if type(node) not in legal:
            node.fail(f"is not legal at stage {program.stage!r}")
        if program.stage == "differentiated" and region.kind != "once":
            if isinstance(node, (Propagator, Diffusion, *PREPARES)):
                node.fail("belongs into the prologue")
            if isinstance(node, StopGradient):
                node.fail("is legal in the prologue alone, which torch differentiates; the adjoint drops it")
    if region.kind in ("once", "all_steps") and graph.carries:
        raise VerifyError(f"graph {graph.name!r} runs {region.kind} and has carries")
    if not region.backward:
        sources = [i.source for i in graph.inputs]
        sources += [c.given for c in graph.carries if c.given] + [h.init for h in graph.histories if h.init]
        for source in sources:
            if source not in known:
                raise VerifyError(f"graph {graph.name!r} reads {source!r}, which nothing before it writes")


def verify_graph(graph: Graph, sound: set[Node] | None = None) -> None:
    """Raise a VerifyError where `graph` alone is not well formed; nodes in `sound` keep the rules of their classes."""
    sound = set() if sound is None else sound
    defined: set[Value] = set()
    names: set[str] = set()

    def define(value: Value) -> None:
        if value in defined or value.name in names:
            raise VerifyError(f"%{value.name} is defined twice in graph {graph.name!r}", value.loc)
        defined.add(value)
        names.add(value.name)

    for value in graph.arguments:
        define(value)
    histories = {h.name for h in graph.histories}
    for node in graph.nodes:
        for operand in node.operands:
            if operand not in defined:
                node.fail(f"reads %{operand.name} before it is defined")
        if isinstance(node, Read):
            if node.history not in histories:
                node.fail(f"reads the unknown history {node.history!r}")
            history = graph.history(node.history)
            if node.delay > history.depth or node.result.type != history.value.type:
                node.fail(
                    f"reads {node.delay} steps back in {node.history!r}, "
                    f"which keeps {history.depth} of {history.value.type}"
                )
        if node not in sound:
            node.verify()
            sound.add(node)
        define(node.result)
    for value in graph.results:
        if value not in defined:
            raise VerifyError(f"graph {graph.name!r} returns %{value.name}, which is not defined", value.loc)
    for carry in graph.carries:
        if carry.current.type != carry.next.type:
            raise VerifyError(
                f"carry {carry.name!r} changes type: {carry.current.type} to {carry.next.type}", carry.next.loc
            )
