"""Read 27 Braille letters with 200 recurrent adaptive neurons, from the fingertip of a robot.

Run ``python examples/braille.py``. A finger with 12 capacitive sensors slides over each letter 50 times; sensors 1,
2, 6 and 10 see it. Their signals, and how fast these change, drive the neurons as currents; all weights, thresholds'
gains, biases and time constants are learned. It should reach a mean test accuracy of 0.96 and more over 5 seeds
(published: 0.925 to 0.977 with 200 units). ``--variants`` also trains without augmentation, without recurrence, and
with time constants that stay as drawn; ``--quick`` trains one small network for a few seconds.

Source:
    Müller-Cleve et al. (2022), Braille letter reading: a benchmark for spatio-temporal pattern recognition on
    neuromorphic hardware, Front. Neurosci. 16, 951164. Data: doi.org/10.5281/zenodo.6556273.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import sympy
import torch
from torch.nn.functional import cross_entropy, interpolate
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
LETTERS = "ABCDEFGHIJKLMNOPQRS_TUVWXYZ"
SENSORS = [1, 2, 6, 10]
FRAMES = 76  # at 40 Hz; a trial has one more or none
FINER = 2  # steps per frame
DT = 25 / FINER  # ms

# --- the neurons ----------------------------------------------------------------------------------
v, i, a = gc.states("v i a")
current, x = gc.inputs("current x")
beta = gc.param("beta", 0.5, learn=True, per="neuron")
bias = gc.param("bias", gc.Uniform(-0.2, 1.0), learn=True, per="neuron")
log_tau_mem, log_tau_adapt = gc.params(log_tau_mem=3.7, log_tau_adapt=5.5)
tau_mem, tau_adapt = sympy.exp(log_tau_mem) * ms, sympy.exp(log_tau_adapt) * ms
theta = 1 + beta * a

Adaptive = gc.Neuron(
    "Adaptive",
    ode={v: (current + bias + i - v) / tau_mem, i: -i / (20 * ms), a: -a / tau_adapt},
    receive={i: i + x},
    spike=gc.Spike(v > theta, surrogate=gc.surrogate.SuperSpike(beta=5.0)),
    reset={v: v - theta, a: a + 1},
)

log_tau = gc.param("log_tau", 4.0, learn=True, per="neuron")
offset = gc.param("offset", 0.0, learn=True, per="neuron")
Readout = gc.Neuron("Readout", ode={v: (x + offset - v) / (sympy.exp(log_tau) * ms)})


def network(units: int = 200, recurrent: bool = True, learn_time: bool = True) -> gc.Network:
    """Return the network, by choice without recurrence or with time constants that stay as drawn."""
    net = gc.Network(dt=DT * ms)
    net.input("sensors", 2 * len(SENSORS))
    net.population(
        "hid",
        Adaptive,
        units,
        log_tau_mem=gc.param("log_tau_mem", gc.Normal(3.7, 0.5), learn=learn_time, per="neuron"),
        log_tau_adapt=gc.param("log_tau_adapt", gc.Normal(5.5, 0.5), learn=learn_time, per="neuron"),
    )
    net.population("out", Readout, len(LETTERS))
    net.connect("sensors", "hid", target="current", weight=gc.Uniform(-1, 1))
    if recurrent:
        net.connect("hid", "hid", target="x", delay=1, weight=gc.Uniform(-0.05, 0.05))
    net.connect("hid", "out", weight=gc.Uniform(-0.3, 0.3))
    net.output("out")
    return net


# --- the data -------------------------------------------------------------------------------------
class Trials(NamedTuple):
    """Standardised signals (frames, B, sensors) and the number of each letter (B,)."""

    signals: torch.Tensor
    labels: torch.Tensor


def read() -> tuple[Trials, Trials]:
    """Return training and test trials, in units of mean and standard deviation of the training trials."""
    parts = [gc.data.braille(part) for part in ("train", "test")]
    signals = [part.values[:FRAMES, :, SENSORS] for part in parts]
    mean, std = signals[0].mean((0, 1)), signals[0].std((0, 1))
    train, test = (Trials((x - mean) / std, part.labels) for x, part in zip(signals, parts, strict=True))
    return train, test


def encode(signals: torch.Tensor) -> torch.Tensor:
    """Return what drives the network, (steps, B, 2 sensors): signals and their change over two frames, interpolated."""
    change = torch.zeros_like(signals)
    change[2:] = signals[2:] - signals[:-2]
    both = torch.cat([signals, 2 * change], -1).permute(1, 2, 0)
    return interpolate(both, scale_factor=FINER, mode="linear").permute(2, 0, 1).contiguous()


def augment(signals: torch.Tensor) -> torch.Tensor:
    """Return trials that begin 2 frames earlier or later, go 3 % faster or slower, with gain, offset and noise."""
    frames, batch, sensors = signals.shape
    middle = frames / 2
    place = torch.arange(frames)[:, None] - middle
    place = (place * (1 + 0.03 * torch.randn(batch)) + middle + 2 * torch.randn(batch)).clamp(0, frames - 1.001)
    below, sample = place.long(), torch.arange(batch).expand(frames, batch)
    part = (place - below)[..., None]
    moved = signals[below, sample] * (1 - part) + signals[below + 1, sample] * part
    gain, shift = 1 + 0.05 * torch.randn(1, batch, sensors), 0.05 * torch.randn(1, batch, sensors)
    return moved * gain + shift + 0.05 * torch.randn_like(moved)


# --- training -------------------------------------------------------------------------------------
def read_out(membrane: torch.Tensor) -> torch.Tensor:
    """Return class scores (B, 27): the mean membrane potential of the readout over time, scaled."""
    return 5 * membrane.mean(0)


@torch.no_grad()
def accuracy(model: gc.Model, trials: Trials) -> float:
    """Return the fraction of letters that `model` reads correctly."""
    return (read_out(model(encode(trials.signals))).argmax(1) == trials.labels).float().mean().item()


def train(model: gc.Model, trials: Trials, test: Trials, epochs: int, augmented: bool = True) -> list[float]:
    """Train `model` and return its accuracy on the test trials after every epoch."""
    rate, batch = 0.01, 64
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = -(-len(trials.labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * batches, pct_start=0.2)
    history = []
    bar = tqdm(range(epochs), unit="epoch", disable=None)
    for _ in bar:
        for picked in torch.randperm(len(trials.labels)).split(batch):
            signals = trials.signals[:, picked]
            scores = read_out(model(encode(augment(signals) if augmented else signals)))
            loss = cross_entropy(scores, trials.labels[picked], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        history.append(accuracy(model, test))
        bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{history[-1]:.4f}")
    return history


def nearest(trials: Trials, test: Trials) -> float:
    """Return the accuracy of reading each test trial as the training trial whose signals are closest."""
    distances = torch.cdist(*(part.signals.transpose(0, 1).flatten(1) for part in (test, trials)))
    return (trials.labels[distances.argmin(1)] == test.labels).float().mean().item()


# --- the figure -----------------------------------------------------------------------------------
@torch.no_grad()
def draw(
    model: gc.Model, drawn: torch.Tensor, test: Trials, histories: dict[str, list[list[float]]], path: Path
) -> None:
    """Save one test trial as the network sees and reads it, time constants before and after, and accuracies."""
    letter = LETTERS[test.labels[0]]
    run = model.run(encode(test.signals[:, :1]), record=["hid.spike"])
    spikes, read = run.records["hid.spike"][:, 0], run.output[:, 0]
    steps = torch.arange(len(read)) * DT / 1000
    figure, axes = plt.subplot_mosaic("AAABBB;CCDDEE", figsize=(12, 7), layout="constrained")
    axes["A"].plot(torch.arange(FRAMES) / 40, test.signals[:, 0], label=[f"sensor {n}" for n in SENSORS])
    axes["A"].set(title=f"a finger slides over {letter!r}", xlabel="time (s)", ylabel="standardised signal")
    axes["A"].legend(frameon=False, ncols=2)
    when, who = spikes.nonzero().T
    axes["B"].scatter(steps[when], who, s=2, color="k", lw=0)
    hertz = 1000 * spikes.mean() / DT
    axes["B"].set(title=f"hidden layer, {hertz:.1f} spikes/s per neuron", xlabel="time (s)", ylabel="neuron")
    axes["C"].plot(steps, read, color="0.8", lw=0.8)
    axes["C"].plot(steps, read[:, test.labels[0]], color="C3", label=letter)
    axes["C"].set(title="readout", xlabel="time (s)", ylabel="v")
    axes["C"].legend(frameon=False)
    axes["D"].scatter(*drawn.exp(), s=8, color="0.75", label="as drawn")
    axes["D"].scatter(model.hid.log_tau_mem.exp(), model.hid.log_tau_adapt.exp(), s=8, color="k", label="learned")
    axes["D"].set(title="time constants", xscale="log", yscale="log", xlabel="tau_mem (ms)", ylabel="tau_adapt (ms)")
    axes["D"].legend(frameon=False)
    for color, (name, curves) in enumerate(histories.items()):
        for k, curve in enumerate(curves):
            axes["E"].plot(range(1, 1 + len(curve)), curve, color=f"C{color}", lw=1, label=None if k else name)
    axes["E"].axhspan(0.925, 0.977, color="0.9", label="published, 200 units")
    axes["E"].set(title="test accuracy", xlabel="epoch", ylim=(0.8, 1.005))
    axes["E"].legend(loc="lower right", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train with several seeds, report and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=25)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--units", type=int, default=200)
    arguments.add_argument("--variants", action="store_true", help="also train without each part, with two seeds")
    arguments.add_argument("--quick", action="store_true", help="one seed, 60 units, 6 epochs")
    options = arguments.parse_args()
    if options.quick:
        options.epochs, options.seeds, options.units = 6, 1, 60
    try:
        trials, test = read()
    except gc.GraphcError as error:
        sys.exit(str(error))
    print(f"nearest training trial, sensors 1, 2, 6, 10: {nearest(trials, test):.4f}")
    few = (Trials(part.signals[..., [0, 2]], part.labels) for part in (trials, test))
    print(f"nearest training trial, sensors 1 and 6: {nearest(*few):.4f}")
    variants = {"all": ({}, True)}
    if options.variants:
        variants["no augmentation"] = ({}, False)
        variants["no recurrence"] = ({"recurrent": False}, True)
        variants["time constants as drawn"] = ({"learn_time": False}, True)
    histories = {}
    for name, (choice, augmented) in variants.items():
        histories[name], seconds = [], []
        for seed in range(options.seeds if name == "all" else min(options.seeds, 2)):
            torch.manual_seed(seed)
            model = gc.compile(network(options.units, **choice), learn="bptt", target="c")
            drawn = torch.stack([model.hid.log_tau_mem, model.hid.log_tau_adapt]).detach().clone()
            started = time.process_time()
            histories[name].append(train(model, trials, test, options.epochs, augmented))
            seconds.append(time.process_time() - started)
            if name == "all" and seed == 0:
                kept = model, drawn
        last = torch.tensor([history[-1] for history in histories[name]])
        print(f"{name}: test accuracy mean {last.mean():.4f}, min {last.min():.4f}, max {last.max():.4f}; ", end="")
        print(f"{sum(seconds) / len(seconds):.0f} s of CPU time per seed", flush=True)
    draw(*kept, test, histories, OUT / "braille.png")
    print(f"figure: {OUT / 'braille.png'}")


if __name__ == "__main__":
    main()
