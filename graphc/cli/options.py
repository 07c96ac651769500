"""Options that several commands have: how a network is compiled, and what it is run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .network import NETWORK, Loaded

if TYPE_CHECKING:
    from graphc.sample import Inputs

F = TypeVar("F", bound=Callable[..., Any])
LEARN = ("bptt", "none", "block-diagonal", "snap1", "ottt", "sltt", "rtrl")
TARGETS = ("auto", "c", "triton", "reference")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


def network_argument(function: F) -> F:
    """Add the argument NETWORK."""
    return click.argument("network", type=NETWORK, metavar="NETWORK")(function)


def learned_by(function: F) -> F:
    """Add the option `learn` of gc.compile."""
    return click.option("--learn", type=click.Choice(LEARN), default="bptt", show_default=True, help="How it learns.")(
        function
    )


def compiled_as(function: F) -> F:
    """Add the options of gc.compile: `target`, `learn`, `dtype` and `precision`."""
    target = click.option(
        "--target", type=click.Choice(TARGETS), default="auto", show_default=True, help="What runs it."
    )
    return target(learns_in(function))


def learns_in(function: F) -> F:
    """Add the options of gc.compile that are not the target: `learn`, `dtype` and `precision`."""
    for option in (
        click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True,
                     help="Of sequences and products, for target triton."),
        click.option("--dtype", type=click.Choice(("float32", "float64")), default="float32", show_default=True,
                     help="Of states."),
        learned_by,
    ):  # fmt: skip
        function = option(function)
    return function


def _seed(context: click.Context, option: click.Parameter, given: int) -> int:
    """Refuse what no generator takes."""
    if abs(given) >= 1 << 63:
        raise click.BadParameter(f"{given} has more than 64 bits", context, option)
    return given


def run_on(function: F) -> F:
    """Add the options of inputs: `steps`, `batch`, `rate`, `seed` and `inputs`."""
    return run_on_batch(32)(function)


def run_on_batch(batch: int) -> Callable[[F], F]:
    """Return what adds the options of inputs, `batch` samples by default."""
    options = (
        click.option("--inputs", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                     help="A .npy file (T, B, N), or a .npz file with an array per input; random spikes by default."),
        click.option("--seed", type=int, default=0, show_default=True, callback=_seed,
                     help="Of weights and random spikes."),
        click.option("--rate", type=click.FloatRange(0, 1), default=0.05, show_default=True,
                     help="Spikes per input line and step."),
        click.option("--batch", type=click.IntRange(1), default=batch, show_default=True, help="Samples (B)."),
        click.option("--steps", type=click.IntRange(1), help="Steps (T); 100, or what a zoo neuron needs to respond."),
    )  # fmt: skip

    def add(function: F) -> F:
        for option in options:
            function = option(function)
        return function

    return add


def learning(name: str) -> Any:
    """Return what gc.compile takes as `learn` for a value of --learn."""
    from graphc import learn

    rules = {"block-diagonal": learn.BlockDiagonal, "snap1": learn.SnAp1, "ottt": learn.OTTT, "sltt": learn.SLTT}
    rules["rtrl"] = learn.RTRL
    return None if name == "none" else name if name == "bptt" else rules[name]()


def dtype_of(name: str) -> Any:
    """Return the torch dtype of a value of --dtype."""
    import torch

    return {"float32": torch.float32, "float64": torch.float64}[name]


def inputs_of(
    loaded: Loaded, steps: int | None, batch: int, rate: float, seed: int, path: Path | None
) -> Inputs | None:
    """Return the inputs that the options ask for, None for a network without inputs; also seeds torch, for weights."""
    import torch

    from graphc.sample import from_file, random_spikes

    torch.manual_seed(seed)
    if not 0 <= rate <= 1:  # NaN, which a range of click lets pass
        raise click.BadParameter(f"{rate} is no rate from 0 to 1", param_hint="--rate")
    if path is not None:
        return from_file(loaded.network, path)
    return random_spikes(loaded.network, steps or loaded.steps, batch, rate, seed)
