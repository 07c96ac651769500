"""Sympy expressions as text of a target: the only place that decides parentheses."""

from __future__ import annotations

import keyword
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sympy
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from graphc.ir.errors import TargetError
from graphc.ir.loc import Loc

FloatType = Literal["float32", "float64"]

# How tightly the text of an expression binds; an operand that binds less than its place demands gets parentheses.
SELECT, LOGIC, COMPARE, SUM, PRODUCT, UNARY, ATOM = range(7)

_WORDS_OF_C = """
asm auto bool break case char const continue default do double else enum extern false float for goto if inline int
int32_t int64_t uint8_t long main register restrict return short signed sizeof static struct switch true typedef
typeof union unsigned void volatile while
"""
_C_WORDS = frozenset(_WORDS_OF_C.split())
_C_MACROS = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|NULL|linux|unix")  # INT32_MAX: shaped as the headers name theirs
_PYTHON_WORDS = frozenset((*keyword.kwlist, *keyword.softkwlist, "tl", "triton", "float", "int", "bool", "range"))

# Functions of one real argument by the name of their sympy class; a name that starts with "_" the text must define.
_FUNCTIONS = {
    **{
        name: f"_{name}" for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asin", "acos")
    },
    **{name: f"_{name}" for name in ("erf", "sign", "floor", "exprel", "exprel_prime", "sigmoid", "softplus", "relu")},
    "Abs": "_abs",
    "ceiling": "_ceil",
}
_TRITON = {name: f"tl.{name}" for name in ("log", "erf", "floor")}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between target languages.

    Attributes:
        target: name of the target, for messages.
        dtype: the real type of the text.
        functions: name of the emitted function per sympy class; a name that starts with "_" the text must define.
        words: names that a variable cannot have.
    """

    target: Literal["c", "triton"]
    dtype: FloatType
    functions: Mapping[str, str]
    words: frozenset[str]

    def identifier(self, name: str) -> str:
        """Return `name`, with a trailing underscore where the language has that word itself."""
        taken = name in self.words or (self.target == "c" and _C_MACROS.fullmatch(name))
        return f"{name}_" if taken else name

    def number(self, value: float) -> str:
        """Return `value` as a literal of the real type: the shortest that reads back exactly."""
        value = float(value)
        if self.dtype == "float32":
            value = round_to_float32(value)
        if not math.isfinite(value):
            return self._special(value)
        text = _shortest_float32(value) if self.dtype == "float32" else repr(value)
        if not any(ch in text for ch in ".en"):
            text += ".0"
        return f"{text}f" if self.target == "c" and self.dtype == "float32" else text

    def _special(self, value: float) -> str:
        if self.target == "triton":
            return f'float("{value}")'
        suffix = "f" if self.dtype == "float32" else ""
        if math.isnan(value):
            return f'__builtin_nan{suffix}("")'
        return f"{'-' if value < 0 else ''}__builtin_inf{suffix}()"

    def select(self, condition: str, then: str, otherwise: str) -> tuple[str, int]:
        """Return the choice between two values, and how tightly it binds."""
        if self.target == "triton":
            if self.dtype == "float64" and _is_literal(then) and _is_literal(otherwise):
                then = f"tl.full((), {then}, tl.float64)"  # a choice between two numbers is one of float32
            return f"tl.where({condition}, {then}, {otherwise})", ATOM
        return f"{condition} ? {then} : {otherwise}", SELECT

    def logic(self, operator: Literal["and", "or"], conditions: list[str]) -> str:
        """Return conditions, each already in parentheses where needed, joined by `operator`."""
        if self.target == "triton":
            return {"and": " & ", "or": " | "}[operator].join(conditions)
        return {"and": " && ", "or": " || "}[operator].join(conditions)

    def negation(self, condition: str) -> str:
        """Return the opposite of a condition that is an atom."""
        return f"~{condition}" if self.target == "triton" else f"!{condition}"

    def truth(self, value: bool) -> str:
        """Return a condition that always or never holds."""
        return str(value) if self.target == "triton" else str(int(value))


def c_dialect(dtype: FloatType) -> Dialect:
    """Return the dialect of C, whose functions all come from graphc.codegen.c.math."""
    return Dialect("c", dtype, _FUNCTIONS, _C_WORDS)


def triton_dialect(dtype: FloatType) -> Dialect:
    """Return the dialect of Triton."""
    return Dialect("triton", dtype, {**_FUNCTIONS, **_TRITON, "Abs": "tl.abs", "ceiling": "tl.ceil"}, _PYTHON_WORDS)


@dataclass(slots=True)
class Printer:
    """Prints expressions in a dialect; `used` collects the functions that the text must define.

    Attributes:
        dialect: the language.
        names: text of a symbol where it is not the symbol's own name, as `identifier` makes it.
        used: names of emitted functions that start with "_", such as ``_tanh`` and ``_pow3``.
    """

    dialect: Dialect
    names: Mapping[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def text(self, expr: Any, loc: Loc | None = None, binding: int = SELECT) -> str:
        """Return `expr` as text that binds at least as tightly as `binding`.

        Raises:
            TargetError: an operation that this target has no rule for.
        """
        text, own = self._print(sympy.sympify(expr), loc)
        return f"({text})" if own < binding else text

    def call(self, function: str, *args: str) -> str:
        """Return a call of the emitted function `function`, and remember that it is used."""
        if function.startswith("_"):
            self.used.add(function)
        return f"{function}({', '.join(args)})"

    def _print(self, expr: Any, loc: Loc | None) -> tuple[str, int]:
        if expr.is_number:
            text = self.dialect.number(float(expr))
            return text, UNARY if text.startswith("-") else ATOM
        match expr:
            case sympy.Symbol():
                return self.names.get(expr.name) or self.dialect.identifier(expr.name), ATOM
            case BooleanTrue() | BooleanFalse():
                return self.dialect.truth(bool(expr)), ATOM
            case sympy.Add():
                return self._sum(expr, loc), SUM
            case sympy.Mul():
                return self._product(expr, loc)
            case sympy.Pow():
                return self._power(expr, loc)
            case sympy.Piecewise():
                return self._piecewise(expr, loc)
            case sympy.Heaviside():
                return self._heaviside(expr, loc)
            case sympy.Max() | sympy.Min():
                return self._extremum(expr, loc), ATOM
            case sympy.Mod():
                return self.call("_mod", *(self.text(a, loc) for a in expr.args)), ATOM
            case sympy.core.relational.Relational():
                return self._relation(expr, loc), COMPARE
            case sympy.And() | sympy.Or():
                operator: Literal["and", "or"] = "and" if isinstance(expr, sympy.And) else "or"
                parts = sorted(self.text(a, loc, ATOM) for a in expr.args)
                return self.dialect.logic(operator, parts), LOGIC
            case sympy.Not():
                return self.dialect.negation(self.text(expr.args[0], loc, ATOM)), UNARY
        name = type(expr).__name__
        if name in self.dialect.functions and len(expr.args) == 1:
            return self.call(self.dialect.functions[name], self.text(expr.args[0], loc)), ATOM
        other = "c" if self.dialect.target == "triton" else "reference"
        raise TargetError(
            f"target {self.dialect.target!r} cannot compute {name} in {expr}", loc, f"use target={other!r}"
        )

    def _sum(self, expr: Any, loc: Loc | None) -> str:
        terms = list(expr.args)
        if len(terms) > 1 and terms[0].could_extract_minus_sign() and not terms[1].could_extract_minus_sign():
            terms[0], terms[1] = terms[1], terms[0]  # the same sum, and no leading minus
        texts = [self.text(terms[0], loc, SUM)]
        for term in terms[1:]:
            negative = _is_negated(term)
            texts.append(f" - {self.text(-term, loc, PRODUCT)}" if negative else f" + {self.text(term, loc, PRODUCT)}")
        return "".join(texts)

    def _product(self, expr: Any, loc: Loc | None) -> tuple[str, int]:
        above: list[Any] = []
        below: list[Any] = []
        numbers = [f for f in expr.args if f.is_number]
        rest = [f for f in expr.args if not f.is_number]
        for factor in [sympy.Float(float(sympy.Mul(*numbers)), 17), *rest] if len(numbers) > 1 else expr.args:
            divides = isinstance(factor, sympy.Pow) and factor.exp.is_Number and factor.exp.is_negative
            below.append(factor.base**-factor.exp) if divides else above.append(factor)
        sign = ""
        if above and above[0].is_Number and above[0].is_negative:
            sign, above[0] = "-", -above[0]
        if above and above[0] == 1:
            del above[0]
        top = "*".join(self.text(f, loc, PRODUCT) for f in above) or self.dialect.number(1)
        if below:
            parts = [self.text(f, loc, PRODUCT if len(below) > 1 else UNARY) for f in below]
            top += f"/{parts[0]}" if len(parts) == 1 else f"/({'*'.join(parts)})"
        return sign + top, PRODUCT

    def _power(self, expr: Any, loc: Loc | None) -> tuple[str, int]:
        base, exponent = expr.base, expr.exp
        if exponent.is_Number and exponent.is_negative:
            return f"{self.dialect.number(1)}/{self.text(base**-exponent, loc, UNARY)}", PRODUCT
        if exponent.is_Number and float(exponent) == 0.5:
            return self.call("tl.sqrt" if self.dialect.target == "triton" else "_sqrt", self.text(base, loc)), ATOM
        if exponent.is_Integer and int(exponent) <= 8:
            if base.is_Symbol and int(exponent) <= 3:
                return "*".join([self.text(base, loc)] * int(exponent)), PRODUCT
            return self.call(f"_pow{int(exponent)}", self.text(base, loc)), ATOM
        return self.call("_pow", self.text(base, loc), self.text(exponent, loc)), ATOM

    def _piecewise(self, expr: Any, loc: Loc | None) -> tuple[str, int]:
        pairs = list(expr.args)
        closed = pairs[-1][1] == True  # noqa: E712 (a sympy value)
        last = self._print(pairs.pop()[0], loc) if closed else (self.dialect.number(math.nan), ATOM)
        for value, condition in reversed(pairs):
            last = self.dialect.select(self.text(condition, loc, LOGIC), self.text(value, loc, LOGIC), last[0])
        return last

    def _heaviside(self, expr: Any, loc: Loc | None) -> tuple[str, int]:
        x, at_zero = expr.args
        argument, one, zero = self.text(x, loc, SUM), self.dialect.number(1), self.dialect.number(0)
        if at_zero in (0, 1):
            return self.dialect.select(f"{argument} {'>' if at_zero == 0 else '>='} {zero}", one, zero)
        inner, _ = self.dialect.select(f"{argument} == {zero}", self.text(at_zero, loc), zero)
        return self.dialect.select(f"{argument} > {zero}", one, inner)

    def _extremum(self, expr: Any, loc: Loc | None) -> str:
        function = "_max" if isinstance(expr, sympy.Max) else "_min"
        # Max and Min hold their arguments as a set: an order of their own keeps the text deterministic.
        first, *rest = (self.text(a, loc) for a in sorted(expr.args, key=sympy.default_sort_key))
        for text in rest:
            first = self.call(function, first, text)
        return first

    def _relation(self, expr: Any, loc: Loc | None) -> str:
        operators = {"Equality": "==", "Unequality": "!="}
        operator = operators.get(type(expr).__name__) or expr.rel_op
        return f"{self.text(expr.lhs, loc, SUM)} {operator} {self.text(expr.rhs, loc, SUM)}"


def _is_literal(text: str) -> bool:
    return bool(re.fullmatch(r"-?[\d.e+-]+", text))


def _is_negated(term: Any) -> bool:
    return bool(
        (term.is_Number and term.is_negative) or (term.is_Mul and term.args[0].is_Number and term.args[0].is_negative)
    )


def round_to_float32(value: float) -> float:
    """Return the float32 nearest to `value`, infinite where it overflows."""
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def _shortest_float32(value: float) -> str:
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if round_to_float32(float(text)) == value:
            return repr(float(text))
    return repr(float(f"{value:.9g}"))
