"""From a NIR graph to a network.

Neurons become populations. A Linear, Affine, Conv, Scale, pool or Delay that leads to one neuron becomes the connection
to it, its bias a parameter of the neuron; one that leads elsewhere becomes a population of units that send what they
receive. A Flatten, and the borders of a graph inside the graph, are nothing but names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.connection import Connection
from graphc.connectivity import Blocks, Connectivity, Dense, OneToOne
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.names import MODEL_ATTRIBUTES, MODULE_ATTRIBUTES, check_name
from graphc.symbols import Per
from graphc.values import whole_steps
from graphc.windows import AvgPool, Conv1d, Conv2d, SumPool

from .cells import cell
from .cycles import Link, delayed
from .dialect import Dialect, dialect_of
from .file import LARGEST
from .graph import CELLS, REAL, Graph, Node, graph_of
from .imported import INTO, ImportedNetwork, Slot
from .route import WINDOWS, Route, routes_of
from .shapes import Shape, numbers, padding_of, shapes_of


def read(
    source: Any, *, dt: Any, dialect: Any = None, round: bool = False, max_bytes: int = LARGEST
) -> ImportedNetwork:
    """Return the network of a NIR graph, its weights and biases learned, all else fixed.

    Args:
        source: the path of a NIR file, or a graph of the nir package.
        dt: step length, a time or a number of ms; the file has none.
        dialect: a name of `DIALECTS`, or a `Dialect`: how the graph is run in steps; the file does not say it.
        round: round delays that are no multiples of dt to the nearest step.
        max_bytes: the most that the arrays of a file may take.

    Raises:
        DeclarationError: the file is damaged or no NIR file, the graph contradicts itself, or it cannot be run so.
    """
    loc = Loc.caller()
    chosen = dialect_of(dialect, loc)
    graph = graph_of(source, loc, max_bytes)
    before, after = shapes_of(graph, loc)
    return _Importer(graph, before, after, chosen, dt, round, loc).network()


class _Importer:
    """One import under way."""

    def __init__(
        self,
        graph: Graph,
        before: dict[str, Shape],
        after: dict[str, Shape],
        dialect: Dialect,
        dt: Any,
        round: bool,
        loc: Loc,
    ) -> None:
        self.graph, self.before, self.after, self.dialect, self.loc, self.round = (
            graph,
            before,
            after,
            dialect,
            loc,
            round,
        )
        self.net = ImportedNetwork(dt, dialect, graph.tree)
        self.routes, self.sums, self.outputs = routes_of(graph, after, loc)
        self.taken: set[str] = set()

    def network(self) -> ImportedNetwork:
        """Return the whole network."""
        for name, node in self.graph.nodes.items():
            if node.kind == "Input":
                self._keep(name, self.net.input(self._name(name), self.after[name]).name)
        for name, node in self.graph.nodes.items():
            if node.kind in CELLS or name in self.sums:
                self._population(name, node)
        steps = [self._steps(route) for route in self.routes]
        inputs = [n for n, node in self.graph.nodes.items() if node.kind == "Input"]
        links = [Link(r.pre, r.post, int(np.min(s)), r.edges) for r, s in zip(self.routes, steps, strict=True)]
        later = delayed(links, inputs, self.dialect, self.loc)
        owners: dict[str, Connection] = {}
        for k, route in enumerate(self.routes):
            self._connect(route, steps[k] + (k in later), owners)
        for k in sorted(later):
            self.net.notes += (("NIR delay of one step", str(links[k])),)
        for name, source in self.outputs.items():
            self._keep(name, self.net.names[source])
            self.net.output(self.net.names[source])
        self.net.shape_at_import = self.net.parts
        return self.net

    def _population(self, name: str, node: Node) -> None:
        shape = self.after[name]
        folded = {r.via: self.graph.nodes[r.via] for r in self.routes if r.post == name and r.via is not None}
        biased = [via for via, n in folded.items() if "bias" in n.fields]
        biases: dict[str, str] = {}
        for via in biased:
            parameter = "bias" if len(biased) == 1 else f"bias_{_spelled(via)}"
            biases[via] = parameter if parameter not in biases.values() else f"{parameter}_{len(biases)}"
        values: dict[str, Any] = {}
        per: dict[str, Per] = {}
        slots = []
        for via, parameter in biases.items():
            values[parameter] = self.graph.nodes[via].fields["bias"].reshape(-1)
            per[parameter] = "channel" if self.graph.nodes[via].kind in WINDOWS else "neuron"
            slots.append((via, "bias", parameter, "same"))
        for field in REAL[node.kind] if node.kind in CELLS else ():
            layout = "ms" if field.startswith("tau") else "same"
            array = INTO[layout](node.fields[field]).reshape(-1)
            values[field] = float(array[0]) if not np.shape(node.fields[field]) else array
            slots.append((name, field, field, layout))
        neuron = cell(node.kind if node.kind in CELLS else "Sum", self.dialect, per)
        population = self.net.population(self._name(name), neuron, shape, **values)
        self._keep(name, population.name)
        for owner, field, parameter, layout in slots:
            value = np.asarray(values[parameter], np.float64)
            self.net.slots.append(Slot(owner, field, population.name, parameter, layout, value))

    def _connect(self, route: Route, steps: Any, owners: dict[str, Connection]) -> None:
        """Connect the ends of a route by what lies on it."""
        node = None if route.via is None else self.graph.nodes[route.via]
        pre, post = self.net.names[route.pre], self.net.names[route.post]
        delay = int(steps) if np.ndim(steps) == 0 else np.asarray(steps).reshape(-1)
        wanted = f"{pre}_{post}" if node is None or route.via == route.post else str(route.via)
        name = self._name(wanted)
        if node is None or node.kind in ("Delay", "Flatten"):
            self.net.connect(pre, post, weight=1.0, connectivity=OneToOne(), learn=False, delay=delay, name=name)
            return
        connectivity, layout = self._connectivity(node)
        if node.kind in ("SumPool2d", "AvgPool2d"):
            self.net.connect(pre, post, connectivity=connectivity, delay=delay, name=name)
            return
        shared = owners.get(node.name)
        field = "scale" if node.kind == "Scale" else "weight"
        array = INTO[layout](node.fields[field])
        array = array.reshape(-1) if node.kind == "Scale" else array
        if node.kind == "Scale" and not np.shape(node.fields[field]):
            array = np.full(int(np.prod(self.before[node.name])), float(node.fields[field]))
        weight = array if shared is None else shared
        made = self.net.connect(pre, post, weight=weight, connectivity=connectivity, delay=delay, name=name)
        if shared is None:
            owners[node.name] = made
            self._keep(node.name, made.name)
            self.net.slots.append(Slot(node.name, field, made.name, "weight", layout, array))

    def _connectivity(self, node: Node) -> tuple[Connectivity, str]:
        """Return which synapses a node has, and the layout of their weights."""
        f = node.fields
        if node.kind in ("Linear", "Affine"):
            if f["weight"].ndim == 2:
                return Dense(), "transposed"
            return Blocks(int(np.prod(f["weight"].shape[:-2]))), "blocks"
        if node.kind == "Scale":
            return OneToOne(), "same"
        if node.kind in ("SumPool2d", "AvgPool2d"):
            pool = SumPool if node.kind == "SumPool2d" else AvgPool
            kernel, stride, padding = (numbers(f[key], 2) for key in ("kernel_size", "stride", "padding"))
            return pool(kernel, stride, padding), "same"
        axes = f["weight"].ndim - 2
        window = Conv1d if axes == 1 else Conv2d
        dilation, groups = numbers(f["dilation"], axes), numbers(f["groups"], 1)[0]
        stride, padding = numbers(f["stride"], axes), padding_of(node, self.loc)
        return window(f["weight"].shape[2:], stride, padding, dilation=dilation, groups=groups), "same"

    def _steps(self, route: Route) -> Any:
        """Return the delays of a route, a number or an array, in whole steps."""
        node = None if route.via is None else self.graph.nodes[route.via]
        if node is None or node.kind != "Delay":
            return np.int64(0)
        given = node.fields["delay"] * 1000.0
        steps = np.rint(given / self.net.dt).astype(np.int64)
        for time in np.unique(given):
            if not self.round and whole_steps(float(time), self.net.dt) is None:
                message = f"{node} has a delay of {float(time)!r} ms, no multiple of dt = {self.net.dt!r} ms"
                raise DeclarationError(message, self.loc, "change dt, or let delays be rounded, round=True")
        return steps if steps.ndim else np.int64(steps)

    def _keep(self, node: str, name: str) -> None:
        self.net.names.setdefault(node, name)

    def _name(self, name: str) -> str:
        """Return a new name of graphc for a node."""
        kept = _spelled(name).lstrip("_")
        if not kept or not kept[0].isalpha():
            node = self.graph.nodes.get(name)
            kept = f"{'n' if node is None else node.kind.lower()}_{kept}".rstrip("_")
        try:
            check_name(kept, "a node", self.loc)
        except DeclarationError:
            kept += "_"
        while kept in self.taken or kept in MODULE_ATTRIBUTES | MODEL_ATTRIBUTES:
            kept += "_"
        self.taken.add(kept)
        return kept


def _spelled(name: str) -> str:
    """Return a name in letters, digits and underscores."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:60]
