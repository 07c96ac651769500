"""Expressions as text: parentheses, numbers, refusals."""

import math

import pytest
import sympy

from graphc.codegen.expr import Printer, c_dialect, round_to_float32, triton_dialect
from graphc.ir import Loc, TargetError
from graphc.ir.functions import exprel, sigmoid

a, b, c, v = sympy.symbols("a b c v", real=True)
NAMES = {"a": 0.7, "b": -1.3, "c": 2.1, "v": 0.4}
CASES = [
    (a - b - c, "a - b - c"),
    (a - (b - v) * c, "a - c*(b - v)"),
    (-a + b, "b - a"),
    (-a - b, "-a - b"),
    (a / (b * c), "a/(b*c)"),
    (a * (b - v) / c, "a*(b - v)/c"),
    (1 / (1 + sympy.Abs(v)) ** 2, "1.0/_pow2(1.0 + _abs(v))"),
    (v**3, "v*v*v"),
    (v**-2, "1.0/(v*v)"),
    (v**5, "_pow5(v)"),
    (sympy.sqrt(v), "_sqrt(v)"),
    (v**1.5, "_pow(v, 1.5)"),
    (exprel(v) * sigmoid(a), "_exprel(v)*_sigmoid(a)"),
    (sympy.Piecewise((a, a > b), (b, True)), "a > b ? a : b"),
    (1 + sympy.Piecewise((a, a > b), (b, True)), "1.0 + (a > b ? a : b)"),
    (sympy.Heaviside(v, 0), "v > 0.0 ? 1.0 : 0.0"),
    (sympy.Max(v, 1, a), "_max(_max(1.0, a), v)"),
    (a * 2 * sympy.pi, "6.283185307179586*a"),
]


@pytest.mark.parametrize(("expr", "text"), CASES, ids=[text for _, text in CASES])
def test_text_in_c(expr, text):
    assert Printer(c_dialect("float64")).text(expr) == text


@pytest.mark.parametrize("expr", [e for e, _ in CASES], ids=[t for _, t in CASES])
def test_text_means_what_the_expression_means(expr):
    """Python evaluates the Triton text; functions are stood in for by sympy's."""
    text = Printer(triton_dialect("float64")).text(expr)
    env = {f"_pow{n}": (lambda x, n=n: x**n) for n in range(2, 9)}
    env |= {"_pow": lambda x, y: x**y, "_max": max, "_exprel": lambda x: math.expm1(x) / x}
    env |= {"_sigmoid": lambda x: 1 / (1 + math.exp(-x)), "tl": _Tl, **NAMES}
    wanted = float(expr.subs({sympy.Symbol(n, real=True): x for n, x in NAMES.items()}))
    assert eval(text, env) == pytest.approx(wanted, rel=1e-12)


class _Tl:
    float64, full = None, staticmethod(lambda shape, value, dtype: value)
    sqrt, abs, where = math.sqrt, abs, staticmethod(lambda condition, x, y: x if condition else y)
    full, float64 = staticmethod(lambda shape, value, dtype: value), None


def test_numbers_are_the_shortest_that_read_back():
    single, double = c_dialect("float32"), c_dialect("float64")
    assert single.number(0.1) == "0.1f" and double.number(0.1) == "0.1"
    assert single.number(1 / 3) == "0.33333334f" and double.number(1 / 3) == "0.3333333333333333"
    for value in (math.pi, 1e-42, 3.4e38, -7e-20):
        assert round_to_float32(float(single.number(value)[:-1])) == round_to_float32(value)


def test_numbers_beyond_the_range_are_infinite():
    assert c_dialect("float32").number(1e300) == "__builtin_inff()"
    assert c_dialect("float64").number(-math.inf) == "-__builtin_inf()"
    assert "nan" in c_dialect("float64").number(math.nan)


def test_emitted_functions_are_collected():
    printer = Printer(c_dialect("float32"))
    printer.text(sympy.tanh(v) + v**7 + sympy.Max(v, 0))
    assert printer.used == {"_tanh", "_pow7", "_max"}


def test_a_word_of_the_language_is_no_variable():
    double = sympy.Symbol("double", real=True)
    assert Printer(c_dialect("float32")).text(double + 1) == "1.0f + double_"
    assert triton_dialect("float32").identifier("lambda") == "lambda_"


def test_text_does_not_depend_on_the_order_of_arguments():
    one, other = sympy.Max(a, b, c), sympy.Max(c, b, a)
    assert Printer(c_dialect("float32")).text(one) == Printer(c_dialect("float32")).text(other)


@pytest.mark.parametrize("expr", [sympy.gamma(v), sympy.Derivative(sympy.floor(v), v), sympy.re(sympy.Symbol("w"))])
def test_an_unknown_operation_is_refused_with_its_name_and_a_way_out(expr):
    with pytest.raises(TargetError, match=rf"lif.py:3: target 'c' cannot compute {type(expr).__name__}.*") as caught:
        Printer(c_dialect("float32")).text(expr, Loc("lif.py", 3))
    assert "use target='reference'" in str(caught.value)
