"""Two rules of local learning as options of one compiler: e-prop on a working memory, SuperSpike on spike times.

Run ``python examples/eprop.py``. The memory is the store-recall task of Bellec et al. (2020), Nature Communications 11,
3625: a network of leaky and of adaptive neurons keeps the bit that was shown with the command to store it, among other
bits that were shown without. The spike times are those of Zenke & Ganguli (2018), Neural Computation 30, 1514-1541.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parents[1] / "examples" / "out"

# --- store and recall -------------------------------------------------------------------------------
SEGMENT, SEGMENTS, LINES = 50, 5, 10  # ms, segments of a trial, input neurons of bit 0, of bit 1, of store, of recall
NEURONS = 60  # half of them adapt

v, a = gc.states("v a")
x = gc.input("x")
tau_mem, tau_adapt, beta = gc.params(tau_mem=20 * ms, tau_adapt=400 * ms, beta=0.0)
theta = 1 + beta * a
LSNN = gc.Neuron(
    "LSNN",
    ode={v: -v / tau_mem, a: -a / tau_adapt},
    receive={v: v + x},
    spike=gc.Spike(v > theta, surrogate=gc.surrogate.Triangle(), detach_reset=(v,)),
    reset={v: v - theta, a: a + 1},
)


def memory() -> gc.Network:
    """Return 60 neurons, half of them adaptive, and two leaky readouts: which bit was stored."""
    net = gc.Network(dt=1 * ms)
    net.input("x", 4 * LINES)
    net.population("hid", LSNN, NEURONS, beta=[0.0] * (NEURONS // 2) + [0.08] * (NEURONS // 2))
    net.population("out", gc.zoo.LI, 2, tau_mem=20 * ms)
    net.connect("x", "hid", weight=gc.Normal(0.0, 0.35))
    net.connect("hid", "hid", delay=1, weight=gc.Normal(0.0, 0.6 / NEURONS**0.5))
    net.connect("hid", "out", weight=gc.Normal(0.0, 1 / NEURONS**0.5))
    net.output("out")
    return net


def trials(batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes (T, B, 40) and the bit to recall: a bit in each segment but the last, one of two stored."""
    bits = torch.randint(2, (SEGMENTS, batch), generator=generator)
    store = torch.randint(2, (batch,), generator=generator)
    active = torch.zeros(SEGMENTS, batch, 4)
    active[:, :, :2] = torch.nn.functional.one_hot(bits, 2)
    active[-1] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    active[store, torch.arange(batch), 2] = 1
    rate = active.repeat_interleave(SEGMENT, 0).repeat_interleave(LINES, 2) * 0.05
    spikes = (torch.rand(rate.shape, generator=generator) < rate).float()
    return spikes, bits[store, torch.arange(batch)]


def learn_memory(learn: object, rounds: int, seed: int, name: str, batch: int = 64) -> list[float]:
    """Train the memory; return its errors, the fraction of new trials recalled wrongly in every round."""
    torch.manual_seed(seed)
    model = gc.compile(memory(), learn=learn, target="c")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    errors = []
    bar = tqdm(range(rounds), desc=name)
    for _ in bar:
        spikes, bits = trials(batch, generator)
        scores = model(spikes)[-SEGMENT:].mean(0)
        optimizer.zero_grad()
        cross_entropy(scores, bits).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        errors.append((scores.argmax(1) != bits).float().mean().item())
        bar.set_postfix(error=f"{sum(errors[-20:]) / len(errors[-20:]):.3f}")
    return errors


# --- spike times ------------------------------------------------------------------------------------
INPUTS, STEPS = 200, 500
STRONGEST, RATE = 0.03, 3e-4
TIMES = (100, 190, 260, 350, 430)  # ms


def detector() -> gc.Network:
    """Return one neuron, and its spikes as van Rossum's distance sees them: filtered with 10 ms."""
    net = gc.Network(dt=1 * ms)
    net.input("x", INPUTS)
    net.population("cell", gc.zoo.CuBaLIF, 1, tau_mem=10 * ms, tau_syn=5 * ms)
    net.population("filtered", gc.zoo.LI, 1, tau_mem=10 * ms)
    net.connect("x", "cell", weight=gc.Uniform(0.0, STRONGEST))
    net.connect("cell", "filtered", weight=1.0, learn=False)
    net.output("filtered")
    return net


def learn_times(rounds: int, seed: int, chunk: int = 50) -> tuple[list[float], list[list[int]]]:
    """Train the neuron on one frozen pattern that goes by in pieces; return the distances and the spikes, per round."""
    torch.manual_seed(seed)
    model = gc.compile(detector(), learn=gc.learn.BlockDiagonal(), target="c")
    pattern = (torch.rand(STEPS, 1, INPUTS) < 0.01).float()
    wanted, level = torch.zeros(STEPS, 1, 1), 0.0
    decay = torch.exp(torch.tensor(-1 / 10)).item()
    for t in range(STEPS):
        level = decay * (level + (t in TIMES))
        wanted[t] = level
    optimizer = torch.optim.Adam([model.x_cell.weight], lr=RATE)
    distances, raster = [], []
    for _ in tqdm(range(rounds), desc="SuperSpike"):
        optimizer.zero_grad()
        state, spikes, distance = model.initial_state(1), [], 0.0
        for first in range(0, STEPS, chunk):
            run = model.run(pattern[first : first + chunk], state=state, record=["cell.spike"])
            error = (run.output - wanted[first : first + chunk]).square().sum() / 10
            error.backward()
            distance += error.item()
            spikes += (first + run.records["cell.spike"][:, 0, 0].nonzero()[:, 0]).tolist()
            state = run.state
        optimizer.step()
        distances.append(distance)
        raster.append(spikes)
    return distances, raster


# --- figure -----------------------------------------------------------------------------------------
def smooth(values: list[float], width: int = 20) -> list[float]:
    """Return the mean of the last `width` values at each of them."""
    return [sum(values[max(0, n - width) : n]) / min(n, width) for n in range(1, len(values) + 1)]


def draw(errors: dict[str, list[float]], distances: list[float], raster: list[list[int]], path: Path) -> None:
    """Save a trial of the memory, the learning curves, and how the spikes find their times."""
    figure, axes = plt.subplot_mosaic("AABB;CCDD", figsize=(11, 6.5), layout="constrained")
    spikes, bits = trials(1, torch.Generator().manual_seed(1))
    axes["A"].scatter(*spikes[:, 0].nonzero().T, s=3, color="k")
    axes["A"].set(title=f"a trial: bit {bits.item()} is stored", xlabel="time (ms)", xlim=(0, len(spikes)))
    axes["A"].set_yticks([LINES * (k + 0.5) for k in range(4)], ["bit 0", "bit 1", "store", "recall"])
    for name, history in errors.items():
        axes["B"].plot(smooth(history), label=name)
    axes["B"].set(title="wrongly recalled, new trials", xlabel="update", ylim=(0, 0.6))
    axes["B"].legend(frameon=False)
    for number, times in enumerate(raster):
        axes["C"].scatter(times, [number] * len(times), s=1, color="k", lw=0)
    for when in TIMES:
        axes["C"].axvline(when, color="C1", lw=0.8, zorder=0)
    axes["C"].set(title="spikes of one neuron; wanted times", xlabel="time (ms)", ylabel="update", xlim=(0, STEPS))
    axes["D"].plot(distances, color="k", lw=1)
    axes["D"].set(title="van Rossum's distance", xlabel="update", yscale="log")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Learn the memory by three rules, the spike times by one, and report how far each came."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    started = time.perf_counter()
    rules = {
        "BPTT": gc.learn.BPTT(),
        "e-prop, symmetric feedback": gc.learn.BlockDiagonal(chunk="all"),
        "e-prop, random feedback": gc.learn.BlockDiagonal(chunk="all", feedback="random"),
    }
    errors = {name: learn_memory(rule, options.rounds, options.seed, name) for name, rule in rules.items()}
    distances, raster = learn_times(options.rounds, options.seed)
    draw(errors, distances, raster, OUT / "eprop.png")
    print(f"trained in {time.perf_counter() - started:.0f} s, seed {options.seed}, {options.rounds} updates each")
    for name, history in errors.items():
        last = history[-20:]
        print(f"{name}: {sum(last) / len(last):.3f} of the trials of the last {len(last)} updates recalled wrongly")
    print(f"SuperSpike: spikes at {raster[-1]} ms, wanted {list(TIMES)}")
    print(f"  distance {distances[0]:.1f} before, {distances[-1]:.2f} after")
    print(f"figure: {OUT / 'eprop.png'}")


if __name__ == "__main__":
    main()
