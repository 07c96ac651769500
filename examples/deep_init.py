"""Train five hidden layers of spiking neurons that start from fluctuation-driven weights, and from Kaiming's.

Run ``python examples/deep_init.py``. It writes examples/out/deep_init.png. Digits arrive as one spike per pixel; five
layers of current-based neurons follow, one after the other. Kaiming's weights keep the variance of activations of
rate units, and know nothing of membranes: no neuron spikes, and none learns. Fluctuation-driven
weights are chosen from the neuron's own post-synaptic potential, so that every membrane reaches its threshold about as
often as asked.

Source:
    Rossbroich, Gygax & Zenke (2022), Fluctuation-driven initialization for spiking neural network training,
    Neuromorph. Comput. Eng. 2, 044016.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

T = 60  # steps of 1 ms
LAYERS, SIZE = 5, 100
NAMES = [f"layer{k + 1}" for k in range(LAYERS)]
OUT = Path(__file__).parent / "out"

v, i = gc.states("v i")
x = gc.input("x")
CuBa = gc.Neuron(
    "CuBa",
    ode={v: (i - v) / (10 * ms), i: -i / (5 * ms)},
    receive={i: i + x},
    spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={v: 0},
)


def network(kaiming: bool, spikes: torch.Tensor) -> gc.Network:
    """Return the deep network, with weights of the one kind or the other."""
    net = gc.Network(dt=1 * ms)
    net.input("pixels", 64)
    chain = ["pixels", *NAMES]
    for name in NAMES:
        net.population(name, CuBa, SIZE)
    net.population("out", gc.zoo.LI, 10)
    for pre, post in zip(chain, [*NAMES, "out"], strict=True):
        net.connect(pre, post, init=gc.init.KaimingNormal() if kaiming or post == "out" else None)
    net.output("out")
    if not kaiming:
        rates = {"pixels": "measured"} | dict.fromkeys(NAMES, 20)
        gc.init.fluctuation_driven(net, mean=0.0, std=0.8, rate=rates, inputs=spikes, populations=NAMES)
    return net


def latency_code(images: np.ndarray, jitter: float, generator: torch.Generator) -> torch.Tensor:
    """Return one spike per pixel brighter than 0.1, the earlier the brighter: (T, B, 64)."""
    bright = torch.as_tensor(images, dtype=torch.float32)
    step = (1 - bright) * (T - 20) + jitter * torch.randn(bright.shape, generator=generator)
    spikes = torch.zeros(T, *bright.shape)
    spikes.scatter_(0, step.round().long().clamp(0, T - 1)[None], 1.0)
    return spikes * (bright > 0.1)


def digits() -> tuple[tuple[np.ndarray, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return training images with labels, and test spikes with labels."""
    images, labels = load_digits(return_X_y=True)
    first, second, a, b = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    spikes = latency_code(second, 0.0, torch.Generator().manual_seed(0))
    return (first, torch.as_tensor(a)), (spikes, torch.as_tensor(b))


def train(model: gc.Model, images: np.ndarray, labels: torch.Tensor, test: tuple, epochs: int, seed: int) -> list:
    """Train `model` and return its accuracy on the test set before every epoch and after the last."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    reached = [accuracy(model, *test)]
    for _ in (bar := tqdm(range(epochs), unit="epoch")):
        for picked in torch.randperm(len(images), generator=generator).split(32):
            scores = model(latency_code(images[picked.numpy()], 2.0, generator)).mean(0)
            loss = cross_entropy(scores, labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached.append(accuracy(model, *test))
        bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{reached[-1]:.3f}")
    return reached


@torch.no_grad()
def accuracy(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the fraction of digits that `model` reads correctly."""
    return (model(spikes).mean(0).argmax(1) == labels).float().mean().item()


@torch.no_grad()
def activity(model: gc.Model, spikes: torch.Tensor) -> tuple[list[float], torch.Tensor]:
    """Return spikes/s per neuron of every layer, and the membranes (T, N) of the last one for one digit."""
    run = model.run(spikes, record=[*(f"{n}.spike" for n in NAMES), f"{NAMES[-1]}.v"])
    rates = [1000 * run.records[f"{n}.spike"].float().mean().item() for n in NAMES]
    return rates, run.records[f"{NAMES[-1]}.v"][:, 0]


def draw(results: dict, path: Path) -> None:
    """Save accuracies, the activity of every layer before training, and membranes of the last one."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for color, (label, (curves, rates, membranes)) in zip(("C0", "C3"), results.items(), strict=True):
        for k, curve in enumerate(curves):
            axes[0].plot(curve, color=color, lw=1.5, label=None if k else label)
        axes[1].plot(range(1, LAYERS + 1), rates, "o-", color=color, label=label)
        axes[2].plot(membranes[:, :6], color=color, lw=0.8)
    axes[0].axhline(0.1, color="k", lw=0.8, ls=":")
    axes[0].set(title="accuracy on the test set (dotted: chance)", xlabel="epoch", ylim=(0, 1))
    axes[1].set(title="activity before training", xlabel="hidden layer", ylabel="spikes/s per neuron")
    axes[1].set(xticks=range(1, LAYERS + 1))
    axes[2].axhline(1, color="k", lw=0.8, ls=":")
    axes[2].set(title=f"membranes of layer {LAYERS} before training", xlabel="time (ms)", ylabel="v")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train from both kinds of weights, with several seeds, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--seeds", type=int, default=2)
    options = arguments.parse_args()
    (images, labels), test = digits()
    given = latency_code(images, 2.0, torch.Generator().manual_seed(0))
    results = {}
    start = time.perf_counter()
    for label, kaiming in (("fluctuation-driven", False), ("Kaiming", True)):
        curves = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            model = gc.compile(network(kaiming, given))
            if seed == 0:
                rates, membranes = activity(model, test[0])
                print(f"{label}: spikes/s by layer {', '.join(f'{r:.1f}' for r in rates)}")
            curves.append(train(model, images, labels, test, options.epochs, seed))
        results[label] = (curves, rates, membranes)
        print(f"{label}: accuracy {', '.join(f'{c[-1]:.3f}' for c in curves)}")
    draw(results, OUT / "deep_init.png")
    print(f"{time.perf_counter() - start:.0f} s, figure: {OUT / 'deep_init.png'}")


if __name__ == "__main__":
    main()
