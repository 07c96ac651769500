"""Learn delays that make the spikes of a moving bar meet at the detector of its velocity.

Run ``python examples/delays.py``. It writes examples/out/delays.png. A bar passes 24 positions, and each spikes once.
Four neurons without connections among them tell whether it went left or right, slowly or fast. All synapses are
equally strong: only their delays differ. Two networks that learn weights instead, with random delays and with none,
are compared.

Source:
    Hammouamri, Khalfaoui-Hassani & Masquelier (2023), Learning delays in spiking neural networks using dilated
    convolutions with learnable spacings.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from scipy.stats import theilslopes
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

T = 100  # steps of 1 ms
POSITIONS, LONGEST = 24, 48  # longest delay in ms
VELOCITIES = torch.tensor([1.0, 0.6, -0.6, -1.0])  # positions per ms
NAMES = ["right, fast", "right, slow", "left, slow", "left, fast"]
OUT = Path(__file__).parent / "out"

v = gc.state("v")
x = gc.input("x")
Detector = gc.Neuron("Detector", ode={v: -v / (3 * ms)}, receive={v: v + x}, spike=gc.Spike(v > 1), reset={v: 0})


def network(delay: object, weight: object, learn: bool) -> gc.Network:
    """Return four detectors that hear all positions."""
    net = gc.Network(dt=1 * ms)
    net.input("bar", POSITIONS)
    net.population("out", Detector, len(NAMES))
    net.connect("bar", "out", delay=delay, weight=weight, learn=learn, sign="excitatory")
    net.output("out")
    return net


def bars(number: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes (T, B, 24) and which velocity made them: random onset, jitter, 10 % lost, 2 spikes/s of noise."""
    which = torch.randint(len(NAMES), (number,), generator=generator)
    velocity, position = VELOCITIES[which, None], torch.arange(POSITIONS)
    passed = torch.where(velocity > 0, position, POSITIONS - 1 - position) / velocity.abs()
    onset = torch.randint(12, (number, 1), generator=generator)
    step = passed + onset + 0.7 * torch.randn(number, POSITIONS, generator=generator)
    spikes = torch.zeros(T, number, POSITIONS)
    spikes.scatter_(0, step.round().long().clamp(0, T - 1)[None], 1.0)
    spikes *= torch.rand(number, POSITIONS, generator=generator) > 0.1
    return spikes.maximum((torch.rand(spikes.shape, generator=generator) < 0.002).float()), which


def peaks(model: gc.Model, spikes: torch.Tensor) -> torch.Tensor:
    """Return how far every detector gets: its largest potential before a reset, (B, 4)."""
    return model.run(spikes, record=["out.v@threshold"]).records["out.v@threshold"].amax(0)


@torch.no_grad()
def accuracy(model: gc.Model, spikes: torch.Tensor, which: torch.Tensor) -> float:
    """Return how often the right detector gets furthest."""
    return (peaks(model, spikes).argmax(1) == which).float().mean().item()


@torch.no_grad()
def fires_alone(model: gc.Model, spikes: torch.Tensor, which: torch.Tensor) -> float:
    """Return how often the right detector spikes and no other one does."""
    fires = model(spikes).sum(0) > 0
    return (fires == torch.nn.functional.one_hot(which, len(NAMES)).bool()).all(1).float().mean().item()


def train(model: gc.Model, rounds: int, rate: float, seed: int, title: str) -> list[tuple[int, float]]:
    """Train what `model` learns, narrow its delays, and return the accuracy on a test set now and then."""
    generator = torch.Generator().manual_seed(seed)
    test = bars(250, torch.Generator().manual_seed(1000 + seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
    history = []
    bar = tqdm(range(rounds), desc=title)
    for k in bar:
        model.anneal_delays(k / (0.9 * rounds))
        if k % 20 == 0:
            history.append((k, accuracy(model, *test)))
        spikes, which = bars(32, generator)
        loss = cross_entropy(3 * peaks(model, spikes), which)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{history[-1][1]:.3f}")
    return [*history, (rounds, accuracy(model, *test))]


def lines(delay: np.ndarray) -> list[tuple[float, float, int]]:
    """Return slope and offset of the line through the delays of each detector, and how many are 2 ms off or more.

    Delays at the shortest or longest possible one have no say in it.
    """
    found, position = [], np.arange(POSITIONS)
    for column in delay.T:
        free = (column > 0) & (column < LONGEST)
        slope, offset = theilslopes(column[free], position[free])[:2]
        found.append((slope, offset, int((abs(column - offset - slope * position) >= 2).sum())))
    return found


@torch.no_grad()
def draw(model: gc.Model, histories: dict[str, list[tuple[int, float]]], path: Path, seed: int) -> None:
    """Save one bar, when its spikes arrive where, the potentials, the learned delays, and accuracies in training."""
    spikes, which = bars(50, torch.Generator().manual_seed(2000 + seed))
    spikes = spikes[:, which == 1][:, :1].contiguous()
    run = model.run(spikes, record=["out.v@threshold"])
    delay = model.bar_out.delay.numpy()
    figure, axes = plt.subplot_mosaic("AABBCC;DDDEEE", figsize=(13, 7.5), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08)
    step, position = spikes[:, 0].nonzero().T.numpy()
    axes["A"].scatter(step, position, s=14, color="k")
    axes["A"].set(title=f"a bar goes {NAMES[1]}ly", xlabel="time (ms)", ylabel="position", xlim=(0, T), ylim=(-1, 29))
    for n in (2, 1):
        axes["B"].scatter(step + delay[position, n], position, s=14, color=f"C{n}", label=NAMES[n])
    axes["B"].set(
        title="its spikes arrive at two detectors", xlabel="time (ms)", ylabel="position", xlim=(0, T), ylim=(-1, 29)
    )
    for n, name in enumerate(NAMES):
        axes["C"].plot(run.records["out.v@threshold"][:, 0, n], color=f"C{n}")
        slope, offset, _ = lines(delay)[n]
        axes["D"].plot(delay[:, n], "o", ms=5, color=f"C{n}", label=f"{name}: {slope:+.2f} ms per position")
        axes["D"].plot(offset + slope * np.arange(POSITIONS), color=f"C{n}", lw=0.8)
    axes["C"].axhline(1, color="k", lw=0.8, ls=":")
    axes["C"].set(title="potentials and threshold (dotted)", xlabel="time (ms)", ylabel="v", xlim=(0, T))
    axes["D"].set(title="learned delays, rounded", xlabel="position", ylabel="delay (ms)", ylim=(-3, 65))
    for number, (name, history) in enumerate(histories.items()):
        axes["E"].plot(*zip(*history, strict=True), color=f"{0.4 * number}", label=name)
    axes["E"].axhline(1 / len(NAMES), color="k", lw=0.8, ls=":")
    axes["E"].set(title="test accuracy; chance (dotted)", xlabel="update", ylim=(0, 1.03))
    axes["B"].legend(loc="upper left", ncols=2, frameon=False)
    axes["D"].legend(loc="upper center", ncols=2, frameon=False)
    axes["E"].legend(loc="lower right", bbox_to_anchor=(1, 0.22), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train, compare, round, draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    torch.manual_seed(options.seed)
    test = bars(1000, torch.Generator().manual_seed(3000 + options.seed))
    learned = gc.LearnedDelay(max=LONGEST * ms, kernel="gaussian")
    fixed = torch.randint(LONGEST + 1, (POSITIONS, len(NAMES)))
    networks = {
        "learned delays": (network(learned, weight=0.12, learn=False), 1.0),
        "random delays, learned weights": (network(fixed, weight=gc.Uniform(0, 0.22), learn=True), 0.01),
        "no delays, learned weights": (network(0, weight=gc.Uniform(0, 0.22), learn=True), 0.01),
    }
    models, histories = {}, {}
    for title, (net, rate) in networks.items():
        started = time.perf_counter()
        models[title] = gc.compile(net, learn="bptt", target="c")
        histories[title] = train(models[title], options.rounds, rate, options.seed, title)
        reached = accuracy(models[title], *test)
        print(f"{title}: test accuracy {reached:.3f}, trained in {time.perf_counter() - started:.1f} s")
    model = models["learned delays"]
    alone = fires_alone(model, *test)
    model.round_delays()
    print(f"rounded delays: test accuracy {accuracy(model, *test):.3f}")
    print(f"the right detector alone spikes: {alone:.3f}, after rounding {fires_alone(model, *test):.3f}")
    for name, velocity, (slope, _, off) in zip(
        NAMES, VELOCITIES, lines(model.bar_out.delay.detach().numpy()), strict=True
    ):
        print(f"  {name}: {slope:+.2f} ms per position (bar {1 / velocity:+.2f}), {off} of {POSITIONS} off the line")
    draw(model, histories, OUT / "delays.png", options.seed)
    print(f"figure: {OUT / 'delays.png'}")


if __name__ == "__main__":
    main()
