"""A report on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from graphc.ir import GraphcError
from graphc.names import did_you_mean

from .charts import size, time_of
from .report import Equation, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def summary(console: Console, report: Report) -> None:
    """Print what was declared, what the passes did, the kernels, and where to look next."""
    network = report.network
    console.print(f"[bold]{_plain(report.name)}[/]  {_plain(report.key)}")
    console.print(f"semantics card {report.card}, dt {network.dt_ms:g} ms; schedule: {_plain(report.options)}\n")
    table = _table("population", "neuron", ">neurons", "states")
    for p in network.populations:
        table.add_row(p.name, p.neuron, f"{p.size:,}", ", ".join(p.states))
    console.print(table)
    if network.connections:
        table = _table("connection", "kind", ">synapses", ">delay", "weight")
        for c in network.connections:
            first, last = c.delays
            delay = "0" if last == 0 else str(first) if first == last else f"{first}-{last}"
            table.add_row(c.name, c.kind, f"{c.synapses:,}", delay, c.rule or ("learned" if c.learned else "fixed"))
        console.print(table)
    equations(console, report.of_form("declared"), "declared", latex=False)
    table = _table("pass", ">nodes", ">+", ">-", "what it does")
    for stage in report.stages:
        counts = (str(stage.nodes), str(stage.added), str(stage.removed)) if stage.changed else ("", "", "")
        table.add_row(f"{stage.index:02} {stage.name}", *counts, stage.about if stage.changed else "nothing to do")
    console.print(table)
    resources(console, report)
    for line in report.memory.lines[:3]:
        console.print(line, markup=False)
    console.print(
        "\nmore: --equations discretised, --stage fuse, --source forward, --resources, --html FILE", markup=False
    )


def equations(console: Console, found: Sequence[Equation], form: str, latex: bool) -> None:
    """Print equations, each with the user's line."""
    if not found:
        why = {"traces": "no online rule: compile with --learn block-diagonal and the like"}
        console.print(why.get(form, "no gradients: compile with --learn bptt"), markup=False)
    for owner, group in groupby(found, lambda e: e.owner):
        console.print(f"[bold]{_plain(owner)}[/]")
        for e in group:
            where = f"  # {e.where}" if e.where else ""
            console.print(f"  {e.latex if latex else e.text}{where}", markup=False)
    console.print()


def resources(console: Console, report: Report) -> None:
    """Print what kernels do, what they use where they were built, and how fast they can be at best."""
    table = _table("kernel", "laid out", ">bytes/step", ">FLOP/step", ">FLOP/byte", ">at least", "bound by")
    table.columns[0].min_width = max((len(c.kernel) for c in report.costs), default=0)
    for c in report.costs:
        numbers = (f"{c.bytes:,}", f"{c.operations:,.0f}", f"{c.intensity:.3g}", time_of(c.least_us))
        table.add_row(c.kernel, c.strategy.replace("_", " "), *numbers, c.bound)
    console.print(table)
    for kernel in report.resources:
        if kernel.target == "c":
            used = [f"{n} of {bits} bits" for bits, n in kernel.vectors.items() if n]
            vectors = f"on vectors {', '.join(used) or 'none'}"
            told = f"{kernel.instructions:,} instructions, {vectors}; stack {size(kernel.stack or 0)}"
        else:
            told = (
                f"{kernel.registers} registers, {size(kernel.spills or 0)} spilled, {size(kernel.shared or 0)} shared"
            )
        console.print(f"  {kernel.kernel}: {told}", markup=False)
    if report.costs:
        m = report.machine
        plan = f"a call of {report.memory.steps} steps, {report.memory.batch} samples"
        speed = f"{m.gbytes_s:,.0f}" if m.gbytes_s >= 10 else f"{m.gbytes_s:.2f}"
        rates = f"{speed} GB/s, {m.gflop_s:,.0f} GFLOP/s, {m.source}"
        console.print(f"at least: for {plan}, on {m.name}: {rates}", markup=False)
    for line in report.missing:
        console.print(f"not shown: {line}", markup=False)


def diffs(report: Report, names: Sequence[str]) -> dict[str, str]:
    """Return what passes changed, by number and name; all that changed something without `names`.

    Raises:
        GraphcError: there is no such pass.
    """
    wanted = {n.removeprefix("after ").strip() for n in names}
    known = {f"{s.index:02}-{s.name}": s for s in report.stages if s.index}
    for name in sorted(wanted - set(known) - {s.name for s in report.stages[1:]}):
        passes = list(dict.fromkeys(s.name for s in report.stages[1:]))
        raise GraphcError(
            f"there is no pass {name!r}", hint=did_you_mean(name, passes) or f"passes are {', '.join(passes)}"
        )
    chosen = {k: s for k, s in known.items() if (k in wanted or s.name in wanted if wanted else s.diff)}
    return {k: s.diff or f"{k}: no change of the program" for k, s in chosen.items()}


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in heads:
        table.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
