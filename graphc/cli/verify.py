"""``graphc verify``: the certificate of a network."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import FAILED, Command, console, show, wants
from .network import load
from .options import PRECISIONS, dtype_of, inputs_of, learned_by, learning, network_argument, run_on_batch

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.certificate import Certificate

NAMES = ("reference", "c", "triton")


HELP = """Check that a network computes what it declares: the certificate.

\b
Of the model itself, in float64:
  declared     every quantity of every step follows from the declared equations
  order        errors fall with dt as the integrator promises
  dot product, Taylor     the reverse regions are the adjoint of the derivative
  P1, P2, P7   online rules agree with backpropagation where theory says so
Of every target that runs here:
  spikes in lockstep, values, gradients, and that populations spike, but not always

Without --steps or --inputs it runs until half of the neurons have spiked. Exit status 1: something is not as it
must be; the first quantity that is wrong is named.
"""


@click.command(cls=Command, help=HELP)
@network_argument
@click.option(
    "--target",
    "names",
    type=click.Choice(NAMES),
    multiple=True,
    help="What is compared with the float64 reference; may be given again. All that run here by default.",
)
@learned_by
@click.option(
    "--dtype",
    type=click.Choice(("float32", "float64")),
    default="float32",
    show_default=True,
    help="Of states on targets c and triton.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="Of sequences and products, for target triton.",
)
@run_on_batch(2)
def verify(
    network: str,
    names: tuple[str, ...],
    learn: str,
    dtype: str,
    precision: str,
    steps: int | None,
    batch: int,
    rate: float,
    seed: int,
    inputs: Path | None,
) -> None:
    """Print the certificate of a network."""
    from graphc.certificate.report import Asked
    from graphc.certificate.report import verify as certificates
    from graphc.certificate.targets import chosen

    loaded = load(network)
    targets, missing = chosen(names)
    given = inputs_of(loaded, steps, batch, rate, seed, inputs)
    length = next(iter(given.values())).shape[0] if given else steps or loaded.steps
    shorten = steps is None and inputs is None
    asked = Asked(loaded.network, learning(learn), dtype_of(dtype), precision, given, length, batch, shorten, seed)
    found: list[Certificate] = []
    on = console(stderr=True)
    with nullcontext() if wants("json") or not on.is_terminal else on.status("") as status:
        for certificate in certificates(asked, targets, lambda text: status.update(text) if status else None):
            found.append(certificate)
    ok = all(c.ok for c in found)
    fault = next((c.first for c in found if not c.ok), None)
    document = {
        "network": loaded.name,
        "ok": ok,
        "fault": fault,
        "certificates": [c.as_json() for c in found],
        "left out": missing,
    }
    show(document, lambda to: _print(to, found, missing, fault))
    if not ok:
        raise click.exceptions.Exit(FAILED)


def _print(to: Console, found: list[Certificate], missing: dict[str, str], fault: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "FAIL": "bold red", "n/a": "dim"}
    for certificate in found:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in certificate.rows:
            table.add_row(
                Text(row.status, colours[row.status]),
                Text(row.what),
                Text(row.about),
                Text(row.found, _dim(row.status)),
            )
        to.print(Text(certificate.title, "bold"))
        to.print(table)
        to.print()
    for name, why in missing.items():
        to.print(Text(f"left out: target {name}: {why}", "dim"))
    if fault is None:
        to.print(Text("certificate: ok", "bold green"))
        return
    to.print(Text(f"first fault: {fault}", "bold red"))
    to.print(Text("certificate: FAILED", "bold red"))


def _dim(status: str) -> str:
    return "dim" if status == "n/a" else ""
