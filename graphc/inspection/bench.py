"""The panes side by side: the user's lines, equations, generated lines and graphs, each linked to all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .drawing import draw_graph
from .markup import Markup, formula, highlighted, join, tag
from .report import FORMS, Equation, GraphInfo, Report, SourceInfo, UserFile
from .sources import lines_of
from .tabs import tabs

LEAD = (
    "Choose a line, an equation or a node: every place that shows the same value is marked, and the panes move to it. "
    "Places that come from the same line of yours are marked more faintly."
)
ABOUT = {
    "declared": "Declared",
    "discretised": "One step",
    "adjoint": "Adjoint",
    "traces": "Traces",
}
NONE = {
    "adjoint": "Compiled without gradients, so that there is no adjoint.",
    "traces": "No online rule: eligibility traces appear with --learn block-diagonal and the like.",
}
SUFFIX = {"c": "C", "triton": "Triton"}


def bench(report: Report) -> list[Markup]:
    """Return the section."""
    panes = [
        _pane("Your lines", join(_file(f) for f in report.files) or tag("p", "No file to read.", class_="none"), True),
        _pane("Equations", tabs("eq", "Form of the equations", list(_forms(report)), "body")),
    ]
    if report.sources:
        texts = [(f"{s.half} · {SUFFIX[s.target]}", _source(s)) for s in report.sources]
        panes.append(_pane("Generated", tabs("src", "Generated text", texts, "body starts")))
    graphs = [(_title(g.kind, g.backward, g.name), draw_graph(g)) for g in _last(report) if len(g.nodes) > 1]
    shown = [tag("p", LEAD, class_="lead"), tag("div", *panes, class_="bench")]
    if graphs:
        graphs.sort(key=lambda g: not g[0].startswith("time loop"))
        cap = tag("div", "Graph after the last pass", class_="cap")
        drawn = [cap, tabs("ir", "Region", graphs, "body"), _legend()]
        shown.append(tag("div", *drawn, class_="pane wide", style="margin-top:14px"))
    return shown


def _last(report: Report) -> tuple[GraphInfo, ...]:
    return next(s.graphs for s in reversed(report.stages) if s.graphs)


def _title(kind: str, backward: bool, name: str) -> str:
    words = {
        "steps": "time loop",
        "reverse": "reverse time loop",
        "all_steps": "all steps at once",
        "once": "once a call",
    }
    return f"{words[kind]} · {name}"


def _pane(title: str, content: Markup, scrolls: bool = False) -> Markup:
    inside = tag("div", content, class_="body", role="group", aria_label=title) if scrolls else content
    return tag("div", tag("div", title, class_="cap"), inside, class_="pane")


def _file(file: UserFile) -> Markup:
    lines = highlighted("\n".join(file.lines), "python")
    rows = []
    for number, line in enumerate(lines, start=file.first):
        where = f"{file.name}:{number}"
        rows.append(
            tag(
                "div", tag("i", number), tag("span", line), data_l=where, data_p="line", data_f=file.name, tabindex="-1"
            )
        )
    return tag("div", tag("h4", file.name), *rows, class_="code")


def _forms(report: Report) -> Iterator[tuple[str, Markup]]:
    for form in FORMS:
        found = report.of_form(form)
        if found:
            yield f"{ABOUT[form]} {len(found)}", join(_groups(found))
        elif form in NONE:
            yield ABOUT[form], tag("p", NONE[form], class_="none")


def _groups(equations: Sequence[Equation]) -> Iterator[Markup]:
    for owner, group in groupby(equations, lambda e: e.owner):
        yield tag("div", owner, class_="owner")
        yield from (_equation(e) for e in group)


def _equation(equation: Equation) -> Markup:
    where = None if equation.where is None else str(equation.where)
    name = ", ".join(v.partition(":")[2] for v in equation.values) or equation.about
    return tag(
        "div",
        formula(equation.latex),
        tag("small", tag("span", name), tag("span", where or "")),
        class_="eq",
        data_v=" ".join(equation.values) or None,
        data_l=where,
        data_p="eq",
        data_t=equation.text,
        tabindex="-1",
        title=equation.text,
    )


def _source(source: SourceInfo) -> Markup:
    known, rows = lines_of(source), []
    name = f"{source.half}.{'c' if source.target == 'c' else 'py'}"
    for number, line in enumerate(highlighted(source.text.rstrip("\n"), source.language), start=1):
        linked = known.get(number)
        attributes = {}
        if linked is not None:
            attributes = {"data_v": " ".join(linked.values) or None, "data_l": linked.where, "data_p": "kernel",
                          "data_f": name, "tabindex": "-1"}  # fmt: skip
        rows.append(tag("div", tag("i", number), tag("span", line), **attributes))
    return tag("div", *rows, class_="code")


def _legend() -> Markup:
    kinds = (("state", "state"), ("given", "read from memory"), ("map", "expression"), ("product", "product or sum"),
             ("spike", "spike, reset"))  # fmt: skip
    return tag(
        "div",
        *(
            tag("span", tag("i", style=f"background:var(--{k});border-color:var(--{k}-edge)"), words)
            for k, words in kinds
        ),
        class_="legend",
    )
