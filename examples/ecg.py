"""Label every step of an electrocardiogram with 36 recurrent adaptive neurons that learn their own time constants.

Run ``python examples/ecg.py``. The data are the QT Database (Laguna 1997) as level-crossing spikes in four channels,
from Yin, Corradi & Bohte (2021), Nature Machine Intelligence 3, 905-913; `graphc data list` says where they are kept.
"""

import argparse
import sys
import time
from pathlib import Path

import matplotlib
import sympy
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
OUT = ROOT / "examples" / "out"
SEGMENTS = 6
SKIP = 10  # steps that the published figures leave out

# --- the neurons ----------------------------------------------------------------------------------
# Time constants span three decades, so their logarithm is learned: any expression of parameters may stand in an ODE.
v, b = gc.states("v b")
x = gc.input("x")
log_tau_mem = gc.param("log_tau_mem", 2.3, learn=True, per="neuron")
log_tau_adapt = gc.param("log_tau_adapt", 5.3, learn=True, per="neuron")
beta = gc.param("beta", 1.8, learn=True, per="neuron")
theta = gc.param("theta", 0.1, learn=True, per="neuron")
bias = gc.param("bias", 0.0, learn=True, per="neuron")
tau_mem, tau_adapt = sympy.exp(log_tau_mem) * ms, sympy.exp(log_tau_adapt) * ms
level = theta + beta * b

Adaptive = gc.Neuron(
    "Adaptive",
    ode={v: (x + bias - v) / tau_mem, b: -b / tau_adapt},
    spike=gc.Spike(v > level, surrogate=gc.surrogate.SuperSpike(beta=5.0), detach_reset=(v,)),
    reset={v: v - level, b: b + 1 - sympy.exp(-gc.dt / tau_adapt)},
)

log_tau = gc.param("log_tau", 3.0, learn=True, per="neuron")
Readout = gc.Neuron("Readout", ode={v: (x + bias - v) / (sympy.exp(log_tau) * ms)})

# --- the network ----------------------------------------------------------------------------------
net = gc.Network(dt=1 * ms)
net.input("ecg", 4)
net.population(
    "hid",
    Adaptive,
    36,
    log_tau_mem=gc.param("log_tau_mem", gc.Normal(2.3, 0.5), learn=True, per="neuron"),
    log_tau_adapt=gc.param("log_tau_adapt", gc.Normal(5.3, 0.5), learn=True, per="neuron"),
)
net.population("out", Readout, SEGMENTS)
net.connect("ecg", "hid", weight=gc.Uniform(-2.5, 2.5))
net.connect("hid", "hid", delay=1, weight=gc.Uniform(-0.33, 0.33))
net.connect("hid", "out", weight=gc.Uniform(-0.17, 0.17))
net.output("out")


@torch.no_grad()
def accuracies(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor, labelled: torch.Tensor) -> list[float]:
    """Return the fraction of steps labelled correctly: of all steps, and of those that have a label."""
    right = (model(spikes).argmax(-1) == labels)[SKIP:]
    return [right.float().mean().item(), right[labelled[SKIP:]].float().mean().item()]


def train(model: gc.Model, epochs: int, batch: int = 32, rate: float = 0.05) -> list[list[float]]:
    """Train `model` and return both test accuracies after every epoch."""
    spikes, labels, _ = gc.data.ecg("train")  # labels of the published convention: none is class 0
    test = gc.data.ecg("test")
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = -(-spikes.shape[1] // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * batches, pct_start=0.1)
    history = []
    bar = tqdm(range(epochs), unit="epoch")
    for _ in bar:
        for picked in torch.randperm(spikes.shape[1]).split(batch):
            scores = model(spikes[:, picked])[SKIP:]
            loss = cross_entropy(scores.reshape(-1, SEGMENTS), labels[SKIP:, picked].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        history.append(accuracies(model, *test))
        bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{history[-1][0]:.4f}")
    return history


@torch.no_grad()
def draw(model: gc.Model, history: list[list[float]], path: Path) -> None:
    """Save one test recording as the network sees and labels it, the learned time constants, and the accuracies."""
    spikes, labels, _ = gc.data.ecg("test")
    run = model.run(spikes[:, :1].contiguous(), record=["hid.spike"])
    figure, axes = plt.subplot_mosaic("AAABBB;CCDDEE", figsize=(12, 7), layout="constrained")
    axes["A"].scatter(*spikes[:, 0].nonzero().T, s=20, color="k", marker="|", lw=0.5)
    axes["A"].set(title="input: level crossings", xlabel="step", ylabel="channel", yticks=range(4))
    axes["B"].scatter(*run.records["hid.spike"][:, 0].nonzero().T, s=1, color="k", lw=0)
    axes["B"].set(title="hidden layer", xlabel="step", ylabel="neuron")
    read = run.output[:, 0].argmax(-1)
    axes["C"].imshow(torch.stack([labels[:, 0], read]), aspect="auto", cmap="Set2", interpolation="nearest")
    axes["C"].set(title="segments of the wave", yticks=[0, 1], yticklabels=["expert", "network"], xlabel="step")
    axes["D"].plot(history, label=["all steps", "labelled steps"])
    axes["D"].set(title="test accuracy", xlabel="epoch", ylim=(0.3, 0.9))
    axes["D"].legend(loc="lower right", frameon=False)
    axes["E"].scatter(model.hid.log_tau_mem.exp(), model.hid.log_tau_adapt.exp(), s=12, color="k")
    axes["E"].set(title="learned time constants", xscale="log", yscale="log", xlabel="tau_mem (ms)")
    axes["E"].set_ylabel("tau_adapt (ms)")
    axes["E"].xaxis.set_minor_formatter("")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train and report both conventions."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=150)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    try:
        gc.data.folder("ecg_qtdb")
    except gc.GraphcError as error:
        sys.exit(str(error))
    torch.manual_seed(options.seed)
    model = gc.compile(net, learn="bptt", target="c")
    started = time.perf_counter()
    history = train(model, options.epochs)
    print(f"trained in {time.perf_counter() - started:.0f} s, seed {options.seed}")
    draw(model, history, OUT / "ecg.png")
    print(f"figure: {OUT / 'ecg.png'}")
    print(f"test accuracy {history[-1][0]:.4f}, over labelled steps alone {history[-1][1]:.4f}")


if __name__ == "__main__":
    main()
