"""The timeline of passes: what each one changed, side by side and in the graph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .diffs import Row, rows_of, shown, words
from .drawing import draw_graph
from .markup import Markup, join, tag
from .report import Report, StageInfo, scoped
from .tabs import tabs

LEAD = "Each pass takes a program and returns one. Dashed passes had nothing to do for this network."
_VALUE = re.compile(r"^\s*%(\w+):")
_WHERE = re.compile(r"# (\S+:\d+)$")


def passes(report: Report) -> list[Markup]:
    """Return the section."""
    panels = []
    before: StageInfo | None = None
    for stage in report.stages:
        panels.append((_head(stage), _panel(stage, before)))
        before = stage if stage.graphs else before
    if report.schedule:
        head = join([tag("b", "schedule"), tag("span", f"{len(report.costs)} kernels")])
        text = tag("div", tag("pre", report.schedule, class_="code", style="padding:10px 14px;margin:0"), class_="body")
        about = tag(
            "div",
            tag("h3", "schedule"),
            tag("p", "Kernels over named buffers: what is emitted and run."),
            class_="about",
        )
        panels.append((head, tag("div", about, text, class_="stage")))
    idle = [stage.index for stage in report.stages if not stage.changed]
    made = tabs("pass", "Passes in order", panels, look="line", idle=idle)
    return [tag("p", LEAD, class_="lead"), made]


def _head(stage: StageInfo) -> Markup:
    counts: object = "nothing to do"
    if stage.index == 0:
        counts = f"{stage.nodes} nodes"
    elif stage.changed and not stage.added and not stage.removed:
        counts = "notes"
    elif stage.changed:
        plus, minus = (tag("span", f"+{stage.added}", class_="plus"), tag("span", f"-{stage.removed}", class_="minus"))
        counts = join([plus, " ", minus, f" · {stage.nodes} nodes"])
    return join([tag("b", f"{stage.index:02} {stage.name}"), tag("span", counts)])


def _panel(stage: StageInfo, before: StageInfo | None) -> Markup:
    about = [tag("h3", f"{stage.index:02} {stage.name}"), tag("p", stage.about)]
    if stage.notes:
        about.append(tag("ul", *(tag("li", n) for n in stage.notes), class_="notes"))
    parts: list[Markup] = [tag("div", *about, class_="about")]
    if stage.changed:
        parts.append(tabs(f"stage{stage.index}", f"Views of {stage.name}", list(_views(stage, before)), "body"))
    return tag("div", *parts, class_="stage")


def _views(stage: StageInfo, before: StageInfo | None) -> Iterator[tuple[str, Markup]]:
    if before is not None and stage.diff:
        yield "Changes", _diff(before, stage)
    known = set() if before is None else {n.value for g in before.graphs for n in g.nodes}
    for graph in stage.graphs:
        if len(graph.nodes) > 1:
            new = {n.value for n in graph.nodes} - known if before is not None else set()
            if before is None or new:
                yield f"Graph {graph.name}", draw_graph(graph, new)
    yield "Text", tag("div", tag("pre", stage.text, style="padding:10px 14px;margin:0"), class_="code")


def _diff(before: StageInfo, stage: StageInfo) -> Markup:
    old, new = before.text.splitlines(), stage.text.splitlines()
    halves = {id(text): _halves(text) for text in (old, new)}
    heads = tag("div", tag("i"), tag("span", f"after {before.name}"), tag("i"), tag("span", f"after {stage.name}"),
                class_="heads")  # fmt: skip
    rows = [heads]
    for row in shown(rows_of(old, new)):
        if isinstance(row, int):
            rows.append(tag("div", f"{row} unchanged line{'s' * (row != 1)}", class_="skipped"))
        else:
            rows.append(_row(row, halves[id(old)], halves[id(new)]))
    return tag("div", *rows, class_="diff")


def _row(row: Row, old_halves: list[bool], new_halves: list[bool]) -> Markup:
    left: object = None if row.old is None else row.old[1]
    right: object = None if row.new is None else row.new[1]
    if row.old is not None and row.new is not None and not row.same:
        left, right = words(row.old[1], row.new[1])
    cells = []
    for side, content, halves, name in ((row.old, left, old_halves, "old"), (row.new, right, new_halves, "new")):
        if side is None:
            cells += [tag("i", class_="void"), tag("pre", "", class_="void")]
            continue
        number, line = side
        changed = None if row.same else name
        place = "right" if name == "new" else ""
        value, where = _VALUE.match(line), _WHERE.search(line)
        cells.append(tag("i", number, class_=f"{place} {changed or ''}".strip() or None))
        cells.append(
            tag(
                "pre",
                content,
                class_=f"{place} {changed or ''}".strip() or None,
                data_v=scoped(value[1], halves[number - 1]) if value else None,
                data_l=where[1] if where else None,
                data_p="pass" if value or where else None,
                tabindex="-1" if value or where else None,
            )
        )
    return tag("div", *cells, class_="same" if row.same else None)


def _halves(text: list[str]) -> list[bool]:
    """Return, per line of a program, whether it stands in a region of the backward half."""
    found, backward = [], False
    for line in text:
        if " graph " in line and line.rstrip().endswith(":"):
            backward = "backward" in line.partition(" graph ")[0]
        found.append(backward)
    return found
