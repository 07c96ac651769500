"""Steer a hand after a moving target, with neurons that lag behind their input and with neurons that do not.

Run ``python examples/prospective.py``. Three layers of rate units see a target in the plane, the hand's position and
its velocity, and push the hand, a mass. Hand and network are populations of one network, so that the loop is closed
within the compiled kernel and gradients go through the body. Leaky units, tau = 20 ms, make every layer late.
Prospective ones have the same membrane; their input drives it harder at first, until an adaptation current takes this
back, so that they follow without lag. After the same training, at the same size, their tracking error should be less
than half that of the leaky ones. ``--quick`` trains small networks for a few rounds.

Source:
    Brandt, Petrovici, Senn, Wilmes & Benitez (2024), Prospective and retrospective coding in cortical neurons,
    arXiv:2405.14810, for the idea; the equations are those of a unit whose transfer function is (1 + (tau + tau_a) s)
    / ((1 + tau s) (1 + tau_a s)), which goes to 1 as tau_a goes to 0.
"""

import argparse
import math
import time
from pathlib import Path

import matplotlib
import sympy
import torch
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
DT = 2  # ms
STEPS = 600
SKIP = 100  # steps in which the hand may catch up
BATCH = 16

# --- the neurons ----------------------------------------------------------------------------------
u, a = gc.states("u a")
x = gc.input("x")
tau, tau_a, bias = 20 * ms, 2 * ms, gc.param("bias", 0.0, learn=True, per="neuron")
drive = x + bias
UNITS = {
    "leaky": {u: (drive - u) / tau},
    "prospective": {u: ((1 + tau / tau_a) * drive - a - u) / tau, a: (tau / tau_a * drive - a) / tau_a},
}

p, q = gc.states("p q")
push = gc.input("push")
Hand = gc.Neuron("Hand", ode={p: q / (100 * ms), q: (push - 0.5 * q) / (100 * ms)}, output=p)


def network(kind: str, size: int = 32) -> gc.Network:
    """Return three layers of units, what they push, and what they see of it one step later."""
    net = gc.Network(dt=DT * ms)
    net.input("aim", 2)
    for layer in ("layer1", "layer2", "layer3"):
        net.population(layer, gc.Neuron("Unit", ode=UNITS[kind], output=sympy.tanh(u)), size)
    net.population("hand", Hand, 2)
    seen, inner = gc.Uniform(-1.5, 1.5), gc.Uniform(-1.7 / math.sqrt(size), 1.7 / math.sqrt(size))
    net.connect("aim", "layer1", weight=seen)
    net.connect("hand", "layer1", delay=1, name="position", weight=seen)
    net.connect("hand", "layer1", delay=1, name="velocity", weight=seen, transmit=gc.weight * gc.pre("q"))
    net.connect("layer1", "layer2", weight=inner)
    net.connect("layer2", "layer3", weight=inner)
    net.connect("layer3", "hand", weight=gc.Uniform(-1.7, 1.7))
    net.output("hand")
    return net


def targets(batch: int, generator: torch.Generator) -> torch.Tensor:
    """Return paths (T, B, 2): four sine waves of 0.3 to 2.5 Hz for each of two axes."""
    seconds = torch.arange(STEPS)[:, None, None, None] * DT / 1000
    hertz = 0.3 + 2.2 * torch.rand(batch, 2, 4, generator=generator)
    phase = torch.rand(batch, 2, 4, generator=generator)
    return 0.5 * torch.sin(2 * math.pi * (hertz * seconds + phase)).sum(-1)


def error(model: gc.Model, path: torch.Tensor) -> torch.Tensor:
    """Return the mean square distance of hand and target, in units of the target's own variance."""
    return ((model(path) - path)[SKIP:] ** 2).mean() / (path[SKIP:] ** 2).mean()


def train(model: gc.Model, rounds: int, seed: int, title: str) -> list[float]:
    """Train `model` and return its error, as a root mean square, in every round."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, rounds, pct_start=0.1)
    history = []
    bar = tqdm(range(rounds), desc=title, disable=None)
    for _ in bar:
        loss = error(model, targets(BATCH, generator))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append(math.sqrt(loss.item()))
        bar.set_postfix(error=f"{history[-1]:.3f}")
    return history


@torch.no_grad()
def by_frequency(model: gc.Model, hertz: torch.Tensor) -> torch.Tensor:
    """Return the root mean square error when the target goes round a circle `hertz` times a second."""
    angle = 2 * math.pi * torch.arange(STEPS)[:, None] * DT / 1000 * hertz
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    return ((model(circle) - circle)[SKIP:] ** 2).mean((0, 2)).sqrt() / math.sqrt(0.5)


@torch.no_grad()
def response(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a current and the potential with which one unit follows it, (T,)."""
    net = gc.Network(dt=DT * ms)
    net.input("x", 1)
    net.population("unit", gc.Neuron("Unit", ode=UNITS[kind], output=u), 1, bias=0.0)
    net.connect("x", "unit", weight=torch.ones(1, 1), learn=False)
    net.output("unit")
    time_ms = torch.arange(150) * DT
    current = torch.where(time_ms < 100, (time_ms > 20).float(), torch.sin((time_ms - 100) / 12))
    return current, gc.compile(net, learn=None, target="c")(current[:, None, None])[:, 0, 0]


def draw(models: dict, histories: dict, path: Path) -> None:
    """Save how one unit follows a current, how hands follow a target, errors over training and over frequency."""
    figure, axes = plt.subplot_mosaic("AABB;CDEE", figsize=(12, 7), layout="constrained")
    target = targets(1, torch.Generator().manual_seed(5))
    seconds, hertz = torch.arange(STEPS) * DT / 1000, torch.linspace(0.2, 4, 20)
    for color, kind in (("C0", "leaky"), ("C3", "prospective")):
        current, follows = response(kind)
        axes["A"].plot(torch.arange(150) * DT, follows, color=color, label=kind)
        with torch.no_grad():
            hand = models[kind](target)[:, 0]
        axes["B"].plot(seconds, hand[:, 0], color=color, label=kind)
        axes["C"].plot(*hand[SKIP:].T, color=color)
        for k, history in enumerate(histories[kind]):
            axes["D"].plot(history, color=color, lw=0.9, label=None if k else kind)
        axes["E"].plot(hertz, by_frequency(models[kind], hertz), "o-", ms=3, color=color, label=kind)
    axes["A"].plot(torch.arange(150) * DT, current, "k:", label="input")
    axes["A"].set(title="one unit, tau = 20 ms", xlabel="time (ms)", ylabel="u")
    axes["B"].plot(seconds, target[:, 0, 0], "k:", label="target")
    axes["B"].set(title="hand and target, one axis", xlabel="time (s)")
    axes["C"].plot(*target[SKIP:, 0].T, "k:")
    axes["C"].set(title="in the plane", aspect="equal")
    axes["D"].set(title="error in training", xlabel="round", yscale="log", ylabel="rms error / rms target")
    axes["E"].axvspan(0.3, 2.5, color="0.93")
    axes["E"].set(title="circling target (grey: trained)", xlabel="turns per second", ylabel="rms error / rms target")
    axes["E"].set(ylim=(0, 2))
    for name in "ABDE":
        axes[name].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train both kinds with several seeds, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--size", type=int, default=32)
    arguments.add_argument("--quick", action="store_true", help="one seed, 16 units a layer, 40 rounds")
    options = arguments.parse_args()
    if options.quick:
        options.rounds, options.seeds, options.size = 40, 1, 16
    test = targets(200, torch.Generator().manual_seed(1000))
    models, histories, started = {}, {}, time.process_time()
    for kind in UNITS:
        histories[kind], reached = [], []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            model = gc.compile(network(kind, options.size), target="c")
            histories[kind].append(train(model, options.rounds, seed, f"{kind}, seed {seed}"))
            with torch.no_grad():
                reached.append(math.sqrt(error(model, test)))
            models.setdefault(kind, model)
        print(f"{kind}: error {', '.join(f'{e:.3f}' for e in reached)} of the target's deviation", flush=True)
    draw(models, histories, OUT / "prospective.png")
    print(f"{time.process_time() - started:.0f} s of CPU time, figure: {OUT / 'prospective.png'}")


if __name__ == "__main__":
    main()
