"""HTML and SVG from Python: everything that is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


EMPTY = frozenset(("br", "circle", "hr", "input", "line", "meta", "path", "rect"))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; ``data_x`` is data-x, ``class_`` is class, an attribute that is None or False is left out."""
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{escape(str(value))}"')
    opened = " ".join(parts)
    return Markup(f"<{opened}/>") if name in EMPTY else Markup(f"<{opened}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Markup:
    """Return children one after the other; None is nothing."""
    return Markup("".join(c if isinstance(c, Markup) else escape(str(c)) for c in children if c is not None))


def svg(width: float, height: float, *children: object, label: str, class_: str = "") -> Markup:
    """Return a drawing of `width` by `height`."""
    box = f"-8 -8 {width + 16:.0f} {height + 16:.0f}"
    sizes = {"width": f"{width + 16:.0f}", "height": f"{height + 16:.0f}", "viewBox": box}
    return tag("svg", *children, **sizes, role="group", aria_label=label, class_=class_ or None)


@lru_cache(maxsize=4096)
def formula(latex: str) -> Markup:
    """Return LaTeX typeset as MathML."""
    from latex2mathml.converter import convert

    text = convert(latex).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    return Markup(text)


def highlighted(text: str, language: str) -> list[Markup]:
    """Return the lines of a source text with the classes that pygments gives to its tokens."""
    from pygments import lex
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES

    lines: list[list[Markup]] = [[]]
    for kind, value in lex(text, get_lexer_by_name(language, stripnl=False, ensurenl=False)):
        name = STANDARD_TYPES.get(kind, "")
        for index, piece in enumerate(value.split("\n")):
            if index:
                lines.append([])
            if piece:
                plain = name in ("", "n", "p", "o", "w")
                lines[-1].append(join([piece]) if plain else tag("span", piece, class_=name))
    return [join(line) for line in lines]
