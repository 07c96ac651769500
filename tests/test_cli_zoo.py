"""graphc zoo: every model has text, equations and a figure that says what the neuron does."""

import json
import math
import sys

import numpy as np
import pytest
import sympy
from click.testing import CliRunner
from latex2mathml.converter import convert

import graphc as gc
from graphc.cli.main import graphc
from graphc.zoo.characterise import curve, phase_line, plane, respond, surrogate
from graphc.zoo.drives import DRIVES
from graphc.zoo.texts import texts
from graphc.zoo.window import window

MODELS = [*gc.zoo.ALL, *gc.zoo.RULES]


def run(*arguments):
    found = CliRunner().invoke(graphc, ["zoo", *arguments], prog_name="graphc")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def told(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


def test_every_model_has_a_text_and_a_source():
    assert set(texts()) == set(MODELS)
    for name, text in texts().items():
        assert text.about and "\n" not in text.about and "`" not in text.about, name
        assert any(c.isdigit() for c in text.cited) and text.cited.endswith(")"), name


def test_the_list_names_every_model():
    document = told()
    assert [r["name"] for r in (*document["neurons"], *document["rules"])] == MODELS
    output = run().stdout
    assert all(name in output for name in MODELS)


def test_what_is_shown_of_a_neuron(golden):
    golden(run("AdEx", "--dt", "0.05").stdout)


def test_what_is_shown_of_a_rule(golden):
    golden(run("PairSTDP").stdout)


def test_equations_in_latex(golden):
    golden(run("ALIF", "--latex").stdout)


@pytest.mark.parametrize("name", MODELS)
def test_latex_of_every_model_is_balanced_and_read_by_a_converter(name):
    document = told(name, "--latex")
    for line in (*document["declared"], *document.get("discretised", ())):
        assert line.count("{") == line.count("}") and "**" not in line and "Piecewise" not in line, line
        assert convert(line).startswith("<math")


def test_units_and_bounds_are_those_of_the_declaration():
    rows = {p["name"]: p for p in told("AdEx")["parameters"]}
    assert (rows["C"]["default"], rows["C"]["unit"], rows["g_L"]["unit"]) == (281.0, "pF", "nS")
    assert (rows["tau_w"]["unit"], rows["b"]["unit"], rows["V_T"]["unit"]) == ("ms", "pA", "mV")
    tau = next(p for p in told("CTRNN")["parameters"] if p["name"] == "tau")
    assert (tau["learned"], tau["min"], tau["max"], tau["per"]) == (True, 1.0, None, "neuron")


def test_the_rate_of_a_leaky_integrator_is_the_closed_form():
    found = curve("LIF")
    seconds = 2 / 3  # of 1 s, a third is left out
    for x, rate in zip(found.drives, found.values, strict=True):
        wanted = 1e3 / (10 * math.log(10 * x / (10 * x - 1))) if 10 * x > 1 + 1e-6 else 0.0
        assert abs(rate - wanted) <= 1.5 / seconds + 0.02 * wanted, x


def test_nullclines_of_adex_are_where_the_equations_are_zero():
    drive = DRIVES["AdEx"]
    response = respond("AdEx", [drive.size], 60.0, start=6.0)
    found = plane("AdEx", response)
    k, j = 30, 170
    v, w = found.x[k], found.y[j]
    leak = 30 * (-70.6 - v) + 30 * 2 * math.exp(min((v + 50.4) / 2, 15))
    assert found.flow[0][j, k] == pytest.approx((leak + drive.size - w) / 281)
    assert found.rest[0][j, k] == pytest.approx((leak - w) / 281)
    assert found.flow[1][j, k] == pytest.approx((4 * (v + 70.6) - w) / 144)
    assert found.margin is not None and found.margin[j, k] == pytest.approx(v - 20)


def test_the_plane_of_a_discrete_map_is_its_change_per_step():
    found = plane("ALIF", respond("ALIF", [0.2], 100.0))
    v = found.x[10]
    assert found.flow[0][0, 10] == pytest.approx(v * (math.exp(-1 / 20) - 1) + 0.2)


def test_the_surrogate_is_drawn_out_to_a_twentieth():
    found = surrogate("LIF")
    np.testing.assert_allclose(found.curves["surrogate"], 1 / (1 + 10 * abs(found.x)) ** 2)
    assert found.curves["surrogate"].min() < 0.05


def test_the_phase_line_of_a_rate_unit():
    found = phase_line("CTRNN", respond("CTRNN", [1.0], 50.0))
    np.testing.assert_allclose(found.curves["driven"], (1 - found.x) / 10)


def test_the_window_of_pair_stdp_is_two_exponentials():
    alone, train = window(gc.zoo.PairSTDP())
    wanted = [0.01 * math.exp(-t / 20) if t >= 0 else -0.0105 * math.exp(t / 20) for t in alone.lags]
    np.testing.assert_allclose(alone.changes, wanted, rtol=1e-9)
    assert train.label == "20 pairs at 20 Hz"


@pytest.mark.parametrize("name", ["LIF", "FitzHughNagumo", "LI", "PairSTDP"])
def test_a_figure_is_written(name, tmp_path, monkeypatch):
    from graphc.zoo import characterise

    monkeypatch.setattr(characterise, "CURVE", 5)
    path = tmp_path / "out.png"
    found = run(name, "--plot", str(path))
    assert found.exit_code == 0 and f"wrote {path}" in found.stdout.replace("\n", "")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


REFUSED = {
    ("Lif",): "did you mean 'LIF'",
    ("LIF", "--plot", "out.xyz"): "ends in no kind of figure",
    ("LIF", "--plot", "no_such_folder/out.png"): "there is no folder no_such_folder",
    ("Oja", "--plot", "out.png"): "it reads post.output, pre.output",
    ("RewardSTDP", "--plot", "out.png"): "third factor 'reward'",
    ("TsodyksMarkram", "--plot", "out.png"): "does not change the weight",
    ("--latex",): "for one model",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_cannot_be_shown_is_one_message(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run(*arguments)
    assert found.exit_code == 2 and REFUSED[arguments] in found.stderr and not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = run("LIF", "--plot", str(tmp_path / "out.png"))
    assert found.exit_code == 2 and 'pip install "graphc[plot]"' in found.stderr


def test_a_figure_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    from graphc.zoo import figure

    (tmp_path / "out.png").mkdir()
    monkeypatch.setattr(figure, "_window", lambda panel, name: None)
    found = run("PairSTDP", "--plot", str(tmp_path / "out.png"))
    assert found.exit_code == 2 and "out.png: Is a directory" in found.stderr


def test_what_is_shown_as_declared_is_the_declaration():
    lines = told("Izhikevich")["declared"]
    v, u, x = sympy.symbols("v u x")
    right = next(line for line in lines if line.startswith("dv/dt")).partition("= ")[2]
    assert sympy.expand(sympy.sympify(right) - (0.04 * v**2 + 5 * v + 140 - u + x)) == 0
    assert "spike where v >= 30" in lines
