"""Remember a cue over a silent delay, with membrane time constants that are learned and with ones that are not.

Run ``python examples/time_constants.py``. Delayed match to sample: one of two cues, 48 ms of spikes, then silence for
up to 500 ms, then one of the two cues again; the network says whether they were the same. 64 spiking neurons without
connections among them have a membrane time constant of 20 ms, which forgets long before the second cue. Where time
constants are learned, some neurons become slow and keep the first cue. With learned ones the accuracy on new trials
should be above 0.95; with fixed ones, of 20 ms or drawn between 5 and 80 ms, it should be near chance, 0.5, at delays
of 200 ms and more. ``--recurrent`` connects the neurons: then all kinds learn, and remember by spikes that keep each
other going. ``--quick`` trains for a few seconds.

Source:
    Perez-Nieves, Leung, Dragotti & Goodman (2021), Neural heterogeneity promotes robust learning, Nat. Commun. 12,
    5791; Khajehabdollahi et al. (2024), Emergent mechanisms for long timescales depends on training curriculum and
    affects performance in memory tasks, ICLR.
"""

import argparse
import math
import time
from pathlib import Path

import matplotlib
import numpy as np
import sympy
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
DT = 4  # ms
CUE, ANSWER = 12, 12  # steps
LONGEST = 125  # steps, of the delay
LINES = 10  # per cue
BATCH = 64

v = gc.state("v")
x = gc.input("x")
log_tau, bias = gc.param("log_tau", math.log(20)), gc.param("bias", 0.0, learn=True, per="neuron")
tau = sympy.exp(log_tau) * ms

LIF = gc.Neuron(
    "LIF",
    ode={v: (bias - v) / tau},
    receive={v: v + x},
    spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=5.0)),
    reset={v: v - 1},
)

TIME_CONSTANTS = {
    "learned": gc.param("log_tau", math.log(20), learn=True, per="neuron"),
    "20 ms": gc.param("log_tau", math.log(20), per="neuron"),
    "5 to 80 ms": gc.param("log_tau", gc.Uniform(math.log(5), math.log(80)), per="neuron"),
}


def network(kind: str, recurrent: bool = False, size: int = 64) -> gc.Network:
    """Return the network and its two readouts."""
    net = gc.Network(dt=DT * ms)
    net.input("cues", 2 * LINES)
    net.population("hid", LIF, size, log_tau=TIME_CONSTANTS[kind])
    net.population("out", gc.zoo.LI, 2)
    net.connect("cues", "hid", weight=gc.Uniform(-0.5, 0.5))
    if recurrent:
        net.connect("hid", "hid", delay=1, weight=gc.Uniform(-0.5 / math.sqrt(size), 0.5 / math.sqrt(size)))
    net.connect("hid", "out", weight=gc.Uniform(-0.2, 0.2))
    net.output("out")
    return net


def trials(batch: int, delay: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes (T, B, 20) and whether the two cues were the same (B,); all trials have the same delay."""
    steps = 2 * CUE + delay + ANSWER
    cues = torch.randint(2, (2, batch), generator=generator)
    chance = torch.full((steps, batch, 2, LINES), 0.004)
    for start, cue in zip((0, CUE + delay), cues, strict=True):
        chance[start : start + CUE, torch.arange(batch), cue] = 0.24  # 60 spikes per second
    spikes = (torch.rand(chance.shape, generator=generator) < chance).float().flatten(2)
    return spikes, (cues[0] == cues[1]).long()


def read_out(membrane: torch.Tensor) -> torch.Tensor:
    """Return two scores (B, 2): the mean potential of the readout while it should answer."""
    return membrane[-ANSWER:].mean(0)


@torch.no_grad()
def accuracy(model: gc.Model, delay: int, seed: int = 1000) -> float:
    """Return the fraction of 512 new trials with this delay that `model` answers correctly."""
    spikes, same = trials(512, delay, torch.Generator().manual_seed(seed))
    return (read_out(model(spikes)).argmax(1) == same).float().mean().item()


def train(model: gc.Model, rounds: int, seed: int, title: str) -> list[float]:
    """Train `model` on delays that grow to the longest within half of the rounds; return the fraction right in each."""
    generator = torch.Generator().manual_seed(seed)
    rates = {"log_tau": 0.05, "bias": 5e-3, "weight": 5e-3}
    groups = [
        {"params": found, "lr": rate}
        for key, rate in rates.items()
        if (found := [p for name, p in model.named_parameters() if key in name])
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], rounds, pct_start=0.1)
    history = []
    bar = tqdm(range(rounds), desc=title, disable=None)
    for k in bar:
        longest = min(LONGEST, LONGEST * 2 * k // rounds)
        delay = int(torch.randint(longest + 1, (), generator=generator))
        spikes, same = trials(BATCH, delay, generator)
        scores = read_out(model(spikes))
        loss = cross_entropy(scores, same)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append((scores.argmax(1) == same).float().mean().item())
        bar.set_postfix(right=f"{np.mean(history[-20:]):.3f}")
    return history


@torch.no_grad()
def draw(models: dict[str, list[gc.Model]], histories: dict[str, list[list[float]]], path: Path) -> None:
    """Save one trial of a network with learned time constants, their distribution, and accuracies."""
    figure, axes = plt.subplot_mosaic("AAB;CDE", figsize=(12, 7), layout="constrained")
    model = models["learned"][0]
    spikes, _ = trials(1, LONGEST, torch.Generator().manual_seed(3))
    run = model.run(spikes, record=["hid.spike", "hid.v"])
    order = model.hid.log_tau.argsort()
    milliseconds = torch.arange(len(spikes)) * DT
    when, who = run.records["hid.spike"][:, 0][:, order].nonzero().T
    axes["A"].scatter(when * DT, who, s=3, color="k", lw=0)
    when, line = spikes[:, 0].nonzero().T
    axes["A"].scatter(when * DT, line - 22, s=3, color="C0", lw=0)
    axes["A"].set(title="a trial: cues (blue), neurons from fast to slow", xlabel="time (ms)", ylabel="neuron")
    for n, color in ((order[0], "0.6"), (order[-1], "C3"), (order[-2], "C1")):
        label = f"tau {model.hid.log_tau[n].exp():.0f} ms"
        axes["B"].plot(milliseconds, run.records["hid.v"][:, 0, n], color=color, lw=1, label=label)
    axes["B"].set(title="membranes", xlabel="time (ms)", ylabel="v")
    axes["B"].legend(frameon=False)
    learned = torch.cat([m.hid.log_tau.exp() for m in models["learned"]])
    axes["C"].hist(learned.numpy(), bins=np.geomspace(2, 20000, 40), color="C3", label="learned")
    axes["C"].axvline(20, color="k", ls=":", label="before")
    axes["C"].axvline(DT * LONGEST, color="0.6", ls="--", label="longest delay")
    axes["C"].set(title="time constants, all seeds", xscale="log", xlabel="tau (ms)", ylabel="neurons")
    axes["C"].legend(frameon=False)
    delays = range(0, LONGEST + 51, 25)
    for color, (kind, found) in zip(("C3", "0.5", "C0"), models.items(), strict=True):
        for k, history in enumerate(histories[kind]):
            width = min(25, len(history))
            mean = np.convolve(history, np.ones(width) / width, "valid")
            axes["D"].plot(mean, color=color, lw=1, label=None if k else kind)
        curves = np.array([[accuracy(m, delay) for delay in delays] for m in found])
        axes["E"].plot([DT * d for d in delays], curves.mean(0), "o-", color=color, label=kind)
        axes["E"].fill_between([DT * d for d in delays], curves.min(0), curves.max(0), color=color, alpha=0.2, lw=0)
    axes["D"].set(title="fraction right in training", xlabel="round", ylim=(0.4, 1.02))
    axes["E"].axhline(0.5, color="k", lw=0.8, ls=":")
    axes["E"].axvspan(DT * LONGEST, DT * delays[-1], color="0.93")
    axes["E"].set(title="new trials (grey: longer than trained)", xlabel="delay (ms)", ylim=(0.4, 1.02))
    axes["E"].legend(frameon=False, loc="center right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train every kind with several seeds, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=600)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--recurrent", action="store_true", help="connect the neurons among themselves")
    arguments.add_argument("--quick", action="store_true", help="one seed, 60 rounds")
    options = arguments.parse_args()
    if options.quick:
        options.rounds, options.seeds = 60, 1
    models, histories, started = {}, {}, time.process_time()
    for kind in TIME_CONSTANTS:
        models[kind], histories[kind] = [], []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            models[kind].append(gc.compile(network(kind, options.recurrent), target="c"))
            histories[kind].append(train(models[kind][-1], options.rounds, seed, f"{kind}, seed {seed}"))
        reached = [np.mean([accuracy(m, delay) for delay in range(0, LONGEST + 1, 25)]) for m in models[kind]]
        print(f"{kind}: accuracy {', '.join(f'{r:.3f}' for r in reached)}", flush=True)
    draw(models, histories, OUT / "time_constants.png")
    print(f"{time.process_time() - started:.0f} s of CPU time, figure: {OUT / 'time_constants.png'}")


if __name__ == "__main__":
    main()
