"""Train a recurrent layer of adaptive neurons, declared below, to read handwritten digits from spike latencies.

Run ``make demo``, or ``python examples/digits.py``. It writes examples/out/digits.png.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

T = 50  # steps of 1 ms
OUT = Path(__file__).parent / "out"

# --- the neuron -----------------------------------------------------------------------------------
v, a = gc.states("v a")
x = gc.input("x")
tau_mem = gc.param("tau_mem", 20 * ms, learn=True, per="neuron", min=2 * ms)
tau_adapt = gc.param("tau_adapt", 100 * ms, learn=True, per="neuron", min=2 * ms)
beta = gc.param("beta", 0.1, learn=True, per="neuron")
theta = 1 + beta * a

Adaptive = gc.Neuron(
    "Adaptive",
    ode={v: -v / tau_mem, a: -a / tau_adapt},
    receive={v: v + x},
    spike=gc.Spike(v > theta, surrogate=gc.surrogate.SuperSpike(beta=5.0), detach_reset=(v,)),
    reset={v: v - theta, a: a + 1},
)

# --- the network ----------------------------------------------------------------------------------
network = gc.Network(dt=1 * ms)
network.input("pixels", 64)
network.population("hid", Adaptive, 128)
network.population("out", gc.zoo.LI, 10, tau_mem=gc.param("tau_mem", 20 * ms, learn=True, per="neuron", min=2 * ms))
network.connect("pixels", "hid", weight=gc.Uniform(-0.2, 0.2))
network.connect("hid", "hid", delay=1, weight=gc.Uniform(-0.01, 0.01))
network.connect("hid", "out", weight=gc.Uniform(-0.3, 0.3))
network.output("out")


def latency_code(images: np.ndarray, jitter: float, generator: torch.Generator) -> torch.Tensor:
    """Return one spike per pixel brighter than 0.1, the earlier the brighter: (T, B, 64)."""
    bright = torch.as_tensor(images, dtype=torch.float32)
    return gc.data.latency(bright, steps=T, last=T - 10, threshold=0.1, jitter=jitter, generator=generator)


def read_out(membrane: torch.Tensor) -> torch.Tensor:
    """Return class scores (B, 10): the mean membrane potential of the readout over time, scaled."""
    return 10 * membrane.mean(0)


def train(model: gc.Model, images: np.ndarray, labels: torch.Tensor, test: tuple, epochs: int, seed: int) -> float:
    """Train `model` on the images and return its accuracy on the test set."""
    generator = torch.Generator().manual_seed(seed)
    groups = {"hid.weight": 3e-3, "out.weight": 3e-2, "tau": 0.5, "beta": 3e-3}
    named = list(model.named_parameters())
    optimizer = torch.optim.Adam(
        [{"params": [p for name, p in named if key in name], "lr": rate} for key, rate in groups.items()]
    )
    batches = len(images) // 32
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, epochs * batches, pct_start=0.1)
    bar = tqdm(range(epochs), unit="epoch")
    for _ in bar:
        order = torch.randperm(len(images), generator=generator)
        for picked in order[: batches * 32].split(32):
            spikes = latency_code(images[picked.numpy()], 3.0, generator)
            loss = cross_entropy(read_out(model(spikes)), labels[picked], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        reached = accuracy(model, *test)
        bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{reached:.3f}")
    return reached


@torch.no_grad()
def accuracy(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the fraction of digits that `model` reads correctly."""
    return (read_out(model(spikes)).argmax(1) == labels).float().mean().item()


@torch.no_grad()
def draw(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor, path: Path) -> None:
    """Save what the network sees and does: input, hidden spikes and membranes of one digit, and the confusions."""
    run = model.run(spikes, record=["hid.spike", "hid.v", "hid.a"])
    hidden = run.records["hid.spike"][:, 0]
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    raster(axes[0, 0], spikes[:, 0], f"input: a {labels[0]}", "pixel")
    raster(axes[0, 1], hidden, f"hidden layer, {1000 * hidden.mean():.0f} spikes/s per neuron", "neuron")
    busy = hidden.sum(0).argsort(descending=True)[:4]
    for row, n in enumerate(busy.tolist()):
        axes[1, 0].plot(run.records["hid.v"][:, 0, n] + 2.5 * row, color=f"C{row}", lw=1)
        level = 1 + model.hid.beta[n] * run.records["hid.a"][:, 0, n] + 2.5 * row
        axes[1, 0].plot(level, color=f"C{row}", lw=0.8, ls=":")
    axes[1, 0].set(title="membranes and thresholds (dotted)", xlabel="time (ms)", ylabel="v, shifted", xlim=(0, T))
    counts = confusion_matrix(labels, read_out(run.output).argmax(1))
    axes[1, 1].imshow(counts, cmap="Blues", norm="log", vmin=0.5)
    for i, j in zip(*counts.nonzero(), strict=True):
        axes[1, 1].text(j, i, counts[i, j], ha="center", va="center", color="w" if i == j else "k", fontsize=8)
    axes[1, 1].set(title="confusions, test set", xlabel="read", ylabel="written", xticks=range(10), yticks=range(10))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def raster(axis: plt.Axes, spikes: torch.Tensor, title: str, what: str) -> None:
    """Draw one dot per spike of (T, N)."""
    axis.scatter(*spikes.nonzero().T, s=3, color="k")
    axis.set(title=title, xlabel="time (ms)", ylabel=what, xlim=(0, T), ylim=(-1, spikes.shape[1]))


def main() -> None:
    """Train, draw, and print where the kernel is and how good the network became."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=25)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    torch.manual_seed(options.seed)
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    train_images, test_images = parts[:2]
    train_labels, test_labels = (torch.as_tensor(part) for part in parts[2:])
    test = latency_code(test_images, 0.0, torch.Generator()), test_labels

    model = gc.compile(network, learn="bptt", target="c")
    started = time.perf_counter()
    reached = train(model, train_images, train_labels, test, options.epochs, options.seed)
    print(f"trained in {time.perf_counter() - started:.1f} s")
    draw(model, *test, OUT / "digits.png")
    print(f"figure: {OUT / 'digits.png'}")
    source = OUT / "digits.forward.c"
    source.write_text(model.source("forward"))
    print(f"generated kernel: {source}")
    print(f"test accuracy {reached:.3f}")


if __name__ == "__main__":
    main()
