"""Label an electrocardiogram step by step while learning from it step by step: eligibility traces instead of a tape.

Run ``python examples/ecg_online.py``. The network and the data are those of ecg.py. Backpropagation sees a whole
recording before it changes a weight; block-diagonal traces learn from the recording as it comes in, in pieces of
`CHUNK` steps, in memory that does not depend on how long it goes on.
"""

import argparse
import sys
import time
from pathlib import Path

import matplotlib
import torch
from ecg import OUT, SKIP, accuracies, net
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CHUNK = 100  # steps from one learning signal to the next
LENGTHS = (100, 200, 500, 1000, 2000, 5000)
Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def stream(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor, chunk: int, skip: int = SKIP) -> float:
    """Let `model` see (T, B, 4) in chunks and add up the gradients of each; return the mean loss per step.

    Between chunks the state goes on, and in it the traces. No step that is over is kept. A chunk of 0 is all at once,
    which has the same gradient and needs no traces.
    """
    if not chunk:
        loss = cross_entropy(model(spikes)[skip:].flatten(0, 1), labels[skip:].flatten())
        loss.backward()
        return loss.item()
    state = model.initial_state(spikes.shape[1])
    total = 0.0
    for first in range(0, len(spikes), chunk):
        run = model.run(spikes[first : first + chunk], state=state)
        scores = run.output[max(skip - first, 0) :]
        wanted = labels[first + len(run.output) - len(scores) : first + chunk]
        loss = cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="sum")
        loss = loss / labels[skip:].numel()
        loss.backward()
        total += loss.item()
        state = run.state
    return total


def train(model: gc.Model, data: Data, test: Data, chunk: int, epochs: int, seed: int, name: str) -> list[list[float]]:
    """Train `model` as ecg.py does, the gradients found in chunks; return both test accuracies after every epoch."""
    spikes, labels, _ = data
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    batches = -(-spikes.shape[1] // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, epochs * batches, pct_start=0.1)
    history = []
    bar = tqdm(range(epochs), desc=name, unit="epoch")
    for _ in bar:
        for picked in torch.randperm(spikes.shape[1], generator=generator).split(32):
            optimizer.zero_grad()
            loss = stream(model, spikes[:, picked], labels[:, picked], chunk)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        history.append(accuracies(model, *test))
        bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{history[-1][0]:.4f}")
    return history


def peak(learn: gc.learn.Learning, steps: int, chunk: int, data: Data) -> float:
    """Return the most MB allocated at once while 32 recordings of `steps` steps are learned, the data apart."""
    model = gc.compile(net, learn=learn, target="c")  # its memory is fresh
    spikes, labels, _ = data
    repeats = -(-steps // len(spikes))
    spikes, labels = spikes[:, :32].repeat(repeats, 1, 1)[:steps], labels[:, :32].repeat(repeats, 1)[:steps]
    once = chunk or steps
    stream(model, spikes[:once, :1], labels[:once, :1], chunk, skip=0)  # builds; memory for one sample
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        stream(model, spikes, labels, chunk, skip=0)
    most = now = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most / 1e6


def draw(histories: dict[str, list[list[float]]], peaks: dict[str, list[float]], path: Path) -> None:
    """Save the accuracies of both ways of learning, and their memory over the length of the recordings."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for axis, which, title in ((axes[0], 0, "all steps"), (axes[1], 1, "labelled steps")):
        for name, history in histories.items():
            epochs = range(1, len(history) + 1)
            axis.plot(epochs, [accuracy[which] for accuracy in history], label=name)
        axis.set(title=f"test accuracy, {title}", xlabel="epoch", ylim=(0.3, 0.9))
    axes[0].legend(loc="lower right", frameon=False)
    for name, sizes in peaks.items():
        axes[2].plot(LENGTHS[: len(sizes)], sizes, "o-", ms=3, label=name)
    axes[2].set(title="memory while learning 32 recordings", xlabel="steps of each", ylabel="MB at once")
    axes[2].set(xscale="log", yscale="log")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train both ways from the same weights on the same batches, and report accuracies and memory."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--whole", action="store_true", help="no stream: the same gradients in a tenth of the time")
    options = arguments.parse_args()
    try:
        data, test = gc.data.ecg("train"), gc.data.ecg("test")
    except gc.GraphcError as error:
        sys.exit(str(error))
    online = (gc.learn.BlockDiagonal(chunk="all"), 0) if options.whole else (gc.learn.BlockDiagonal(), CHUNK)
    learners = {"BPTT": (gc.learn.BPTT(), 0), "online": online}
    histories, peaks = {}, {}
    for name, (learn, chunk) in learners.items():
        torch.manual_seed(options.seed)
        model = gc.compile(net, learn=learn, target="c")
        peaks[name] = [peak(learn, steps, chunk, data) for steps in LENGTHS]
        started = time.perf_counter()
        histories[name] = train(model, data, test, chunk, options.epochs, options.seed, name)
        print(f"{name}: {time.perf_counter() - started:.0f} s, seed {options.seed}, {options.epochs} epochs")
        told = ", ".join(f"{size:.1f}" for size in peaks[name])
        print(f"  MB at once for recordings of {', '.join(map(str, LENGTHS))} steps: {told}")
        reached = histories[name][-1]
        print(f"  test accuracy {reached[0]:.4f}, over labelled steps alone {reached[1]:.4f}")
    draw(histories, peaks, OUT / "ecg_online.png")
    print(f"figure: {OUT / 'ecg_online.png'}")


if __name__ == "__main__":
    main()
