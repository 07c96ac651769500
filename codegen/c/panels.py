"""Copies of weights, made once a call: dense products of many rows find the columns of a panel side by side."""

from __future__ import annotations

from graphc.codegen.writer import Writer
from graphc.ir.ops import Project, ProjectTransposed

from .address import Addresses
from .layout import Group, Layout

FEW = 64  # rows of a call for which no weights are copied


def write_panels(w: Writer, layout: Layout, at: Addresses) -> list[str]:
    """Write the copies of weights that products of many rows read, once a call, and return their names."""
    names: list[str] = []
    for group in layout.groups:
        if (
            isinstance(group.product, (Project, ProjectTransposed))
            and not by_events(group)
            and (name := panels_of(layout, group)) not in names
        ):
            inner, few = layout.size(group.product.operands[0]), f"_T*_B < {FEW}"
            copied = f"_panels({matrix_of(layout, at, group)}, {inner}, {group.size})"
            w.line(f"{at.real} *{name} = {few} ? 0 : {copied};")
            names.append(name)
    return names


def by_events(group: Group) -> bool:
    """Return whether the source of a product is spikes, whose rows of weights are added up."""
    return isinstance(group.product, Project) and group.product.operands[0].type.dtype == "bool"


def panels_of(layout: Layout, group: Group) -> str:
    """Return the name of the copy of the matrix that a product multiplies with."""
    assert group.product is not None
    name = layout.names[layout.inputs[group.product.operands[1]].source]
    return f"_panels_{name}" if isinstance(group.product, Project) else f"_panels_turned_{name}"


def matrix_of(layout: Layout, at: Addresses, group: Group) -> str:
    """Return the pointer to the matrix that a product multiplies with."""
    assert group.product is not None
    given = layout.inputs[group.product.operands[1]].source
    return at.pointer(given) if isinstance(group.product, Project) else f"_turned_{at.argument(given)}"
