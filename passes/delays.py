"""Find how far each recurrent component looks back at least: its minimum delay."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir import Graph, Program, Read


@dataclass(frozen=True, slots=True)
class Delays:
    """Note the depth of every history and the minimum delay D of every recurrent component, with the edge that sets it.

    before:  history hid.spike[3], read at 1 and 3        after:  the same, and the note "hid.spike: D = 1"
    """

    name: str = "delays"

    def run(self, program: Program) -> Program:
        """Return `program` with the notes."""
        if any(about == "delays" for about, _ in program.notes):
            return program
        lines = [line for r in program.regions if r.kind == "steps" for line in _describe(r.graph)]
        return program.note("delays", *lines) if lines else program


def _describe(graph: Graph) -> list[str]:
    lines = []
    for history in graph.histories:
        reads = [n for n in graph.nodes if isinstance(n, Read) and n.history == history.name]
        recurrent = [n for n in reads if _returns(graph, n)]
        delays = ", ".join(str(n.delay) for n in reads)
        text = f"{history.name}: keeps {history.depth} steps, read {delays} back"
        if recurrent:
            text += f"; recurrent, minimum delay {min(n.delay for n in recurrent)}"
        lines.append(text)
    return lines


def _returns(graph: Graph, read: Read) -> bool:
    """Whether what `read` brings in reaches the value of its own history."""
    import networkx

    return bool(networkx.has_path(graph.to_networkx(), read.result, graph.history(read.history).value))
