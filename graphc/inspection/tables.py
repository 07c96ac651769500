"""Tables and charts: the network, kernels with their resources, the roofline, and memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .charts import bars, roofline, size, time_of
from .cost import FUNCTION
from .drawing import draw_network
from .markup import Markup, join, tag
from .report import KernelCost, KernelResources, Report


def tiles(report: Report) -> Markup:
    """Return the figures at the top."""
    network = report.network
    loops = [c for c in report.costs if c.neurons]
    forward = [c for c in loops if c.half == "forward"]
    synapses = sum(c.synapses for c in network.connections)
    neurons = max(network.neurons, 1)
    found = [
        (f"{network.neurons:,}", f"neurons in {_count(len(network.populations), 'population')}"),
        (f"{synapses:,}", f"synapses in {_count(len(network.connections), 'connection')}"),
        (f"{network.dt_ms:g} ms", "time step"),
        (str(len(report.costs)), "kernels, forward and backward"),
    ]
    if forward:
        found.append((f"{sum(c.bytes for c in forward) / neurons:.3g}", "bytes per neuron-step, time loops forward"))
        done = sum(c.operations for c in report.costs if c.half == "forward")
        found.append((f"{done / neurons:.3g}", "FLOP per neuron-step forward, products in full"))
    saved = sum(b.bytes for b in report.memory.buffers if b.saved and b.kind == "sequence")
    if saved:
        per = saved / (report.memory.steps * report.memory.batch * neurons)
        found.append((f"{per:.3g}", "bytes per neuron-step kept for backward"))
    return tag("div", *(tag("div", tag("b", a), tag("span", b), class_="tile") for a, b in found), class_="tiles")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = (), mono: Sequence[int] = ()
) -> Markup:
    """Return a table; columns in `numbers` are aligned to the right, those in `mono` are names."""

    def kind(k: int) -> str | None:
        return "n" if k in numbers else "mono" if k in mono else None

    head = tag("tr", *(tag("th", h, class_="n" if k in numbers else None, scope="col") for k, h in enumerate(heads)))
    body = [tag("tr", *(tag("td", "" if c is None else c, class_=kind(k)) for k, c in enumerate(row))) for row in rows]
    inside = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", inside, class_="scroll", tabindex="0", role="group", aria_label=f"{heads[0]} table")


def network_tables(report: Report) -> list[Markup]:
    """Return the section on what was declared."""
    network = report.network
    populations = [
        (p.name, p.neuron, f"{p.size:,}", ", ".join(p.states), "; ".join(p.parameters)) for p in network.populations
    ]
    connections = [
        (c.name, f"{c.pre} → {c.post}.{c.target}", c.kind, f"{c.synapses:,}", _delay(c.delays), _how(c.learned, c.rule))
        for c in network.connections
    ]
    tables = [
        table(("Population", "Neuron", "Neurons", "States", "Parameters, in base units"), populations, (2,), (0, 3, 4)),
    ]
    if connections:
        heads = ("Connection", "From, to", "Kind", "Synapses", "Delay", "Weight")
        tables.append(table(heads, connections, (3,), (0, 1)))
    drawn = tag("div", tag("div", draw_network(network), class_="net-box"), class_="scroll")
    return [tag("div", drawn, tag("div", *tables), class_="split")]


def _delay(delays: tuple[int, int]) -> str:
    first, last = delays
    return "none" if last == 0 else _count(first, "step") if first == last else f"{first} to {last} steps"


def _how(learned: bool, rule: str | None) -> str:
    return f"rule {rule}" if rule else "learned" if learned else "fixed"


def kernels(report: Report) -> list[Markup]:
    """Return the section on kernels: what they do, what they use, where they stand under the roofline."""
    if not report.costs:
        return [tag("p", "The reference target interprets the program: it has no kernels.", class_="lead")]
    lead = (
        f"Counted from the schedule, for a call of {report.memory.steps} steps and {report.memory.batch} samples. A "
        f"function such as exp counts as {FUNCTION} operations; products count two operations per synapse as if every "
        "source were active, and event-driven ones do the part that spikes. A dot is the most that a kernel can reach "
        f"on this machine; dots that would cover each other hang below. Rates of {report.machine.name}: "
        f"{report.machine.source}."
    )
    numbered = [c for c in report.costs if c.intensity > 0]
    rows = [_cost(c, numbered.index(c) + 1 if c in numbered else None) for c in report.costs]
    heads = (
        "Kernel",
        "Half",
        "Laid out",
        "Nodes",
        "Bytes / step",
        "FLOP / step",
        "Functions",
        "FLOP / byte",
        "At least",
        "Bound by",
    )
    parts = [
        tag("p", lead, class_="lead"),
        table(heads, rows, (3, 4, 5, 6, 7, 8), (0,)),
    ]
    lower = [tag("div", tag("h3", "Roofline"), tag("div", roofline(report.machine, report.costs), class_="scroll"))]
    if report.resources:
        order = [c.kernel for c in report.costs]
        found = sorted(report.resources, key=lambda r: order.index(r.kernel) if r.kernel in order else len(order))
        lower.append(tag("div", tag("h3", "What built kernels use"), _resources(found)))
    return [*parts, tag("div", *lower, class_="split below")]


def _cost(cost: KernelCost, number: int | None) -> tuple[object, ...]:
    name = join([f"{number}. " if number else "", cost.kernel])
    return (
        name,
        tag("span", cost.half, class_=f"chip {cost.half}"),
        cost.strategy.replace("_", " "),
        cost.nodes,
        f"{cost.bytes:,}",
        f"{cost.operations:,.0f}",
        cost.functions or "",
        f"{cost.intensity:.3g}",
        time_of(cost.least_us),
        cost.bound,
    )


def _resources(found: Sequence[KernelResources]) -> Markup:
    if found[0].target == "c":
        heads = ("Kernel", "Half", "Instructions", "512-bit", "256-bit", "128-bit", "Stack")
        rows: list[tuple[object, ...]] = [
            (r.kernel, tag("span", r.half, class_=f"chip {r.half}"), f"{r.instructions:,}", r.vectors["512"],
             r.vectors["256"], r.vectors["128"], size(r.stack or 0))
            for r in found
        ]  # fmt: skip
        return table(heads, rows, (2, 3, 4, 5, 6), (0,))
    heads = ("Kernel", "Half", "Architecture", "Registers", "Spilled", "Shared memory", "Lines")
    rows = [
        (r.kernel, tag("span", r.half, class_=f"chip {r.half}"), r.machine, r.registers, size(r.spills or 0),
         size(r.shared or 0), f"{r.instructions:,}")
        for r in found
    ]  # fmt: skip
    return table(heads, rows, (3, 4, 5, 6), (0,))


def memory_plan(report: Report) -> list[Markup]:
    """Return the section on memory."""
    plan = report.memory
    lead = f"A call of {plan.steps} steps and {plan.batch} samples. Blue is kept from forward to backward."
    lists = [
        tag("h3", "The call"), tag("ul", *(tag("li", line) for line in plan.lines), class_="notes"),
        tag("h3", "Saved for backward", style="margin-top:14px"),
        tag("ul", *(tag("li", line) for line in plan.saved or ("nothing",)), class_="notes"),
    ]  # fmt: skip
    if not plan.buffers:
        return [tag("p", lead, class_="lead"), *lists]
    drawn = tag("div", bars(plan.buffers), class_="scroll")
    return [tag("p", lead, class_="lead"), tag("div", drawn, tag("div", *lists), class_="split")]
