"""Formulas as MathML."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def to_mathml(latex: str, display: str = "inline") -> str:
    """Return a formula as a ``<math>`` element."""
    return str(convert(re.sub(r"\s+", " ", latex).strip(), display=display))


def inline(writer: Any, node: Any) -> None:
    """Write a formula of a line."""
    writer.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def displayed(writer: Any, node: Any) -> None:
    """Write a formula of its own, which scrolls where it is wider than the page."""
    writer.body.append(f'<div class="formula">{to_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode
