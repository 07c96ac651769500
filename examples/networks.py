"""Simulate balanced networks of the literature: the current- and conductance-based benchmarks, and Brunel's.

Run ``python examples/networks.py``, or some of them: ``python examples/networks.py cuba coba brunel``. It writes
examples/out/networks.png.

Sources:
    Vogels & Abbott (2005), J. Neurosci. 25, 10786-10795, as benchmarks 1 and 2 of Brette et al. (2007), J. Comput.
    Neurosci. 23, 349-398; Brunel (2000), J. Comput. Neurosci. 8, 183-208.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.special import erfcx
from scipy.stats import poisson

import graphc as gc
from graphc.units import ms, mV

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DT = 0.1  # ms
CHUNK = 250  # steps of one call: memory holds the spikes and inputs of so many
WARM_UP = 100  # ms that no number counts
TAU, THETA, RESET, T_REF = 20.0, 20.0, 10.0, 2.0  # ms, mV, mV, ms: Brunel's neuron
J, G, ETA = 0.1, 5.0, 2.0  # weight (mV), inhibition over excitation, drive over what reaches the threshold
DRIVE = ETA * THETA / (J * TAU)  # spikes per ms from outside
OUT = Path(__file__).parent / "out"

# --- the neurons, beside gc.zoo.CoBaLIF -------------------------------------------------------------
v, g_e, g_i = gc.states("v g_e g_i")
exc, inh = gc.inputs("exc inh")
x = gc.input("x")

Current = gc.Neuron(
    "Current",
    ode={v: (-49 * mV - v + g_e + g_i) / (20 * ms), g_e: -g_e / (5 * ms), g_i: -g_i / (10 * ms)},
    receive={g_e: g_e + exc, g_i: g_i + inh},
    spike=gc.Spike(v > -50 * mV),
    reset={v: -60 * mV},
    refractory=5 * ms,
)
Delta = gc.Neuron(
    "Delta",
    ode={v: -v / (TAU * ms)},
    receive={v: v + x},
    spike=gc.Spike(v >= THETA * mV),
    reset={v: RESET * mV},
    refractory=T_REF * ms,
)


# --- the networks: four excitatory neurons for each inhibitory one ----------------------------------
def balanced(
    neuron: gc.Neuron,
    neurons: int,
    connectivity: Callable[[int, int], gc.Sparse],
    excitatory: dict[str, object],
    inhibitory: dict[str, object],
    delay: int,
    **start: object,
) -> gc.Network:
    """Return populations "e" and "i", each connected with both."""
    net = gc.Network(dt=DT * ms)
    net.population("e", neuron, neurons * 4 // 5, **start)
    net.population("i", neuron, neurons // 5, **start)
    for pre, synapse in (("e", excitatory), ("i", inhibitory)):
        for post in "ei":
            pairs = connectivity(net.populations[pre].size, net.populations[post].size)
            net.connect(pre, post, connectivity=pairs, delay=delay, learn=False, **synapse)
    net.output("e", "i")
    return net


def cuba(neurons: int = 4000) -> gc.Network:
    """Return benchmark 2 of Brette et al.: weights in mV, no input."""
    from_e, from_i = {"target": "exc", "weight": 1.62}, {"target": "inh", "weight": -9.0}
    return balanced(Current, neurons, eighty(neurons), from_e, from_i, delay=1, v=gc.Uniform(-60, -50))


def coba(neurons: int = 4000) -> gc.Network:
    """Return benchmark 1 of Brette et al.: weights in nS; random conductances start it, there is no input."""
    from_e, from_i = {"target": "exc", "weight": 6.0}, {"target": "inh", "weight": 67.0}
    start = {"v": gc.Uniform(-60, -50), "g_e": gc.Normal(40, 15), "g_i": gc.Normal(200, 120)}
    return balanced(gc.zoo.CoBaLIF, neurons, eighty(neurons), from_e, from_i, delay=1, **start)


def eighty(neurons: int) -> Callable[[int, int], gc.Sparse]:
    """Return random pairs, 80 per neuron on average: 2 % of 4000."""
    return lambda pre, post: gc.Sparse(probability=80 / neurons, seed=1)


def brunel(neurons: int = 12500) -> gc.Network:
    """Return Brunel's network of delta synapses: a neuron hears exactly a tenth of each population, and its own drive.

    The latency is 1.5 ms. A spike acts from the start of step t + d, so d = 1 would be none.
    """
    rng = np.random.default_rng(1)

    def tenth(pre: int, post: int) -> gc.Sparse:
        mask = np.zeros((pre, post), dtype=bool)
        for n in range(post):
            mask[rng.choice(pre, pre // 10, replace=False), n] = True
        return gc.Sparse(mask=mask)

    net = balanced(Delta, neurons, tenth, {"weight": J}, {"weight": -G * J}, delay=16, v=gc.Uniform(0, 20))
    for name in "ei":
        drive = net.input(f"drive_{name}", net.populations[name].size)
        net.connect(drive, name, weight=J, connectivity=gc.OneToOne(), learn=False)
    return net


@dataclass(frozen=True)
class Spikes:
    """The spikes of a simulation: step and neuron of each, the inhibitory neurons after the excitatory ones."""

    step: np.ndarray
    neuron: np.ndarray
    sizes: tuple[int, int]
    steps: int

    def counts(self, width: float, neurons: slice) -> np.ndarray:
        """Return spikes per bin of `width` ms and neuron, after the warm-up: (bins, N)."""
        first, size = round(WARM_UP / DT), sum(self.sizes)
        per_bin = round(width / DT)
        bins = (self.steps - first) // per_bin
        place = (self.step - first) // per_bin
        inside = (self.step >= first) & (place < bins)
        flat = place[inside] * size + self.neuron[inside]
        return np.bincount(flat, minlength=bins * size).reshape(bins, size)[:, neurons]

    def rate(self, width: float, neurons: slice) -> np.ndarray:
        """Return spikes/s per neuron in every bin: (bins,)."""
        return 1000 / width * self.counts(width, neurons).mean(1)

    @property
    def excitatory(self) -> slice:
        """The excitatory neurons."""
        return slice(self.sizes[0])

    @property
    def inhibitory(self) -> slice:
        """The inhibitory neurons."""
        return slice(self.sizes[0], None)

    def irregularity(self) -> float:
        """Return the coefficient of variation of inter-spike intervals: mean over neurons with 5 intervals or more."""
        order = np.lexsort((self.step, self.neuron))
        order = order[self.step[order] * DT >= WARM_UP]
        neuron, interval = self.neuron[order], np.diff(self.step[order]).astype(float)
        same = neuron[1:] == neuron[:-1]
        neuron, interval = neuron[1:][same], interval[same]
        number = np.bincount(neuron)
        enough = number >= 5
        mean, square = (np.bincount(neuron, interval**k)[enough] / number[enough] for k in (1, 2))
        return float((np.sqrt(square - mean**2) / mean).mean())

    def synchrony(self, width: float = 5.0) -> float:
        """Return the standard deviation of the mean over neurons, over that of a neuron: 1/sqrt(N) if independent.

        Source:
            Golomb (2007), Scholarpedia 2 (1), 1347.
        """
        counts = self.counts(width, slice(None))
        return float(np.sqrt(counts.mean(1).var() / counts.var(0).mean()))


@torch.no_grad()
def simulate(net: gc.Network, duration: float, seed: int) -> Spikes:
    """Return the spikes of `duration` ms, computed in chunks."""
    model = gc.compile(net, learn=None, target="c")
    rng = np.random.default_rng(seed)
    state = model.initial_state()
    found = []
    chunks = round(duration / DT / CHUNK)
    for k in range(chunks):
        drive = {name: poisson_counts(rng, (CHUNK, 1, i.size)) for name, i in net.inputs.items()}
        run = model.run(drive, state=state) if drive else model.run(steps=CHUNK, batch_size=1, state=state)
        state = run.state
        step, neuron = torch.cat([run.output["e"], run.output["i"]], -1)[:, 0].nonzero().numpy().T
        found.append((step + k * CHUNK, neuron))
    step, neuron = (np.concatenate(part) for part in zip(*found, strict=True))
    return Spikes(step, neuron, (net.populations["e"].size, net.populations["i"].size), chunks * CHUNK)


COUNT = poisson(DRIVE * DT).ppf((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


def poisson_counts(rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    """Return how many spikes arrive from outside, by a table of 2^16 quantiles: ten times as fast as rng.poisson."""
    return torch.from_numpy(COUNT[rng.integers(1 << 16, size=shape, dtype=np.uint16)])


def mean_field(neurons: int) -> float:
    """Return the rate of Brunel's network in spikes/s, if all its inputs were white noise.

    Source:
        Brunel (2000), equation 21: 1/rate is the mean first passage time of a diffusion whose mean and variance have
        the rate in them.
    """

    def excess(rate: float) -> float:
        local = rate * np.array([neurons * 4 // 50, neurons // 50])  # spikes per ms from the network
        mean = J * TAU * (DRIVE + local @ [1, -G])
        deviation = J * np.sqrt(TAU * (DRIVE + local @ [1, G**2]))
        u = np.linspace((RESET - mean) / deviation, (THETA - mean) / deviation, 2001)
        return rate * (T_REF + TAU * np.sqrt(np.pi) * trapezoid(erfcx(-u), u)) - 1

    return 1000 * brentq(excess, 1e-4, 0.5)


def report(spikes: Spikes, rate: float, irregularity: float) -> str:
    """Return rates, irregularity and synchrony beside those expected, and the regime that they make."""
    rates = [1000 * spikes.counts(1.0, neurons).mean() for neurons in (spikes.excitatory, spikes.inhibitory)]
    cv, chi = spikes.irregularity(), spikes.synchrony()
    regime = f"{'asynchronous' if chi < 0.3 else 'synchronous'} {'irregular' if cv > 0.3 else 'regular'}"
    return (
        f"  excitatory {rates[0]:.1f}, inhibitory {rates[1]:.1f} spikes/s (Brian2: {rate:.1f})\n"
        f"  CV of intervals {cv:.2f} (Brian2: {irregularity:.2f}), synchrony {chi:.2f} of 1: {regime}"
    )


def draw(found: dict[str, Spikes], path: Path, window: float = 200.0) -> None:
    """Save 100 neurons of every network over the last `window` ms, and the rates of its populations."""
    figure, axes = plt.subplots(
        2, len(found), figsize=(4.6 * len(found), 6), sharex=True, squeeze=False, layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.06)
    for (name, spikes), (raster, rates) in zip(found.items(), axes.T, strict=True):
        first = spikes.steps * DT - window
        rows = {"excitatory": (spikes.excitatory, 80, 0, "C0"), "inhibitory": (spikes.inhibitory, 20, 80, "C3")}
        for kind, (neurons, shown, offset, color) in rows.items():
            row = spikes.neuron - neurons.start if neurons.start else spikes.neuron
            picked = (row >= 0) & (row < shown) & (spikes.step * DT >= first)
            raster.scatter(spikes.step[picked] * DT - first, row[picked] + offset, s=5, color=color, lw=0)
            rate = spikes.rate(1.0, neurons)
            rates.plot(np.arange(window) + 0.5, rate[-round(window) :], color=color, lw=1, label=kind)
            rates.axhline(rate.mean(), color=color, lw=0.8, ls=":")
        numbers = f"CV of intervals {spikes.irregularity():.2f}, synchrony {spikes.synchrony():.2f}"
        raster.set(title=f"{TITLES[name]}\n{numbers}", ylim=(-1, 100), xlim=(0, window))
        rates.set(xlabel=f"time after {first / 1000:.1f} s (ms)", ylim=(0, None))
    axes[0, 0].set_ylabel("neuron (80 excitatory, 20 inhibitory)")
    axes[1, 0].set_ylabel("rate in bins of 1 ms (spikes/s)")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


NETWORKS = {"cuba": (cuba, 5000.0), "coba": (coba, 3000.0), "brunel": (brunel, 1000.0)}  # and how many ms of it
TITLES = {"cuba": "CUBA, 4000 neurons", "coba": "COBA, 4000 neurons", "brunel": "Brunel, 12500 neurons"}
# Rate and CV of the same equations, durations and counts in Brian2 2.9.0: the mean of two seeds, one of Brunel's.
EXPECTED = {"cuba": (5.5, 0.69), "coba": (19.5, 1.75), "brunel": (36.9, 0.40)}


def main() -> None:
    """Simulate, print rates and irregularity beside those expected, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("networks", nargs="*", help=f"some of {', '.join(NETWORKS)}; all by default")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    if unknown := set(options.networks) - set(NETWORKS):
        arguments.error(f"no network is named {', '.join(sorted(unknown))}")
    found = {}
    for name in options.networks or NETWORKS:
        torch.manual_seed(options.seed)
        declare, duration = NETWORKS[name]
        started = time.perf_counter()
        spikes = found[name] = simulate(declare(), duration, options.seed)
        print(f"{name}: {duration / 1000:.0f} s in {time.perf_counter() - started:.1f} s")
        print(report(spikes, *EXPECTED[name]))
        if name == "brunel":
            print(f"  rate of the mean field {mean_field(sum(spikes.sizes)):.1f} spikes/s")
    draw(found, OUT / "networks.png")
    print(f"figure: {OUT / 'networks.png'}")


if __name__ == "__main__":
    main()
