"""Decide between two noisy inputs with excitatory and inhibitory neurons that never change their kind.

Run ``python examples/balanced.py``. 80 excitatory and 20 inhibitory neurons see two groups of spike trains for 400 ms
and say which group is denser. Every connection has a sign (Dale's law): a weight is its sign times the absolute value
of what is learned, so that no step of an optimiser can turn excitation into inhibition. Sizes come from
`gc.init.fluctuation_driven`, which balances both. Only excitatory neurons are read out. The network should answer
above 0.9 of new trials right where the rates differ by 40 %, and half of them, by chance, where they do not differ.
``--quick`` trains for a few seconds.

Source:
    Song, Yang & Wang (2016), Training excitatory-inhibitory recurrent neural networks for cognitive tasks, PLoS
    Comput. Biol. 12, e1004792; Rossbroich, Gygax & Zenke (2022), Neuromorph. Comput. Eng. 2, 044016.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
DT = 2  # ms
STEPS = 200
LINES, RATE = 20, 25  # spike trains in each of two groups, and their mean rate in spikes per second
EXCITATORY, INHIBITORY = 80, 20
BATCH = 64
BETWEEN = [f"{pre}_{post}" for pre in ("exc", "inh") for post in ("exc", "inh")]

v, i = gc.states("v i")
x = gc.input("x")
CuBa = gc.Neuron(
    "CuBa",
    ode={v: (i - v) / (20 * ms), i: -i / (5 * ms)},
    receive={i: i + x},
    spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={v: v - 1},
)


def network() -> gc.Network:
    """Return the network with weights under which membranes fluctuate about rest."""
    net = gc.Network(dt=DT * ms)
    net.input("x", 2 * LINES)
    net.population("exc", CuBa, EXCITATORY)
    net.population("inh", CuBa, INHIBITORY)
    net.population("out", gc.zoo.LI, 2, tau_mem=100 * ms)
    for post in ("exc", "inh"):
        net.connect("x", post, sign="excitatory")
        net.connect("exc", post, delay=1, sign="excitatory")
        net.connect("inh", post, delay=1, sign="inhibitory")
    net.connect("exc", "out", weight=gc.Uniform(-0.1, 0.1))
    net.output("out")
    rates = {"x": RATE, "exc": 15, "inh": 15}
    gc.init.fluctuation_driven(net, mean=0.0, std=1.0, rate=rates, populations=["exc", "inh"])
    return net


def trials(batch: int, contrast: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes (T, B, 40) and which group is denser (B,): rates are `RATE` times 1 + and 1 - half the contrast.

    Args:
        batch: how many trials.
        contrast: difference of both rates relative to their mean, (B,) or a number; its sign is drawn.
        generator: of all that is random.
    """
    denser = torch.randint(2, (batch,), generator=generator)
    sign = 1.0 - 2 * torch.stack([denser, 1 - denser], -1)
    rates = RATE * (1 + contrast.expand(batch)[:, None] / 2 * sign)
    chance = (rates * DT / 1000).repeat_interleave(LINES, 1)
    return (torch.rand(STEPS, batch, 2 * LINES, generator=generator) < chance).float(), denser


def train(model: gc.Model, rounds: int, seed: int) -> list[float]:
    """Train `model` on contrasts up to 0.6 and return the fraction of right answers in each round."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, rounds, pct_start=0.1)
    history = []
    bar = tqdm(range(rounds), desc=f"seed {seed}", disable=None)
    for _ in bar:
        spikes, denser = trials(BATCH, 0.6 * torch.rand(BATCH, generator=generator), generator)
        run = model.run(spikes, record=["exc.spike", "inh.spike"])
        scores = run.output[-25:].mean(0)
        busy = sum(run.records[f"{n}.spike"].mean((0, 1)).sub(0.03 * DT).clamp(min=0).sum() for n in ("exc", "inh"))
        loss = cross_entropy(scores, denser) + busy  # no neuron above 30 spikes per second for long
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append((scores.argmax(1) == denser).float().mean().item())
        bar.set_postfix(right=f"{np.mean(history[-20:]):.3f}")
    return history


@torch.no_grad()
def psychometric(model: gc.Model, contrasts: list[float], batch: int = 512) -> list[float]:
    """Return the fraction of new trials answered rightly, by contrast."""
    generator, right = torch.Generator().manual_seed(1000), []
    for contrast in contrasts:
        spikes, denser = trials(batch, torch.tensor(contrast), generator)
        right.append((model(spikes)[-25:].mean(0).argmax(1) == denser).float().mean().item())
    return right


def ideal(contrasts: list[float], batch: int = 4096) -> list[float]:
    """Return the fraction answered rightly by comparing the numbers of spikes in both groups."""
    generator, right = torch.Generator().manual_seed(2000), []
    for contrast in contrasts:
        spikes, denser = trials(batch, torch.tensor(contrast), generator)
        counts = spikes.sum(0).unflatten(1, (2, LINES)).sum(2)
        ahead = (counts[:, 0] > counts[:, 1]).float() + 0.5 * (counts[:, 0] == counts[:, 1]).float()
        right.append(torch.where(denser == 0, ahead, 1 - ahead).mean().item())
    return right


@torch.no_grad()
def weights(model: gc.Model) -> dict[str, torch.Tensor]:
    """Return the weights among both kinds of neurons, by connection."""
    return {name: getattr(model, name).weight.detach().clone() for name in BETWEEN}


def keeps_dale(found: dict[str, torch.Tensor]) -> bool:
    """Return whether no excitatory weight is below 0, and no inhibitory one above."""
    return all((w >= 0).all() if name.startswith("exc") else (w <= 0).all() for name, w in found.items())


@torch.no_grad()
def rates(model: gc.Model) -> list[float]:
    """Return spikes per second of excitatory and of inhibitory neurons."""
    spikes, _ = trials(128, torch.tensor(0.3), torch.Generator().manual_seed(1))
    records = model.run(spikes, record=["exc.spike", "inh.spike"]).records
    return [1000 / DT * records[name].mean().item() for name in ("exc.spike", "inh.spike")]


CONTRASTS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6]


@torch.no_grad()
def draw(model: gc.Model, before: dict, activity: list, curves: list, histories: list, path: Path) -> None:
    """Save one trial, weights before and after, rates, and how often the answer is right."""
    figure, axes = plt.subplot_mosaic("AAB;CDE", figsize=(12, 7), layout="constrained")
    spikes, denser = trials(1, torch.tensor(0.4), torch.Generator().manual_seed(0))
    run = model.run(spikes, record=["exc.spike", "inh.spike"])
    for name, color, up in (("exc", "C3", 0), ("inh", "C0", EXCITATORY)):
        when, who = run.records[f"{name}.spike"][:, 0].nonzero().T
        axes["A"].scatter(when * DT, who + up, s=3, color=color, lw=0)
    axes["A"].set(title="a trial: excitatory (red) and inhibitory neurons", xlabel="time (ms)", ylabel="neuron")
    for group in range(2):
        label = f"{'denser' if group == denser else 'other'} group"
        axes["B"].plot(torch.arange(STEPS) * DT, run.output[:, 0, group], color=f"C{1 + group}", label=label)
    axes["B"].set(title="readout", xlabel="time (ms)", ylabel="v")
    axes["B"].legend(frameon=False)
    after = weights(model)
    for found, style in ((before, {"histtype": "step", "color": "k"}), (after, {"alpha": 0.5})):
        for name, color in (("exc", "C3"), ("inh", "C0")):
            values = torch.cat([w.flatten() for n, w in found.items() if n.startswith(name)]).numpy()
            own = {} if "color" in style else {"color": color, "label": f"{name}., after"}
            axes["C"].hist(values, bins=np.linspace(-6, 2, 81), **style, **own)
    axes["C"].set(title="weights, black: before", yscale="log", xlabel="weight", ylabel="synapses")
    axes["C"].legend(frameon=False)
    for offset, stage in ((-0.2, 0), (0.2, 1)):
        values = np.array([pair[stage] for pair in activity])
        at = np.arange(2) + offset
        axes["D"].bar(
            at, values.mean(0), 0.35, color="0.75" if stage == 0 else "0.35", label=("before", "after")[stage]
        )
        axes["D"].plot(np.repeat(at[None], len(values), 0).T, values.T, "k.", ms=4)
    axes["D"].set(
        title="rates, dots: seeds", xticks=[0, 1], xticklabels=["excitatory", "inhibitory"], ylabel="spikes/s"
    )
    axes["D"].legend(frameon=False)
    for k, curve in enumerate(curves):
        axes["E"].plot(CONTRASTS, curve, "o-", color="C2", ms=3, lw=1, label=None if k else "network, by seed")
    axes["E"].plot(CONTRASTS, ideal(CONTRASTS), "k:", label="counting all spikes")
    axes["E"].set(title="right answers, new trials", xlabel="contrast", ylim=(0.4, 1.02))
    axes["E"].legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train with several seeds, check Dale's law, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="one seed, 40 rounds")
    options = arguments.parse_args()
    if options.quick:
        options.rounds, options.seeds = 40, 1
    activity, curves, histories, started = [], [], [], time.process_time()
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        model = gc.compile(network(), target="c")
        first, quiet = weights(model), rates(model)
        histories.append(train(model, options.rounds, seed))
        curves.append(psychometric(model, CONTRASTS))
        activity.append((quiet, rates(model)))
        before, after = ("{:.1f} and {:.1f}".format(*pair) for pair in activity[-1])
        print(
            f"seed {seed}: right by contrast "
            + ", ".join(f"{c}: {r:.3f}" for c, r in zip(CONTRASTS, curves[-1], strict=True))
        )
        print(f"seed {seed}: spikes/s of exc. and inh. {before} before, {after} after; Dale's law ", end="")
        print("kept" if keeps_dale(weights(model)) else "broken", flush=True)
        if seed == 0:
            kept = model, first
    draw(*kept, activity, curves, histories, OUT / "balanced.png")
    print(f"{time.process_time() - started:.0f} s of CPU time, figure: {OUT / 'balanced.png'}")


if __name__ == "__main__":
    main()
