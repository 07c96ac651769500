"""The roofline and the memory plan as static SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .markup import Markup, svg, tag
from .report import Held, KernelCost, Machine

_At = Callable[[float, float], tuple[float, float]]
WIDTH, HEIGHT, LEFT, BOTTOM = 640.0, 330.0, 66.0, 44.0


def roofline(machine: Machine, costs: Sequence[KernelCost]) -> Markup:
    """Return what each kernel can reach at best on `machine`: operations per second over operations per byte."""
    shown = [c for c in costs if c.intensity > 0]
    ridge = machine.gflop_s / machine.gbytes_s
    low = min([0.1, *(c.intensity / 2 for c in shown)])
    high = max([ridge * 8, *(c.intensity * 2 for c in shown)])
    x0, x1 = math.floor(math.log10(low)), math.ceil(math.log10(high))
    top = math.log10(machine.gflop_s) + 0.35
    bottom = math.floor(math.log10(min(_reached(machine, 10.0**x0), machine.gflop_s / 100)))

    def at(intensity: float, rate: float) -> tuple[float, float]:
        x = LEFT + (math.log10(intensity) - x0) / (x1 - x0) * (WIDTH - LEFT)
        return x, (top - math.log10(rate)) / (top - bottom) * (HEIGHT - BOTTOM)

    parts = [*_grid(x0, x1, bottom, math.floor(top), at)]
    ax, ay = at(10.0**x0, _reached(machine, 10.0**x0))
    (bx, by), (cx, cy) = at(ridge, machine.gflop_s), at(10.0**x1, machine.gflop_s)
    parts.append(tag("path", d=f"M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}L{cx:.1f} {cy:.1f}", class_="roof"))
    parts.append(tag("text", f"{_number(machine.gflop_s)} GFLOP/s", x=f"{cx:.1f}", y=f"{cy - 8:.1f}", class_="end"))
    tilt = math.degrees(math.atan2(by - ay, bx - ax))
    mx, my = ax + (bx - ax) * 0.22, ay + (by - ay) * 0.22
    turn = f"rotate({tilt:.1f} {mx:.1f} {my:.1f})"
    speed = f"{_number(machine.gbytes_s)} GB/s"
    parts.append(tag("text", speed, x=f"{mx:.1f}", y=f"{my - 8:.1f}", class_="mid", transform=turn))
    taken: list[tuple[float, float]] = []
    for index, cost in enumerate(shown, start=1):
        x, y = at(cost.intensity, _reached(machine, cost.intensity))
        roof = y
        while any(abs(x - a) < 19 and abs(y - b) < 19 for a, b in taken):
            y += 20
        taken.append((x, y))
        if y > roof:
            parts.insert(0, tag("path", d=f"M{x:.1f} {roof:.1f}V{y:.1f}", class_="grid"))
        told = f"{cost.kernel}: {cost.intensity:.3g} operations per byte, bound by {cost.bound}"
        dot = tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=9)
        number = tag("text", index, x=f"{x:.1f}", y=f"{y + 3.5:.1f}", class_="mid")
        parts.append(tag("g", tag("title", told), dot, number, class_=f"dot {cost.half}"))
    return svg(WIDTH + 16, HEIGHT, *parts, label="roofline", class_="chart")


def _reached(machine: Machine, intensity: float) -> float:
    return min(machine.gflop_s, machine.gbytes_s * intensity)


def _grid(x0: int, x1: int, bottom: int, top: int, at: _At) -> list[Markup]:
    parts = []
    for e in range(x0, x1 + 1):
        x, y = at(10.0**e, 10.0**bottom)
        parts.append(tag("path", d=f"M{x:.1f} 0V{y:.1f}", class_="grid"))
        parts.append(tag("text", _number(10.0**e), x=f"{x:.1f}", y=f"{y + 16:.1f}", class_="mid"))
    for e in range(bottom, top + 1):
        x, y = at(10.0**x0, 10.0**e)
        parts.append(tag("path", d=f"M{x:.1f} {y:.1f}H{WIDTH:.1f}", class_="grid"))
        parts.append(tag("text", _number(10.0**e), x=f"{x - 8:.1f}", y=f"{y + 4:.1f}", class_="end"))
    parts.append(tag("text", "operations per byte", x=f"{(LEFT + WIDTH) / 2:.1f}", y=f"{HEIGHT - 4:.1f}", class_="mid"))
    parts.append(tag("text", "GFLOP/s", x="0", y="10"))
    return parts


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def bars(buffers: Sequence[Held]) -> Markup:
    """Return the buffers of a call by their size, the largest first; those kept for backward are marked."""
    shown = sorted((b for b in buffers if b.bytes), key=lambda b: -b.bytes)[:16]
    widest = max((b.bytes for b in shown), default=1)
    name = 6.9 * max((len(b.name) for b in shown), default=0) + 12
    parts = []
    for k, b in enumerate(shown):
        y, wide = 24.0 * k, max(360 * b.bytes / widest, 1.5)
        told = f"{b.name}: {b.kind} {b.type} as {b.storage}" + (f", {b.reason}" if b.reason else "")
        parts.append(
            tag(
                "g",
                tag("title", told),
                tag("text", b.name, x=f"{name - 10:.1f}", y=f"{y + 13:.1f}", class_="end mono"),
                tag("rect", x=f"{name:.1f}", y=f"{y + 2:.1f}", width=f"{wide:.1f}", height=15, rx=3),
                tag("text", size(b.bytes), x=f"{name + wide + 7:.1f}", y=f"{y + 13:.1f}"),
                class_="bar saved" if b.saved and b.kind == "sequence" else "bar",
            )
        )
    return svg(name + 440, 24.0 * len(shown), *parts, label="buffers by size", class_="chart")


def size(count: float) -> str:
    """Return bytes in the unit that suits them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return ""


def time_of(microseconds: float) -> str:
    """Return a time in the unit that suits it."""
    if microseconds >= 1000:
        return f"{microseconds / 1000:,.3g} ms"
    return f"{microseconds:,.3g} us"
