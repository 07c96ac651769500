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
from ecg import DATA, OUT, SEGMENTS, SKIP, accuracies, load, net
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import graphc as gc

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CHUNK = 50  # steps from one learning signal to the next
LENGTHS = (100, 200, 500, 1000, 2000, 5000)
Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def stream(model: gc.Model, spikes: torch.Tensor, labels: torch.Tensor, chunk: int, skip: int = SKIP) -> float:
    """Let `model` see (T, B, 4) in chunks and add up the gradients of each; return the mean loss per step.

    Between chunks the state goes on, and in it the traces. No step that is over is kept.
    """
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


def peak(model: gc.Model, steps: int, chunk: int, data: Data) -> float:
    """Return the most MB allocated at once while 32 recordings of `steps` steps are learned, the data apart."""
    spikes, labels, _ = data
    repeats = -(-steps // len(spikes))
    spikes, labels = spikes[:, :32].repeat(repeats, 1, 1)[:steps], labels[:, :32].repeat(repeats, 1)[:steps]
    stream(model, spikes[:chunk, :1], labels[:chunk, :1], chunk, skip=0)  # builds; memory for one sample
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        stream(model, spikes, labels, chunk, skip=0)
    most = now = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most / 1e6
