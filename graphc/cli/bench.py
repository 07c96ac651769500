"""``graphc bench``: how fast a network runs, on every target and beside its eager version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Command, show
from .network import load
from .options import dtype_of, inputs_of, learning, learns_in, network_argument, run_on

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.bench import Contender, Task, Work

BENCHED = ("c", "triton", "reference", "eager")
LOOPS = ("forward", "forward+backward")


def _targets(context: click.Context, option: click.Parameter, given: str | None) -> list[str] | None:
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in BENCHED:
            raise click.BadParameter(f"{name!r} is none of {', '.join(BENCHED)}", context, option)
    return names


@click.command(cls=Command, short_help="Time NETWORK on every target and beside eager torch.")
@network_argument
@click.option("--targets", callback=_targets, metavar="LIST", help="Of c,triton,reference,eager; what runs here.")
@learns_in
@click.option("--forward-only", is_flag=True, help="Leave the backward pass out.")
@click.option("--repeats", type=click.IntRange(1), default=20, show_default=True, help="Rounds of timing.")
@click.option("--budget", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, metavar="SECONDS",
              help="Of all rounds; the slowest give up rounds first.")  # fmt: skip
@run_on
def bench(
    network: str,
    targets: list[str] | None,
    learn: str,
    dtype: str,
    precision: str,
    forward_only: bool,
    repeats: int,
    budget: float,
    steps: int | None,
    batch: int,
    rate: float,
    seed: int,
    inputs: Path | None,
) -> None:
    """Time NETWORK in turns on the targets of this machine and as an eager torch program.

    The eager version interprets the discretised equations with torch: one call per operation and step, torch autograd
    for gradients. A floor is the time in which this machine copies the bytes that the kernels have to move.
    """
    loaded = load(network)
    from graphc import bench as of

    given = inputs_of(loaded, steps, batch, rate, seed, inputs) or {}
    lead = next((tuple(x.shape[:2]) for x in given.values()), (steps or loaded.steps, batch))
    work = of.Work(loaded.network, given, lead[0], lead[1], learning(learn), dtype_of(dtype), precision, seed)
    chosen = of.available() if targets is None else of.wanted(targets)
    warnings = []
    if (load_now := of.busy()) is not None:
        warnings.append(f"the machine is busy: {load_now:.1f} running processes per core")
    if targets is None and ("c", "cpu") not in chosen:
        warnings.append("target c is left out: there is no C compiler (graphc doctor)")
    if ("triton", "cpu") in chosen:
        warnings.append("Triton interprets kernels on the CPU: these times say nothing of a GPU")
    backward = not forward_only and learn != "none"
    if backward and not any(p.requires_grad for p in work.compiled("reference", "cpu").parameters()):
        backward = False
        warnings.append("nothing learns in this network: the forward pass alone is timed")
    alive = of.rates(work)
    silent = [name for name, found in alive.items() if found == 0]
    if silent:
        warnings.append(f"no spike in {', '.join(silent)}: times of a network that is silent say little; raise --rate")
    contenders = [of.set_up(work, target, device, backward) for target, device in chosen]
    of.time_in_turns(contenders, repeats, budget)
    document = _document(work, loaded.name, contenders, of.floors(contenders), alive, warnings)
    document |= {"learn": learn if backward else "none", "seed": seed}
    show(document, lambda console: _print(console, document))


def _document(
    work: Work,
    name: str,
    contenders: list[Contender],
    floors: dict[str, float],
    alive: dict[str, float],
    warnings: list[str],
) -> dict[str, Any]:
    import torch

    return {
        "network": name,
        "steps": work.steps,
        "batch": work.batch,
        "neurons": work.neurons,
        "dtype": str(work.dtype).removeprefix("torch."),
        "precision": work.precision,
        "threads": torch.get_num_threads(),
        "rates": alive,
        "copy_bytes_per_s": floors,
        "warnings": warnings,
        "contenders": [_contender(c, work, floors[str(c.device)], contenders) for c in contenders],
    }


def _contender(contender: Contender, work: Work, copy: float, all_: list[Contender]) -> dict[str, Any]:
    eager = next((c for c in all_ if c.name.startswith("eager") and c.device == contender.device), None)
    beside = None if eager is contender or eager is None else eager
    return {
        "name": contender.name,
        "device": str(contender.device),
        "first_call_s": contender.first,
        "predicted_bytes": contender.predicted,
        "measured_bytes": contender.measured,
        **{
            kind: _loop(t, work, copy, None if beside is None else beside.tasks[kind])
            for kind, t in contender.tasks.items()
            if kind in LOOPS
        },
        "step": None if "step" not in contender.tasks else _timing(contender.tasks["step"]),
    }


def _timing(task: Task) -> dict[str, Any]:
    return {"median_s": task.median, "spread": task.spread, "samples": len(task.samples)}


def _loop(task: Task, work: Work, copy: float, eager: Task | None) -> dict[str, Any]:
    updates = work.steps * work.batch * work.neurons
    return {
        **_timing(task),
        "per_step_s": task.median / work.steps,
        "per_neuron_step_s": task.median / updates,
        "neuron_updates_per_s": updates / task.median,
        "moved_bytes": task.floor,
        "of_floor": None if task.floor is None else task.floor / copy / task.median,
        "times_eager": None if eager is None else eager.median / task.median,
    }


def _print(console: Console, document: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    d = document
    console.print(
        f"[bold]{d['network']}[/]: {d['steps']} steps, {d['batch']} samples, {d['neurons']} neurons, {d['dtype']}, "
        f"learn {d['learn']}, seed {d['seed']}, {d['threads']} threads"
    )
    for device, copied in d["copy_bytes_per_s"].items():
        console.print(f"copy bandwidth of {device}: {copied / 1e9:.1f} GB/s")
    for name, rate in d["rates"].items():
        console.print(f"rate of {name}: {rate:.4f} spikes per neuron and step")
    for warning in d["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"))
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for c in d["contenders"]:
        table.add_column(c["name"], justify="right")
    for kind in LOOPS:
        if any(kind in c for c in d["contenders"]):
            for label, show_it in _LINES:
                cells = [show_it(c[kind]) for c in d["contenders"]]
                table.add_row(kind if label is None else f"  {label}", *cells, style="bold" if label is None else None)
    table.add_row("one step, streamed", *(_time(c["step"]) if c["step"] else "" for c in d["contenders"]), style="bold")
    for label, key in (("memory, predicted", "predicted_bytes"), ("memory, measured", "measured_bytes")):
        cells = ["" if c[key] is None else f"{c[key] / 1e6:.2f} MB" for c in d["contenders"]]
        table.add_row(label, *cells)
    table.add_row("first call", *("" if (f := c["first_call_s"]) is None else seconds(f) for c in d["contenders"]))
    console.print(table)
    console.print(
        "medians, +- the range between quartiles; eager: the discretised equations, one torch call per operation and "
        "step; first call: with what the cache holds",
        style="dim",
    )


def seconds(value: float) -> str:
    """Return a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-12:.3g} ps"


def _time(timing: dict[str, Any]) -> str:
    return f"{seconds(timing['median_s'])} +-{100 * timing['spread']:.0f} %"


_LINES: tuple[tuple[str | None, Any], ...] = (
    (None, _time),
    ("times eager", lambda t: "" if t["times_eager"] is None else f"{t['times_eager']:.3g}x"),
    ("of the floor", lambda t: "" if t["of_floor"] is None else f"{100 * t['of_floor']:.0f} %"),
    ("per step", lambda t: seconds(t["per_step_s"])),
    ("per neuron and step", lambda t: seconds(t["per_neuron_step_s"])),
    ("neuron updates per s", lambda t: f"{t['neuron_updates_per_s']:.3g}"),
)
