"""From a network to a NIR file."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.network import Network

from .current import Numbers
from .export import export
from .file import Tree, write_tree
from .imported import BACK, ImportedNetwork, Slot

VERSION = "1.0.8"  # of the layout, where the nir package is not installed


def write(network: Any, path: Any, *, metadata: bool = True) -> None:
    """Write a network, or a model with what it has learned, to a NIR file.

    An import that kept its parts is written as it was read, bit for bit where numbers are as they were. Of any other
    network the equations are compared with those of NIR's neurons.

    Args:
        network: a gc.Network or a compiled model.
        path: of the file, replaced once the new one is complete.
        metadata: put equations and the semantics card into the metadata, the only place where other readers allow it.

    Raises:
        DeclarationError: NIR cannot carry a neuron or connection, which is named; no file is written then.
    """
    loc = Loc.caller()
    model = None if isinstance(network, Network) else network
    declared = network if model is None else getattr(getattr(model, "_compiler", None), "network", None)
    if not isinstance(declared, Network):
        raise DeclarationError(f"graphc.nir.write takes a network or a model, not {network!r}", loc)
    declared.check()
    numbers = Numbers(declared, model, loc)
    if isinstance(declared, ImportedNetwork) and declared.parts == declared.shape_at_import:
        tree, cells = as_imported(declared, numbers, loc), dict(declared.names)
    else:
        tree, cells = export(declared, numbers, loc)
        tree = {"version": _version(), **tree}
    if metadata:
        _annotate(tree, declared, model, cells)
    write_tree(tree, path, loc)


def as_imported(network: ImportedNetwork, numbers: Numbers, loc: Loc) -> Tree:
    """Return the graph that was read, with the numbers of now."""
    tree = _copied(network.tree)
    tree.setdefault("version", _version())
    for slot in network.slots:
        now, kept = numbers.of(slot.owner, slot.attribute), slot.value.astype(numbers.dtype)
        same = np.broadcast_to(now == kept, slot.value.shape)
        if same.all():
            continue
        node = _node(tree, slot.node)
        original = node.get(slot.field)
        new, unchanged = _back(slot, now, original, loc), _back(slot, same, original, loc)
        if original is None:
            node[slot.field] = new.astype(np.float64)
            continue
        before = np.asarray(original)
        dtype = before.dtype if before.dtype.kind == "f" else np.dtype(np.float64)
        value = np.where(unchanged, before, new).astype(dtype)
        node[slot.field] = value if value.ndim else value[()]
    return tree


def _back(slot: Slot, now: Any, original: Any, loc: Loc) -> Any:
    """Return an array of a parameter in the shape of the field."""
    array = np.broadcast_to(now, slot.value.shape)
    shape = array.shape if original is None else np.shape(original)
    if array.size != np.prod(shape):
        if (array != array.ravel()[0]).any():
            message = (
                f"'{slot.field}' of node '{slot.node}' is one number, but '{slot.owner}.{slot.attribute}' has several"
            )
            raise DeclarationError(message, loc)
        return np.reshape(array.ravel()[0], shape)
    if array.dtype == bool:
        return BACK["same" if slot.layout == "ms" else slot.layout](array).reshape(shape)
    return BACK[slot.layout](array.astype(np.float64)).reshape(shape)


def _annotate(tree: Tree, network: Network, model: Any, cells: dict[str, str]) -> None:
    """Put equations and the semantics card into the metadata of the graph and of its neurons."""
    top = tree["node"]
    notes = {"graphc_card": _card(network, model), "graphc_version": importlib.metadata.version("graphc")}
    top["metadata"] = {**top.get("metadata", {}), **notes}
    for name, owner in cells.items():
        if owner in network.populations:
            node = _node(tree, name)
            if node["type"] not in ("Output", "Delay", "AvgPool2d"):  # older readers of NIR take none there
                equations = {"graphc_equations": _equations(network.populations[owner])}
                node["metadata"] = {**node.get("metadata", {}), **equations}


def _equations(population: Any) -> str:
    neuron = population.neuron
    lines = [f"{s}' = {e}" for s, e in neuron.ode.items()]
    lines += [f"{s}[t+1] = {e}" for s, e in neuron.update.items()]
    lines += [f"{s} -> {e} on arrival" for s, e in neuron.receive.items()]
    if neuron.spike is not None:
        lines.append(f"spike: {neuron.spike.condition}")
        lines += [f"{s} -> {e} at a spike" for s, e in neuron.reset.items()]
    return "\n".join([*lines, f"output: {neuron.output}", "times in ms"])


def _card(network: Network, model: Any) -> str:
    from graphc.card import card_of
    from graphc.compile import NetworkCompiler
    from graphc.passes import Request

    stages = NetworkCompiler(network).stages(Request())
    discrete = next(program for _, program in stages if program.stage != "declared")
    dtype = "float32" if model is None else str(model.dtype).removeprefix("torch.")
    return str(card_of(network, discrete, dtype))


def _version() -> str:
    try:
        return importlib.metadata.version("nir")
    except importlib.metadata.PackageNotFoundError:
        return VERSION


def _node(tree: Tree, name: str) -> Tree:
    node = tree["node"]
    for part in name.split("/"):
        node = node["nodes"][part]
    return node  # type: ignore[no-any-return]


def _copied(tree: Tree) -> Tree:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in tree.items()}
