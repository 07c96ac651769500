"""Fit a neuron to a current-clamp recording by gradient descent through its spikes.

Run ``python examples/current_clamp.py``. A real neuron received 17 sweeps of current steps, -100 to 300 pA; every
other sweep is fitted, the rest is predicted. The model is a generalised integrate-and-fire neuron with a subthreshold
current (the sag), a spike-triggered current (adaptation) and a threshold that follows the membrane potential. Two
losses teach it:

* *forced*: the model spikes when the cell did, so that all between two spikes is a smooth problem: the potential
  should be the recorded one, and meet the threshold at the recorded spikes and nowhere else;
* *free*: it spikes by itself, and the distance of both spike trains (van Rossum 2001) is differentiated through its
  spikes, by their surrogate.

Eight starting points are fitted at once, as eight neurons of one population; the best one on the fitted sweeps is
kept. It should predict the other sweeps with an error of 2 mV below threshold and 1 spike/s in the f-I curve, and
coincide with more than half of their spikes to 10 ms beyond chance. ``--quick`` takes three starting points and a few
steps.

Source:
    Mensi, Hagens, Gerstner & Pozzorini (2016), PLoS Comput. Biol. 12, e1004761: the model. Jolivet et al. (2008), J.
    Neurosci. Methods 169, 417-424: the coincidence factor. van Rossum (2001), Neural Comput. 13, 751-763. Recording:
    pyABF sample data, 171116sh_0018.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from tqdm import tqdm

import graphc as gc
from graphc.units import ms, mV, nS, pA, pF

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
DT = 0.1  # ms
STEPS = 24_000
PULSES = ((146.8, 646.8), (1646.8, 2146.8))  # ms, with the current that differs between sweeps
WIDTHS = (20, 100)  # ms, of the kernels by which spike trains are compared
BEFORE, AFTER, ONSET = 10, 80, 5  # steps: a spike takes this long, and crosses 0 mV so long after its onset

# --- the neuron -----------------------------------------------------------------------------------
BOUNDS = {  # lowest, highest, and between which values a fit starts
    "C": (50, 500, 100, 250, pF),
    "g_L": (1, 30, 4, 10, nS),
    "E_L": (-75, -50, -66, -58, mV),
    "a": (0, 20, 0.5, 5, nS),
    "tau_w": (20, 500, 50, 200, ms),
    "b": (0, 300, 10, 60, pA),
    "tau_u": (5, 500, 30, 150, ms),
    "V_r": (-60, -35, -50, -40, mV),
    "V_T": (-55, -25, -45, -35, mV),
    "alpha": (0, 2, 0.2, 0.6, 1),
    "V_i": (-65, -40, -55, -48, mV),
    "d": (0, 30, 1, 5, mV),
    "tau_h": (5, 500, 30, 150, ms),
}
C, g_L, E_L, a, tau_w, b, tau_u, V_r, V_T, alpha, V_i, d, tau_h = (
    gc.param(name, gc.Uniform(first * unit, last * unit), learn=True, per="neuron", min=low * unit, max=high * unit)
    for name, (low, high, first, last, unit) in BOUNDS.items()
)
v, w, u, h = gc.states("v w u h")
current, recorded = gc.inputs("current recorded")
margin = v - (V_T + h)


def cell(condition: object, output: object = None) -> gc.Neuron:
    """Return the neuron: ``w`` is the subthreshold, ``u`` the spike-triggered current, ``h`` moves the threshold."""
    return gc.Neuron(
        "Cell",
        ode={
            v: (g_L * (E_L - v) - w - u + current) / C,
            w: (a * (v - E_L) - w) / tau_w,
            u: -u / tau_u,
            h: (alpha * gc.softplus((v - V_i) / (2 * mV)) * 2 * mV - h) / tau_h,
        },
        spike=gc.Spike(condition, surrogate=gc.surrogate.Sigmoid(beta=1.0)),
        reset={v: V_r, u: u + b, h: h + d},
        refractory=gc.Refractory(5 * ms, hold=(v,)),
        init={v: E_L},
        output=output,
    )


def forced(candidates: int) -> gc.Network:
    """Return the network whose neurons spike when the cell did; it yields `v` and how far that is above threshold."""
    net = gc.Network(dt=DT * ms)
    net.input("current", 1)
    net.input("recorded", 1)
    net.population("cell", cell(recorded > 0.5, output=margin), candidates)
    for name in ("current", "recorded"):
        net.connect(name, "cell", target=name, weight=np.ones((1, candidates)), learn=False)
    net.output("cell")
    net.output("cell.v")
    return net


def free(candidates: int) -> gc.Network:
    """Return the network whose neurons spike by themselves; it also yields their spike trains, filtered by `WIDTHS`."""
    net = gc.Network(dt=DT * ms)
    net.input("current", 1)
    net.population("cell", cell(margin > 0), candidates)
    net.connect("current", "cell", weight=np.ones((1, candidates)), learn=False)
    for width in WIDTHS:
        net.population(f"filter{width}", gc.zoo.LI, candidates, tau_mem=width * ms)
        net.connect("cell", f"filter{width}", connectivity=gc.OneToOne(), weight=np.ones(candidates), learn=False)
        net.output(f"filter{width}")
    net.output("cell")
    net.output("cell.v")
    return net


# --- the recording --------------------------------------------------------------------------------
class Sweeps(NamedTuple):
    """Potential (mV), current (pA) and spikes of every sweep, each (T, B)."""

    v: torch.Tensor
    current: torch.Tensor
    spikes: torch.Tensor


def read(part: str) -> Sweeps:
    """Return sweeps in steps of `DT`, spikes where the potential crosses 0 mV upwards."""
    clamp = gc.data.current_clamp(part)
    every = round(DT / clamp.dt)
    fine = clamp.v[: every * STEPS, :, 0]
    crossing = torch.zeros_like(fine)
    crossing[1:] = ((fine[1:] > 0) & (fine[:-1] <= 0)).float()
    spikes = crossing.unflatten(0, (-1, every)).amax(1)
    return Sweeps(fine[::every].contiguous(), clamp.i[: every * STEPS : every, :, 0].contiguous(), spikes)


def around(spikes: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Return the steps from `before` a spike to `after` it."""
    total = spikes.cumsum(0)
    first, last = torch.zeros_like(total[:1]), total[-1:]
    padded = torch.cat([first.expand(after + 1, *total.shape[1:]), total, last.expand(before, *total.shape[1:])])
    return padded[after + 1 + before :] > padded[: len(total)]


# --- the two losses, one number per candidate -----------------------------------------------------
def mean_square(error: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the mean over steps and sweeps of what counts, the error bounded by 20 mV."""
    return (error.clamp(-20, 20) ** 2 * where).sum((0, 1)) / where.sum((0, 1))


def forced_loss(model: gc.Model, sweeps: Sweeps) -> torch.Tensor:
    """Return squared errors in mV2: of the potential, of the threshold at spikes, of thresholds crossed elsewhere."""
    out = model({"current": sweeps.current[..., None], "recorded": sweeps.spikes[..., None]})
    spikes = sweeps.spikes[..., None]
    potential = mean_square(out["cell.v"] - sweeps.v[..., None], ~around(spikes, BEFORE, AFTER))
    step, sweep = sweeps.spikes.nonzero().T
    at_spikes = (out["cell"][step - ONSET, sweep].clamp(-20, 20) ** 2).mean(0)
    early = (out["cell"] + 0.3).clamp(min=0) ** 2 * ~around(spikes, 2 * BEFORE, AFTER)
    return potential + at_spikes + 0.3 * early.sum((0, 1)) * DT / sweeps.spikes.sum()


def free_losses(model: gc.Model, sweeps: Sweeps, filtered: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the squared error of the potential far from all spikes, and the distance of spike trains per spike."""
    out = model(sweeps.current[..., None])
    apart = ~around(sweeps.spikes[..., None], BEFORE, AFTER) & ~around(out["cell"].detach(), BEFORE, AFTER)
    potential = mean_square(out["cell.v"].detach() - sweeps.v[..., None], apart)
    distance = sum(
        ((out[f"filter{width}"] - wanted) ** 2).sum((0, 1)) * DT / width / sweeps.spikes.sum()
        for width, wanted in zip(WIDTHS, filtered, strict=True)
    )
    return potential, distance


@torch.no_grad()
def filtered(sweeps: Sweeps) -> list[torch.Tensor]:
    """Return the recorded spike trains, filtered as those of the model are."""
    found = []
    for width in WIDTHS:
        net = gc.Network(dt=DT * ms)
        net.input("spikes", 1)
        net.population("filter", gc.zoo.LI, 1, tau_mem=width * ms)
        net.connect("spikes", "filter", weight=np.ones((1, 1)), learn=False)
        net.output("filter")
        found.append(gc.compile(net, learn=None, target="c")(sweeps.spikes[..., None]))
    return found


# --- the fit --------------------------------------------------------------------------------------
class Fit:
    """Models whose parameters are the same tensors, and the best values that each candidate had."""

    def __init__(self, candidates: int) -> None:
        """Draw the starting points."""
        self.forced, self.free = (gc.compile(make(candidates), target="c") for make in (forced, free))
        for name in BOUNDS:  # one tensor for both models
            both = (getattr(model.cell.parametrizations, name) for model in (self.forced, self.free))
            first, second = both
            second.original = first.original
        self.parameters = list(self.forced.parameters())
        self.best = torch.full((candidates,), torch.inf)
        self.kept = [p.detach().clone() for p in self.parameters]

    def descend(self, sweeps: Sweeps, rounds: int, rate: float, spikes: float) -> None:
        """Descend the forced loss, and `spikes` times the distance of spike trains."""
        target = filtered(sweeps)
        optimizer = torch.optim.Adam(self.parameters, lr=rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, rounds, pct_start=0.2)
        bar = tqdm(range(rounds), disable=None)
        for _ in bar:
            loss = forced_loss(self.forced, sweeps)
            if spikes:
                potential, distance = free_losses(self.free, sweeps, target)
                self.keep(potential.detach() / 4 + 3 * distance.detach())
                loss = loss + spikes * distance
            optimizer.zero_grad()
            loss.sum().backward()
            size = torch.stack([p.grad for p in self.parameters]).norm(dim=0)  # of the gradient of each candidate
            for p in self.parameters:
                p.grad /= size.clamp(min=1)
            optimizer.step()
            schedule.step()
            bar.set_postfix(best=f"{loss.min().item():.2f}", median=f"{loss.median().item():.2f}")

    @torch.no_grad()
    def keep(self, score: torch.Tensor) -> None:
        """Remember the parameters of candidates that are better than before."""
        better = score < self.best
        self.best[better] = score[better]
        for kept, p in zip(self.kept, self.parameters, strict=True):
            kept[better] = p[better]

    @torch.no_grad()
    def restore(self) -> int:
        """Set every candidate to the best it was and return which one is the best of all."""
        for kept, p in zip(self.kept, self.parameters, strict=True):
            p.copy_(kept)
        return int(self.best.argmin())

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return all parameters, (parameter, candidate)."""
        return torch.stack([getattr(self.forced.cell, name) for name in BOUNDS])


# --- how good it is -------------------------------------------------------------------------------
def coincidence(found: list[np.ndarray], wanted: list[np.ndarray], within: float, duration: float) -> float:
    """Return the factor Gamma of coincident spikes beyond chance: 1 for equal trains, 0 for a Poisson train.

    Args:
        found: spike times of the model in ms, by sweep.
        wanted: spike times of the cell in ms, by sweep.
        within: two spikes coincide when they are this close, in ms.
        duration: of all sweeps in which the current could make spikes, in ms.
    """
    hits = 0
    for ours, theirs in zip(found, wanted, strict=True):
        left = list(ours)
        for when in theirs:
            near = min(left, key=lambda other: abs(other - when), default=np.inf)
            if abs(near - when) <= within:
                left.remove(near)
                hits += 1
    n, m = sum(map(len, found)), sum(map(len, wanted))
    if n == 0:
        return 0.0
    chance = 2 * within * n / duration
    return (hits - chance * m) / (0.5 * (n + m)) / (1 - chance)


@torch.no_grad()
def simulate(model: gc.Model, sweeps: Sweeps, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return potential and spikes (T, B) of candidate `k`."""
    out = model(sweeps.current[..., None])
    return out["cell.v"][..., k], out["cell"][..., k]


def in_pulses(spikes: torch.Tensor) -> list[list[np.ndarray]]:
    """Return the spike times in ms, by pulse and sweep."""
    times = [np.flatnonzero(column) * DT for column in spikes.T.numpy()]
    return [[t[(t >= start) & (t < stop + 10)] for t in times] for start, stop in PULSES]


def quality(v: torch.Tensor, spikes: torch.Tensor, sweeps: Sweeps) -> dict[str, float]:
    """Return the figures of a prediction."""
    apart = ~around(sweeps.spikes, BEFORE, AFTER) & ~around(spikes, BEFORE, AFTER)
    ours, theirs = in_pulses(spikes), in_pulses(sweeps.spikes)
    pairs = [(x, y) for a, b in zip(ours, theirs, strict=True) for x, y in zip(a, b, strict=True)]
    rates = [2 * abs(len(x) - len(y)) for x, y in pairs]  # a pulse is half a second
    first = [abs(x[0] - y[0]) for x, y in pairs if len(x) and len(y)]
    duration = sum(stop - start for start, stop in PULSES) * v.shape[1]
    found, wanted = [*ours[0], *ours[1]], [*theirs[0], *theirs[1]]
    return {
        "subthreshold RMSE (mV)": ((v - sweeps.v)[apart] ** 2).mean().sqrt().item(),
        "f-I error (spikes/s)": float(np.mean(rates)),
        "first-spike latency error (ms)": float(np.median(first)) if first else float("nan"),
        "coincidence to 4 ms": coincidence(found, wanted, 4.0, duration),
        "coincidence to 10 ms": coincidence(found, wanted, 10.0, duration),
    }


# --- the figure -----------------------------------------------------------------------------------
def draw(stages: dict[str, tuple], values: tuple[torch.Tensor, torch.Tensor], k: int, test: Sweeps, path: Path) -> None:
    """Save test sweeps beside their prediction, the f-I curve, and where parameters began and ended."""
    figure, axes = plt.subplot_mosaic("AAAB;CCCB;DDDE;FFFE", figsize=(13, 9), layout="constrained")
    (v, spikes), time_ms = stages["through the spikes"], torch.arange(STEPS) * DT
    for axis, sweep in zip("ACDF", (1, 3, 4, 7), strict=True):
        axis = axes[axis]
        axis.plot(time_ms, test.v[:, sweep], color="0.4", lw=0.7, label="recorded")
        axis.plot(time_ms, v[:, sweep], color="C3", lw=0.9, label="predicted")
        when = spikes[:, sweep].nonzero()[:, 0]
        axis.vlines(when * DT, v[when, sweep], 40, color="C3", lw=0.9)
        axis.set(ylabel="v (mV)", xlim=(100, 2400), title=f"{test.current[2000, sweep]:+.0f} pA, not fitted")
    axes["A"].legend(loc="lower left", frameon=False)
    axes["F"].set_xlabel("time (ms)")
    amplitude = test.current[2000]
    for name, color, marker in (("recorded", "0.3", "o"), ("before", "C0", "x"), ("through the spikes", "C3", "+")):
        trains = in_pulses(test.spikes if name == "recorded" else stages[name][1])
        for pulse, style in zip(trains, ("-", ":"), strict=True):
            label = name if style == "-" else None
            axes["B"].plot(amplitude, [2 * len(t) for t in pulse], style, color=color, marker=marker, label=label)
    axes["B"].set(title="f-I, first pulse and last (dotted)", xlabel="current (pA)", ylabel="spikes/s")
    axes["B"].legend(frameon=False)
    low, high = (torch.tensor([bounds[n] for bounds in BOUNDS.values()], dtype=torch.float32) for n in (0, 1))
    places = [(value - low[:, None]) / (high - low)[:, None] for value in values]
    rows = torch.arange(len(BOUNDS))[:, None].expand_as(places[0])
    axes["E"].scatter(places[0], rows - 0.15, s=10, color="C0", label="starts")
    axes["E"].scatter(places[1], rows + 0.15, s=10, color="0.6", label="ends")
    axes["E"].scatter(places[1][:, k], rows[:, 0] + 0.15, s=22, color="C3", label="kept")
    units = {mV: "mV", ms: "ms", pA: "pA", nS: "nS", pF: "pF", 1: ""}
    names = [f"{name}: {values[1][n, k]:.3g} {units[bounds[4]]}" for n, (name, bounds) in enumerate(BOUNDS.items())]
    axes["E"].set(yticks=range(len(BOUNDS)), yticklabels=names, title="parameters within their bounds", xlim=(0, 1))
    axes["E"].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Fit the even sweeps, predict the odd ones."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--candidates", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=120, help="of the forced loss; half as many follow of both")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--quick", action="store_true", help="3 candidates, 20 rounds")
    options = arguments.parse_args()
    if options.quick:
        options.candidates, options.rounds = 3, 20
    try:
        sweeps, test = read("train"), read("test")
    except gc.GraphcError as error:
        sys.exit(str(error))
    torch.manual_seed(options.seed)
    fit = Fit(options.candidates)
    start = fit.values()
    models = {"before": start}
    started = time.process_time()
    fit.descend(sweeps, options.rounds, rate=0.2, spikes=0.0)
    models["forced"] = fit.values()
    fit.descend(sweeps, options.rounds // 2, rate=0.02, spikes=3.0)
    k = fit.restore()
    models["through the spikes"] = fit.values()
    print(f"fitted in {time.process_time() - started:.0f} s of CPU time, seed {options.seed}")
    stages = {}
    for name, values in models.items():
        for parameter, value in zip(BOUNDS, values, strict=True):
            setattr(fit.free.cell, parameter, value)
        stages[name] = simulate(fit.free, test, k)
        fitted = quality(*simulate(fit.free, sweeps, k), sweeps)
        for what, figure in quality(*stages[name], test).items():
            print(f"{name}: {what} {figure:.2f} (fitted sweeps {fitted[what]:.2f})")
    draw(stages, (start, models["through the spikes"]), k, test, OUT / "current_clamp.png")
    print(f"figure: {OUT / 'current_clamp.png'}")


if __name__ == "__main__":
    main()
