"""NIR graphs after every check that needs no neuron: flat, with the fields of every node as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.names import did_you_mean

from .file import LARGEST, Tree, read_tree

REAL: dict[str, tuple[str, ...]] = {
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
    "Delay": ("delay",),
    "I": ("r",),
    "LI": ("tau", "r", "v_leak"),
    "IF": ("r", "v_threshold", "v_reset"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "Threshold": ("threshold",),
}
"""The real fields of every kind of node."""

WHOLE: dict[str, tuple[str, ...]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Conv1d": ("input_shape", "stride", "padding", "dilation", "groups"),
    "Conv2d": ("input_shape", "stride", "padding", "dilation", "groups"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("input_type", "start_dim", "end_dim"),
}
"""The fields that are whole numbers; padding may be text."""

DEFAULTS: dict[str, float] = {"v_reset": 0.0, "w_in": 1.0, "start_dim": 1, "end_dim": -1}
MAY_LACK = frozenset({"input_shape", "input_type", *DEFAULTS})
TIMES = frozenset({"tau", "tau_syn", "tau_mem", "delay"})
CELLS = frozenset({"I", "LI", "IF", "LIF", "CubaLI", "CubaLIF", "Threshold"})
SYNAPSES = frozenset({"Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Delay"})
KINDS = tuple(dict.fromkeys([*REAL, *WHOLE, "NIRGraph"]))


@dataclass(frozen=True, eq=False)
class Node:
    """A node that holds no others.

    Attributes:
        name: the names of the graphs around it and its own, joined by slashes.
        kind: its type; "Pass" for an Input or Output of a graph inside the graph.
        fields: its arrays, numbers and text; defaults are filled in.
        lacking: the fields that had to be filled in.
    """

    name: str
    kind: str
    fields: dict[str, Any]
    lacking: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return kind and name."""
        return f"{self.kind} node '{self.name}'"


@dataclass(frozen=True, eq=False)
class Graph:
    """A NIR graph without graphs inside it."""

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]
    tree: Tree

    def before(self, name: str) -> list[str]:
        """Return where the edges into a node come from."""
        return [a for a, b in self.edges if b == name]

    def after(self, name: str) -> list[str]:
        """Return where the edges out of a node lead."""
        return [b for a, b in self.edges if a == name]


def graph_of(source: Any, loc: Loc, max_bytes: int = LARGEST) -> Graph:
    """Return the graph of a file, of an object of the nir package, or of a dictionary as both have it.

    Raises:
        DeclarationError: it is no NIR graph, or one that contradicts itself.
    """
    if isinstance(source, (str, os.PathLike)):
        tree = read_tree(source, loc, max_bytes)
    elif hasattr(source, "to_dict"):
        tree = {"node": _plain(source.to_dict(), "node", loc)}
    elif isinstance(source, Mapping):
        tree = {"node": _plain(source.get("node", source), "node", loc)}
    else:
        hint = "give a path, or a graph of the nir package"
        raise DeclarationError(f"{type(source).__name__} is no NIR graph", loc, hint)
    top = tree["node"]
    kind = top.get("type") if isinstance(top, dict) else None
    if kind != "NIRGraph":
        raise DeclarationError(f"the NIR file holds {kind!r}, no NIRGraph", loc, "put the node into a graph")
    nodes: dict[str, Node] = {}
    edges = tuple(_collect(top, "", nodes, loc))
    _check_edges(nodes, edges, loc)
    return Graph(nodes, edges, tree)


def _plain(value: Any, where: str, loc: Loc, depth: int = 0) -> Any:
    """Return a dictionary of the nir package as the file would hold it."""
    if depth > 64:
        raise DeclarationError(f"'{where}' lies {depth} levels deep", loc, "does the graph hold itself?")
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}/{k}", loc, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if isinstance(value, str):
        return value
    if where.endswith("/edges") and isinstance(value, (list, tuple)):
        return [list(edge) if isinstance(edge, (list, tuple)) else edge for edge in value]
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "fiub":
        raise DeclarationError(f"'{where}' is {value!r}, neither numbers nor text", loc)
    return array if array.ndim else array[()]


def _collect(tree: Tree, prefix: str, nodes: dict[str, Node], loc: Loc) -> Iterator[tuple[str, str]]:
    """Put the nodes of a graph and of those inside it into `nodes`, and yield their edges."""
    what = f"graph '{prefix[:-1]}'" if prefix else "the NIR graph"
    children, edges = tree.get("nodes"), tree.get("edges")
    if not isinstance(children, dict) or not children:
        raise DeclarationError(f"{what} has no nodes", loc)
    ports: dict[str, dict[str, list[str]]] = {}
    for name, child in children.items():
        path = prefix + name
        if "/" in name or not name.strip():
            raise DeclarationError(f"a node of {what} is named {name!r}", loc, "a name has no slash and is not empty")
        if not isinstance(child, dict) or not isinstance(child.get("type"), str):
            raise DeclarationError(f"node '{path}' of the NIR graph has no type", loc)
        if child["type"] == "NIRGraph":
            yield from _collect(child, f"{path}/", nodes, loc)
            inside = child["nodes"].items()
            ports[name] = {
                kind: [f"{path}/{n}" for n, c in inside if c["type"] == kind] for kind in ("Input", "Output")
            }
        else:
            nodes[path] = node_of(path, child, inside=bool(prefix), loc=loc)
    pairs = [] if edges is None or (isinstance(edges, np.ndarray) and not edges.size) else edges
    if not isinstance(pairs, list):
        raise DeclarationError(f"the edges of {what} are no pairs of names", loc)
    seen = set()
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(end, str) for end in pair):
            raise DeclarationError(f"an edge of {what} is {pair!r}, no pair of names", loc)
        for end in pair:
            if end not in children:
                message = f"an edge of {what} names '{end}', which is no node of it"
                raise DeclarationError(message, loc, did_you_mean(end, children))
        if tuple(pair) in seen:
            message = f"{what} has the edge '{pair[0]}' -> '{pair[1]}' twice"
            raise DeclarationError(message, loc, "keep one; a Scale in between doubles a signal")
        seen.add(tuple(pair))
        yield tuple(_port(prefix, end, ports, kind, loc) for end, kind in zip(pair, ("Output", "Input"), strict=True))  # type: ignore[misc]


def _port(prefix: str, end: str, ports: Mapping[str, Mapping[str, list[str]]], kind: str, loc: Loc) -> str:
    """Return the node that an edge ends at: the one Input or Output where `end` is a graph."""
    if end not in ports:
        return prefix + end
    found = ports[end][kind]
    if len(found) != 1:
        message = f"an edge names graph '{prefix}{end}', which has {len(found)} {kind} nodes"
        raise DeclarationError(message, loc, f"a graph inside a graph needs one {kind}")
    return found[0]


def node_of(name: str, tree: Tree, *, inside: bool, loc: Loc) -> Node:
    """Return a node, its fields checked.

    Raises:
        DeclarationError: its type is unknown, or a field is missing, unknown or of the wrong type.
    """
    kind = tree["type"]
    label = f"{kind} node '{name}'"
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"graphc knows {', '.join(KINDS)}"
        raise DeclarationError(f"node '{name}' of the NIR graph is of the unknown type {kind!r}", loc, hint)
    real, whole = REAL.get(kind, ()), WHOLE.get(kind, ())
    unknown = sorted(set(tree) - {*real, *whole, "type", "metadata"})
    if unknown:
        hint = "it would be lost: no reader of NIR knows it; notes belong in metadata"
        raise DeclarationError(f"{label} has a field '{unknown[0]}' that NIR does not define", loc, hint)
    lacking = tuple(f for f in (*real, *whole) if f not in tree)
    missing = [f for f in lacking if f not in MAY_LACK]
    if missing:
        raise DeclarationError(f"{label} has no field '{missing[0]}'", loc, "is the file complete?")
    fields: dict[str, Any] = {f: _real(tree[f], f, label, loc) for f in real if f in tree}
    fields |= {f: _whole(tree[f], f, label, loc) for f in whole if f in tree}
    like: Any = next((fields[f] for f in real if f in fields), 0.0)
    for f in lacking:
        if f in DEFAULTS:
            number = DEFAULTS[f]
            fields[f] = np.full(np.shape(like), number) if f in real else int(number)
    _check_values(kind, fields, label, loc)
    return Node(name, "Pass" if inside and kind in ("Input", "Output") else kind, fields, lacking)


def _real(value: Any, field: str, label: str, loc: Loc) -> np.ndarray[Any, Any]:
    if isinstance(value, (str, list, dict)) or np.asarray(value).dtype.kind not in "fiu":
        raise DeclarationError(f"'{field}' of {label} is no array of real numbers", loc)
    array = np.asarray(value, dtype=np.float64)
    if not array.size:
        raise DeclarationError(f"'{field}' of {label} is empty", loc)
    if not np.isfinite(array).all():
        raise DeclarationError(f"'{field}' of {label} contains {float(array[~np.isfinite(array)][0])!r}", loc)
    return array


def _whole(value: Any, field: str, label: str, loc: Loc) -> Any:
    """Return whole numbers as an int or a tuple; "same" and "valid" stay."""
    if field == "padding" and isinstance(value, str):
        if value not in ("same", "valid"):
            raise DeclarationError(f"padding of {label} is {value!r}", loc, 'use numbers, "same" or "valid"')
        return value
    if isinstance(value, (str, list, dict)) or np.asarray(value).dtype.kind not in "fiu":
        raise DeclarationError(f"'{field}' of {label} is no whole number, or several", loc)
    array = np.asarray(value)
    if array.ndim > 1 or not array.size or array.size > 32 or not (array == np.rint(array)).all():
        raise DeclarationError(f"'{field}' of {label} is {array.tolist()!r}, no whole number, or several", loc)
    return tuple(int(n) for n in array) if array.ndim else int(array)


def _check_values(kind: str, fields: Mapping[str, Any], label: str, loc: Loc) -> None:
    """Refuse numbers that no node can have, and cells whose fields differ in shape."""
    for f in TIMES & set(fields):
        worst = float(np.min(fields[f]))
        if worst < 0 or (worst == 0 and f != "delay"):
            raise DeclarationError(f"'{f}' of {label} is {worst!r} s", loc, "a time is positive")
    if kind in CELLS:
        shapes = {f: np.shape(fields[f]) for f in REAL[kind]}
        if len({s for s in shapes.values() if s}) > 1:
            found = ", ".join(f"{f} {shape}" for f, shape in shapes.items())
            raise DeclarationError(f"the fields of {label} differ in shape: {found}", loc)
    axes = {"Affine": 2, "Linear": 2, "Conv1d": 3, "Conv2d": 4}.get(kind)
    if axes is not None:
        shape = fields["weight"].shape
        if len(shape) < axes or (len(shape) > axes and kind.startswith("Conv")):
            raise DeclarationError(
                f"the weight of {label} has shape {shape}, with {len(shape)} axes", loc, f"{axes} are needed"
            )
        if "bias" in fields and fields["bias"].shape != (shape[:1] if kind.startswith("Conv") else shape[:-1]):
            raise DeclarationError(f"the bias of {label} has shape {fields['bias'].shape}, its weight {shape}", loc)
    for f, least in (("stride", 1), ("dilation", 1), ("groups", 1), ("kernel_size", 1), ("padding", 0), ("shape", 1)):
        value = fields.get(f, least)
        if not isinstance(value, str) and min(value if isinstance(value, tuple) else (value,)) < least:
            raise DeclarationError(f"'{f}' of {label} is {value!r}", loc, f"{least} is the least")


def _check_edges(nodes: Mapping[str, Node], edges: tuple[tuple[str, str], ...], loc: Loc) -> None:
    """Refuse edges that end where nothing can, and nodes without any."""
    into, out_of = {b for _, b in edges}, {a for a, _ in edges}
    for name, node in nodes.items():
        if node.kind == "Input" and name in into:
            raise DeclarationError(f"an edge leads into {node}", loc)
        if node.kind == "Output" and name in out_of:
            raise DeclarationError(f"an edge leads out of {node}", loc)
        if node.kind != "Input" and name not in into:
            raise DeclarationError(f"no edge leads into {node}", loc, "connect it to an Input node, or remove it")
    for kind in ("Input", "Output"):
        if all(node.kind != kind for node in nodes.values()):
            raise DeclarationError(f"the NIR graph has no {kind} node", loc)
