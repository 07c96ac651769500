"""From any network to a NIR graph: populations become neurons, connections the nodes between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.connection import DEFAULT, Connection
from graphc.connectivity import AllButSelf, Blocks, Dense, OneToOne, Sparse
from graphc.delay import Taps
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.network import Network
from graphc.windows import AvgPool, Conv1d, Conv2d, SumPool

from .current import Numbers
from .file import Tree
from .recognise import recognise

LARGEST_MATRIX = 1 << 27  # elements
_MATRICES = (Dense, Sparse, AllButSelf, Blocks)
_WINDOWS = (Conv1d, Conv2d, AvgPool)


def export(network: Network, numbers: Numbers, loc: Loc) -> tuple[Tree, dict[str, str]]:
    """Return the NIR graph of `network`, and the population of every neuron node of it.

    Raises:
        DeclarationError: NIR cannot carry a neuron or connection, which is named.
    """
    return _Exporter(network, numbers, loc).graph()


class _Exporter:
    """One export under way."""

    def __init__(self, network: Network, numbers: Numbers, loc: Loc) -> None:
        self.network, self.numbers, self.loc = network, numbers, loc
        self.nodes: Tree = {}
        self.edges: list[list[str]] = []
        self.taken = {*network.inputs, *network.populations, *network.connections}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def graph(self) -> tuple[Tree, dict[str, str]]:
        """Return the whole graph."""
        net = self.network
        spatial = {
            end for c in net.connections.values() if isinstance(c.connectivity, _WINDOWS) for end in (c.pre, c.post)
        }
        for name, source in net.inputs.items():
            self.shapes[name] = source.shape
            self.nodes[name] = {"type": "Input", "shape": np.array(source.shape)}
        for name, population in net.populations.items():
            self.shapes[name] = population.shape if name in spatial else (population.size,)
            kind, fields = recognise(population, self.numbers)
            arrays = {field: np.array(value).reshape(self.shapes[name]) for field, value in fields.items()}
            self.nodes[name] = {"type": kind, **arrays}
        for connection in net.connections.values():
            self._connect(connection)
        self._outputs()
        self._check_reached()
        tree: Tree = {"type": "NIRGraph", "nodes": self.nodes, "edges": self.edges}
        return {"node": tree}, {name: name for name in net.populations}

    def refuse(self, connection: Connection, why: str, hint: str | None = None) -> None:
        """Raise what NIR cannot carry."""
        raise DeclarationError(f"NIR cannot carry connection '{connection.name}': {why}", connection.loc, hint)

    def _connect(self, c: Connection) -> None:
        """Add the nodes of a connection: a delay, a Flatten, and what multiplies."""
        self._check(c)
        source = self._delay(c)
        kind = c.connectivity
        if isinstance(kind, OneToOne):
            self._one_to_one(c, source)
        elif isinstance(kind, _MATRICES):
            if self.shapes[c.post] != (c.sink.size,):
                self.refuse(
                    c, f"its matrix ends at '{c.post}', which has the shape {self.shapes[c.post]} of a convolution"
                )
            source = self._flatten(c, source)
            self._add(c.name, {"type": "Linear", "weight": self._matrix(c)}, source, c.post)
        else:
            self._window(c, source)

    def _check(self, c: Connection) -> None:
        if c.rule is not None:
            self.refuse(c, f"its weights change by the rule '{c.rule.name}'", "write the weights without the rule")
        if set(c.transmit.values()) != {DEFAULT}:
            self.refuse(c, f"it transmits {', '.join(map(str, c.transmit.values()))}, not weight times input")
        if c.connectivity.procedural:
            self.refuse(c, 'its synapses are drawn at every spike (layout="procedural")')
        if isinstance(c.delay, Taps):
            self.refuse(c, "its delays are learned", "model.round_delays() and fixed delays first")
        if not isinstance(c.delay, int) and not isinstance(c.connectivity, OneToOne):
            self.refuse(c, "it has a delay per synapse, and a Delay node one per neuron")
        if not isinstance(c.connectivity, (OneToOne, *_MATRICES, *_WINDOWS)):
            self.refuse(c, f"gc.{type(c.connectivity).__name__} has no node")

    def _delay(self, c: Connection) -> str:
        """Return the node that sends what arrives: the source, or a Delay behind it.

        A neuron's connection to itself has one step in every dialect, so that a delay of one is none of NIR.
        """
        if isinstance(c.delay, int) and c.delay == int(c.pre == c.post):
            return c.pre
        shape = self.shapes[c.pre]
        seconds = np.broadcast_to(np.asarray(c.delay) * self.network.dt / 1000.0, (c.source.size,)).reshape(shape)
        name = self._new(f"{c.name}_delay")
        self.nodes[name] = {"type": "Delay", "delay": np.array(seconds, dtype=np.float64)}
        self.edges.append([c.pre, name])
        return name

    def _flatten(self, c: Connection, source: str) -> str:
        shape = self.shapes[c.pre]
        if len(shape) == 1:
            return source
        name = self._new(f"{c.name}_flatten")
        flat = {"start_dim": np.int64(0), "end_dim": np.int64(-1), "input_type": np.array(shape)}
        self.nodes[name] = {"type": "Flatten", **flat}
        self.edges.append([source, name])
        return name

    def _one_to_one(self, c: Connection, source: str) -> None:
        if self.shapes[c.pre] != self.shapes[c.post]:
            if len(self.shapes[c.post]) > 1:
                self.refuse(c, f"it joins the shapes {self.shapes[c.pre]} and {self.shapes[c.post]} one to one")
            source = self._flatten(c, source)
        weight = self._weight(c).reshape(self.shapes[c.post])
        if (weight == 1).all() and not c.learn and [source, c.post] not in self.edges:
            self.edges.append([source, c.post])
        else:
            self._add(c.name, {"type": "Scale", "scale": np.array(weight)}, source, c.post)

    def _matrix(self, c: Connection) -> Any:
        """Return the weights of a connection as a matrix (post, pre)."""
        if c.source.size * c.sink.size > LARGEST_MATRIX:
            self.refuse(c, f"its matrix would have {c.source.size * c.sink.size} elements")
        weight = self._weight(c)
        if isinstance(c.connectivity, Dense):
            return np.array(weight.T)
        found = c.synapses
        matrix = np.zeros((c.sink.size, c.source.size), dtype=weight.dtype)
        index = np.arange(len(found.pre)) if found.index is None else found.index
        matrix[found.post, found.pre] = weight.reshape(-1)[index]
        return matrix

    def _window(self, c: Connection, source: str) -> None:
        kind: Any = c.connectivity
        axes = len(c.sink.shape) - 1
        if isinstance(kind, AvgPool):
            if axes != 2:
                self.refuse(c, "NIR has pools over two axes only")
            stride = kind.kernel if kind.stride is None else kind.stride
            sizes = {"kernel_size": kind.kernel, "stride": stride, "padding": kind.padding}
            node = {"type": "SumPool2d" if isinstance(kind, SumPool) else "AvgPool2d"}
            scale = float(self._weight(c).reshape(()))
            pooled = {**node, **{k: _pair(v, 2) for k, v in sizes.items()}}
            if scale == 1:
                self._add(c.name, pooled, source, c.post)
                return
            name = self._new(f"{c.name}_pool")
            self.nodes[name] = pooled
            self.edges.append([source, name])
            self._add(c.name, {"type": "Scale", "scale": np.full(c.sink.shape, scale)}, name, c.post)
            return
        weight = self._weight(c)
        options: dict[str, Any] = {
            "stride": kind.stride,
            "padding": kind.padding,
            "dilation": kind.dilation,
        }
        shaped = {k: _pair(v, axes) if axes == 2 else np.int64(_pair(v, 1)[0]) for k, v in options.items()}
        space = np.array(c.source.shape[1:]) if axes == 2 else np.int64(c.source.shape[1])
        bias = np.zeros(weight.shape[0], dtype=weight.dtype)
        conv: Tree = {"type": f"Conv{axes}d", "weight": weight, "bias": bias, "groups": np.int64(kind.groups)}
        self._add(c.name, {**conv, "input_shape": space, **shaped}, source, c.post)

    def _weight(self, c: Connection) -> Any:
        return np.array(np.broadcast_to(self.numbers.of(c.name, "weight"), c.weight_shape))

    def _add(self, name: str, node: Tree, source: str, post: str) -> None:
        self.nodes[name] = node
        self.edges += [[source, name], [name, post]]

    def _outputs(self) -> None:
        for name in self.network.outputs:
            owner, _, signal = name.partition(".")
            neuron = self.network.populations[owner].neuron
            sent = (
                "spike" if neuron.spike is not None else next((s.name for s in neuron.states if s == neuron.output), "")
            )
            if signal not in ("output", sent):
                message = f"NIR cannot carry the output '{name}' of the network: a node of '{owner}' sends one signal"
                raise DeclarationError(message, self.loc, f'net.output("{owner}")')
            node = self._new("output" if len(self.network.outputs) == 1 else f"{owner}_output")
            self.nodes[node] = {"type": "Output", "shape": np.array(self.shapes[owner])}
            self.edges.append([owner, node])

    def _check_reached(self) -> None:
        reached = {b for _, b in self.edges}
        for name in self.network.populations:
            if name not in reached:
                message = f"NIR cannot carry population '{name}', which no connection reaches"
                raise DeclarationError(message, self.network.populations[name].loc)

    def _new(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _pair(value: Any, axes: int) -> Any:
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return np.array(numbers * axes if len(numbers) == 1 else numbers, dtype=np.int64)
