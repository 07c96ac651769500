"""``graphc zoo``: the models of the zoo, their equations and their figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .command import Command, show

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.neuron import Neuron
    from graphc.plasticity import Plasticity
    from graphc.symbols import Parameter
    from graphc.zoo.equations import Equation


class ZooName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """The name of a neuron or a rule; completion knows them all."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`."""
        from graphc.zoo.texts import texts

        return [CompletionItem(n, help=t.about) for n, t in texts().items() if n.startswith(incomplete)]


@click.command(cls=Command, short_help="List models, or show one: equations, parameters, figure.")
@click.argument("name", type=ZooName(), required=False)
@click.option("--dt", type=click.FloatRange(0, min_open=True), metavar="MS", help="Step of the discretised equations.")
@click.option("--latex", is_flag=True, help="Write equations in LaTeX.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw what it does: .png, .svg or .pdf.")
def zoo(name: str | None, dt: float | None, latex: bool, plot: Path | None) -> None:
    """List the models of the zoo, or show one: equations, parameters, literature.

    --plot draws the response of a neuron to a drive, its rate over the drive, and its phase plane or the derivative
    that stands in for that of its spike; of a learning rule the spike-timing window.
    """
    if name is None:
        if latex or plot or dt:
            raise click.UsageError("--dt, --latex and --plot are for one model: graphc zoo NAME")
        document = _all()
        show(document, lambda console: _print_all(console, document))
        return
    from graphc.zoo import ALL

    model = _model(name)
    if plot is not None:
        from graphc.zoo.figure import draw

        draw(name, plot)
    document = _neuron(ALL[name], dt, latex) if name in ALL else _rule(name, model, latex)
    document |= {"plot": str(plot)} if plot is not None else {}
    show(document, lambda console: _print_one(console, document))


def _all() -> dict[str, Any]:
    from graphc.zoo import ALL, RULES
    from graphc.zoo.texts import texts

    neurons, rules = [], []
    for name, neuron in ALL.items():
        names = {"states": [s.name for s in neuron.states], "inputs": [i.name for i in neuron.inputs]}
        neurons.append({"name": name, **names, **_told(texts()[name])})
    for name, make in RULES.items():
        rule = make()
        factors = [i.name for i in rule.inputs]
        rules.append({"name": name, "states": _states(rule), "inputs": factors, **_told(texts()[name])})
    return {"neurons": neurons, "rules": rules}


def _told(text: Any) -> dict[str, str]:
    return {"about": text.about, "source": text.source, "cited": text.cited}


def _states(rule: Plasticity) -> list[str]:
    return ["weight"] * rule.changes_weight + [s.name for s in rule.states if s.name != "weight"]


def _model(name: str) -> Neuron | Plasticity:
    from graphc.ir.errors import GraphcError
    from graphc.names import did_you_mean
    from graphc.zoo import ALL, RULES

    if name in ALL:
        return ALL[name]
    if name in RULES:
        return RULES[name]()
    near = did_you_mean(name, (*ALL, *RULES))
    raise GraphcError(f"the zoo has no model {name!r}", hint=near or "graphc zoo lists them")


def _neuron(neuron: Neuron, dt: float | None, latex: bool) -> dict[str, Any]:
    from graphc.zoo.drives import DRIVES
    from graphc.zoo.equations import declared, discretised
    from graphc.zoo.figure import unit_of
    from graphc.zoo.texts import texts

    step = dt or DRIVES[neuron.name].dt
    one = discretised(neuron, step)
    return {
        "name": neuron.name,
        "kind": "neuron",
        **_told(texts()[neuron.name]),
        "text": texts()[neuron.name].body,
        "states": [
            {"name": s.name, "unit": unit_of(neuron, s.name), "integrator": one.integrators[s.name]}
            for s in neuron.states
        ],
        "inputs": [{"name": i.name, "unit": unit_of(neuron, i.name)} for i in neuron.inputs],
        "surrogate": None if neuron.spike is None else str(neuron.spike.surrogate),
        "declared": _lines(declared(neuron), latex),
        "dt": step,
        "discretised": _lines(one.equations, latex),
        "parameters": [_parameter(p, unit_of(neuron, p.name)) for p in neuron.parameters],
    }


def _rule(name: str, rule: Any, latex: bool) -> dict[str, Any]:
    from graphc.zoo.equations import declared
    from graphc.zoo.texts import texts

    places = rule.places()
    return {
        "name": name,
        "kind": "rule",
        **_told(texts()[name]),
        "text": texts()[name].body,
        "states": [{"name": s, "place": _place(s, places)} for s in _states(rule)],
        "inputs": [{"name": i.name, "place": i.on} for i in rule.inputs],
        "declared": _lines(declared(rule), latex),
        "parameters": [_parameter(p, "" if p.dimension is None else p.dimension.unit) for p in rule.parameters],
    }


def _place(name: str, places: Any) -> str:
    return next((str(place) for state, place in places.items() if state.name == name), "synapse")


def _lines(equations: list[Equation], latex: bool) -> list[str]:
    return [e.latex if latex else str(e) for e in equations]


def _parameter(parameter: Parameter, unit: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "default": parameter.default if isinstance(parameter.default, float) else str(parameter.default),
        "unit": unit,
        "learned": parameter.learn,
        "min": parameter.min,
        "max": parameter.max,
        "per": parameter.per,
    }


def _print_all(console: Console, document: dict[str, Any]) -> None:
    from rich.table import Table

    for kind, states, inputs in (("neurons", "states", "inputs"), ("rules", "states", "third factors")):
        table = Table(title=kind, title_justify="left", box=None, pad_edge=False, title_style="bold")
        table.add_column(kind.removesuffix("s"), no_wrap=True, style="bold")
        for heading in (states, inputs, "what it is", "source"):
            table.add_column(heading)
        for row in document[kind]:
            names = (", ".join(row["states"]), ", ".join(row["inputs"]))
            table.add_row(row["name"], *names, row["about"], row["cited"])
        console.print(table)
        console.print()
    console.print("graphc zoo NAME shows one; gc.zoo.NAME is it; NETWORK zoo:NAME is a small network of a neuron.")


def _print_one(console: Console, document: dict[str, Any]) -> None:
    console.print(f"[bold]{document['name']}[/]: {document['about']}")
    console.print(f"source: {document['source']}", markup=False)
    _section(console, "as declared", document["declared"])
    if "discretised" in document:
        _section(console, f"one step of {document['dt']:g} ms", document["discretised"])
        states = [f"{s['name']}{_in(s['unit'])}: {s['integrator']}" for s in document["states"]]
        _section(console, "states and their integrators", states)
        _section(console, "inputs", [f"{i['name']}{_in(i['unit'])}" for i in document["inputs"]])
        _section(console, "derivative of the spike", [document["surrogate"] or "none: no spike"])
    else:
        _section(console, "states", [f"{s['name']}: one per {_PER[s['place']]}" for s in document["states"]])
        if document["inputs"]:
            _section(console, "third factors", [f"{i['name']}: one per {_PER[i['place']]}" for i in document["inputs"]])
    _print_parameters(console, document["parameters"])
    if "plot" in document:
        console.print(f"\nwrote {document['plot']}", markup=False)


_PER = {"pre": "source neuron", "post": "target neuron", "synapse": "synapse", "network": "network"}


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _section(console: Console, title: str, lines: list[str]) -> None:
    console.print(f"\n[bold]{title}[/]")
    for line in lines:
        console.print(f"  {line}", markup=False)


def _print_parameters(console: Console, parameters: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not parameters:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("  parameter", "default", "unit", "learned", "bounds", "per"):
        table.add_column(heading)
    for p in parameters:
        bounds = [f"{sign} {p[side]:g}" for sign, side in ((">", "min"), ("<", "max")) if p[side] is not None]
        default = f"{p['default']:g}" if isinstance(p["default"], float) else p["default"]
        table.add_row(
            f"  {p['name']}", default, p["unit"], "yes" if p["learned"] else "no", ", ".join(bounds), p["per"]
        )
    console.print()
    console.print(table)
