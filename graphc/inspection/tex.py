"""Names and expressions in LaTeX: ``hid_v_2_keep`` is v of hid, with 2 and keep below it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import sympy
from sympy.printing.latex import LatexPrinter

_LOWER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega"
_UPPER = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
GREEK = frozenset((*_LOWER.split(), *_UPPER.split()))


class Naming:
    """How values are written: the population or connection that a name begins with stands above it.

    Args:
        owners: names of populations, connections and inputs; the name of a lone population is left out.
        alone: a population whose name says nothing, because there is no other.
    """

    def __init__(self, owners: Iterable[str] = (), alone: str | None = None) -> None:
        self._owners = sorted(owners, key=len, reverse=True)
        self._alone = alone

    def name(self, value: str) -> str:
        """Return the LaTeX of a name; the adjoint of a value, ``d_NAME`` or ``d(NAME)``, has a bar."""
        value = re.sub(r"\[(\d+)\]", r"_\1", value)  # a part of a state: its number stands below
        if (adjoint := re.fullmatch(r"d\(([\w.]+)(?:@history)?\)(?:@\d+)?", value)) is not None:
            return self._barred(adjoint[1])
        if value.startswith("d_") and len(value) > 2:
            return self._barred(value[2:])
        if value.startswith(("pre.", "post.")):
            side, _, signal = value.partition(".")
            return rf"{_scripts(signal, '')}^{{{word(side)}}}"
        owner, rest = self._owner(value)
        return _scripts(rest, owner)

    def _barred(self, value: str) -> str:
        owner, rest = self._owner(value)
        return _scripts(rest, owner, bar=True)

    def _owner(self, value: str) -> tuple[str, str]:
        value = value.replace(".", "_").replace("@", "_")
        for owner in self._owners:
            if value.startswith(owner + "_") and not value[len(owner) + 1 :].isdigit():
                return ("" if owner == self._alone else owner), value[len(owner) + 1 :]
        return "", value

    def expression(self, expr: sympy.Basic) -> str:
        """Return the LaTeX of an expression."""
        expr = expr.xreplace({f: sympy.Integer(int(f)) for f in expr.atoms(sympy.Float) if float(f).is_integer()})
        names = {s: self.name(s.name) for s in expr.free_symbols}
        return _Printer({"symbol_names": names, "mul_symbol": r"\,"}).doprint(expr)  # type: ignore[no-any-return]


def _scripts(name: str, owner: str, bar: bool = False) -> str:
    parts = [p for p in name.split("_") if p]
    base = word(parts[0]) if parts else word(name)
    base = f"\\bar{{{base}}}" if bar else base
    below = "{,}".join(word(p) for p in parts[1:])
    return base + (f"^{{{word(owner)}}}" if owner else "") + (f"_{{{below}}}" if below else "")


def word(part: str) -> str:
    """Return one word in LaTeX: a Greek letter by its name, upright where it has several letters."""
    if part in GREEK:
        return f"\\{part}"
    escaped = part.replace("\\", "").replace("_", r"\_").replace("~", r"\sim ")
    return escaped if len(part) == 1 or part.isdigit() else f"\\mathrm{{{escaped}}}"


def text(words: str) -> str:
    """Return words in LaTeX."""
    return f"\\text{{{words}}}"


def cases(rows: Sequence[tuple[str, str]]) -> str:
    """Return a distinction of cases, of (value, condition)."""
    lines = r"\\ ".join(f"{value} & {condition}" for value, condition in rows)
    return rf"\begin{{cases}}{lines}\end{{cases}}"


class _Printer(LatexPrinter):
    """sympy's printer with our own functions; a step function by its letter is hard to tell from a parameter."""

    def _call(self, name: str, expr: Any) -> str:
        inside = ", ".join(self._print(a) for a in expr.args)
        return rf"\operatorname{{{name}}}\left({inside}\right)"

    def _print_Heaviside(self, expr: Any, exp: Any = None) -> str:
        return self._powered(self._call("H", sympy.Tuple(*expr.args[:1])), exp)

    def _print_ExpBase(self, expr: Any, exp: Any = None) -> str:
        """Print exp with its argument on the line, where fractions can be read."""
        inside = self._print(expr.args[0])
        return self._powered(rf"\exp\left({inside}\right)", exp)

    def _print_Function(self, expr: Any, exp: Any = None) -> str:
        names = {"previous": "previous", "at_threshold": "at\\ threshold", "exprel_prime": "exprel'"}
        name = type(expr).__name__
        if name in names:
            return self._powered(self._call(names[name], expr), exp)
        return str(super()._print_Function(expr, exp))

    def _powered(self, tex: str, exp: Any) -> str:
        return tex if exp is None else rf"\left({tex}\right)^{{{exp}}}"
