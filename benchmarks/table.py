"""Tables of the results: ``python -m benchmarks.table`` writes that of the README. Nothing in them is typed."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.report import RESULTS

README = RESULTS.parent.parent / "README.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
LABELS = {
    "torch_eager": "PyTorch eager", "torch_compile": "torch.compile", "jax_scan": "JAX", "snntorch": "snnTorch",
    "norse": "Norse", "spikingjelly": "SpikingJelly", "brain_trace": "BrainTrace",
    "torch_online": "PyTorch eager, local BPTT", "brian": "Brian2 C++", "brian_cython": "Brian2 Cython",
}  # fmt: skip


UNITS = {"copy_gb_s": "copy {:.1f} GB/s", "matrix_gflop_s": "matrix product {:.0f} GFLOP/s"}
SHARES = ("c1", "g1", "g5", "g6")
"""Rows whose target is a share of a floor or of another's memory."""


def format_ms(ms: float) -> str:
    """Return a time with three significant digits and its unit."""
    return f"{ms / 1e3:.2f} s" if ms >= 1e3 else f"{ms:.3g} ms"


def format_figure(row: dict[str, Any], figure: float) -> str:
    """Return a figure of a row: a time, or memory where the row says so."""
    return f"{figure:.0f} MB" if row["notes"].get("unit") == "MB" else format_ms(figure)


def format_ratio(row: dict[str, Any]) -> str:
    """Return what the target speaks of: a fraction, a factor, or seconds."""
    if row["id"] in SHARES:
        small = row["id"] == "g1" and row["reached"] and row["ratio"] < 0.85
        return f"{100 * row['ratio']:.0f} %" + " (no target: too small to fill the device)" * small
    if row["id"] == "c8":
        return f"{row['ratio']:.2f} s"
    told = f"{row['ratio']:.{2 if row['notes'].get('unit') == 'MB' else 1}f}x"
    if row["id"] == "c2" and "over_hand" in row["notes"]:
        told += f", {row['notes']['over_libraries']:.0f}x, {row['notes']['over_hand']:.2f}x"
    return told


def make_table(results: dict[str, Any]) -> str:
    """Return one suite's results as Markdown."""
    lines = ["| | work | graphc | others | reached | target |", "|---|---|---|---|---|---|"]
    for row in results["rows"]:
        if "left out" in row["notes"]:
            why = f"left out: {row['notes']['left out']}"
            lines.append(f"| {row['id']} | {row['work']} | | | {why} | {row['target']} |")
            continue
        others = sorted(row["peers"].items(), key=lambda pair: pair[1])
        told = ", ".join(f"{LABELS.get(name, name)} {format_figure(row, ms)}" for name, ms in others)
        verdict = format_ratio(row) + ("" if row["reached"] else " (missed)")
        ours = format_figure(row, row["ours_ms"])
        lines.append(f"| {row['id']} | {row['work']} | {ours} | {told} | {verdict} | {row['target']} |")
    floor = ", ".join(
        UNITS[name].format(value) if value < 1e4 else f"matrix product {value / 1e3:.0f} TFLOP/s"
        for name, value in results["floor"].items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if name != "compiler")
    machine = results["gpu"] or results["machine"]
    lines += ["", f"{machine}; floor: {floor}; {versions}."]
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the markers of the README by the first suite; docs/benchmarks.md has all of them."""
    table = make_table(json.loads((RESULTS / "cpu.json").read_text()))
    text = README.read_text()
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    README.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
