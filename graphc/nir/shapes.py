"""Shapes: what enters and leaves every node of a NIR graph."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .graph import CELLS, REAL, Graph, Node

Shape = tuple[int, ...]
LARGEST_NODE = 1 << 26  # numbers that leave one node
LARGEST_WINDOW = 1 << 28  # synapses of one convolution or pool


def shapes_of(graph: Graph, loc: Loc) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Return the shapes before and after every node.

    Raises:
        DeclarationError: an edge joins two shapes, a shape follows from nothing, or is absurd.
    """
    before = {n: shape for n, node in graph.nodes.items() if (shape := _own(node)) is not None}
    after: dict[str, Shape] = {}
    waiting = deque(before)
    following: dict[str, list[str]] = {}
    for a, b in graph.edges:
        following.setdefault(a, []).append(b)
    while waiting:
        name = waiting.popleft()
        after[name] = _after(graph.nodes[name], before[name], loc)
        for succ in following.get(name, ()):
            if succ not in before:
                before[succ] = after[name]
                waiting.append(succ)
    for a, b in graph.edges:
        if a in after and b in after and _squeezed(after[a]) != _squeezed(before[b]):
            message = f"{graph.nodes[a]} sends shape {after[a]} to {graph.nodes[b]}, which takes {before[b]}"
            raise DeclarationError(message, loc, "is a Flatten missing between them?")
    for name, node in graph.nodes.items():
        if name not in before:
            raise DeclarationError(f"the shape of {node} follows from nothing", loc, "give an Input node its shape")
    return before, after


def numbers(value: Any, axes: int) -> Shape:
    """Return one number per axis."""
    given = value if isinstance(value, tuple) else (value,)
    each: Shape = tuple(given) * axes if len(given) == 1 else tuple(given)
    return each


def padding_of(node: Node, loc: Loc) -> Shape:
    """Return the zeros on either side of every axis.

    Raises:
        DeclarationError: the two sides of an axis would differ.
    """
    axes: int = node.fields["weight"].ndim - 2
    padding = node.fields["padding"]
    if padding == "valid":
        return (0,) * axes
    if padding != "same":
        return numbers(padding, axes)
    kernel, dilation = node.fields["weight"].shape[2:], numbers(node.fields["dilation"], axes)
    both = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(n % 2 for n in both) or set(numbers(node.fields["stride"], axes)) != {1}:
        hint = "an odd kernel and stride 1 have equal zeros on both sides; otherwise say the padding in numbers"
        raise DeclarationError(f'padding "same" of {node} differs between the two sides', loc, hint)
    return tuple(n // 2 for n in both)


def _own(node: Node) -> Shape | None:
    """Return the shape that a node takes, where it says so itself."""
    f = node.fields
    if node.kind in CELLS or node.kind in ("Scale", "Delay"):
        return next((np.shape(f[key]) for key in REAL[node.kind] if np.shape(f[key])), None)
    if node.kind in ("Affine", "Linear"):
        return (*f["weight"].shape[:-2], f["weight"].shape[-1])
    if node.kind in ("Conv1d", "Conv2d") and "input_shape" in f:
        axes = f["weight"].ndim - 2
        return (f["weight"].shape[1] * _one(f["groups"]), *numbers(f["input_shape"], axes))
    found = f.get("shape", f.get("input_type"))
    return None if found is None else numbers(found, 1)


def _after(node: Node, before: Shape, loc: Loc) -> Shape:
    """Return the shape that leaves a node."""
    f, kind = node.fields, node.kind
    if not before:
        raise DeclarationError(f"{node} takes a shape without axes", loc, "give its Input the shape (1,)")
    after = before
    if kind in ("Affine", "Linear"):
        after = f["weight"].shape[:-1]
    elif kind in ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d"):
        after = _behind_window(node, before, loc)
    elif kind == "Flatten":
        after = _flat(node, before, loc)
    if math.prod(after) > LARGEST_NODE:
        raise DeclarationError(f"{node} has the shape {after}", loc, f"up to {LARGEST_NODE} numbers are possible")
    return after


def _behind_window(node: Node, before: Shape, loc: Loc) -> Shape:
    f = node.fields
    axes = 1 if node.kind == "Conv1d" else 2
    if len(before) != axes + 1:
        wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
        raise DeclarationError(f"{node} takes the shape {before}", loc, f"it needs {wanted}")
    if node.kind.startswith("Conv"):
        kernel, padding, channels = f["weight"].shape[2:], padding_of(node, loc), f["weight"].shape[0]
        dilation, groups, taken = numbers(f["dilation"], axes), _one(f["groups"]), f["weight"].shape[1]
        if channels % groups or taken * groups != before[0]:
            message = (
                f"{node} takes {before[0]} channels, its weight {f['weight'].shape} in {groups} groups another number"
            )
            raise DeclarationError(message, loc)
        pairs = channels * taken
    else:
        kernel, padding, channels = numbers(f["kernel_size"], axes), numbers(f["padding"], axes), before[0]
        dilation, pairs = (1,) * axes, channels
    stride = numbers(f["stride"], axes)
    for key, value in (("kernel", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)):
        if len(value) != axes:
            raise DeclarationError(f"{key} of {node} is {value!r}", loc, f"give {axes} numbers")
    sizes = zip(before[1:], kernel, stride, padding, dilation, strict=True)
    space = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
    if min(space) < 1:
        raise DeclarationError(f"the kernel {kernel} of {node} is larger than the space {before[1:]}", loc)
    if pairs * math.prod(kernel) * math.prod(space) > LARGEST_WINDOW:
        message = f"{node} has {pairs * math.prod(kernel) * math.prod(space)} synapses"
        raise DeclarationError(message, loc, f"up to {LARGEST_WINDOW} are possible")
    return (channels, *space)


def _flat(node: Node, before: Shape, loc: Loc) -> Shape:
    """Return the shape behind a Flatten, whose axes count without batch, as in the nir package."""
    axes = len(before)
    first, last = (n + axes if n < 0 else n for n in (_one(node.fields["start_dim"]), _one(node.fields["end_dim"])))
    if first == axes:  # (N,) with start_dim=1, which counts the batch: nothing to flatten
        return before
    if not 0 <= first <= last < axes:
        raise DeclarationError(f"{node} flattens axes {first} to {last} of {before}", loc)
    return (*before[:first], math.prod(before[first : last + 1]), *before[last + 1 :])


def _one(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)
