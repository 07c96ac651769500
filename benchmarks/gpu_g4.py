"""g4: block-diagonal online learning of the network of c3 over 1000 steps, in chunks of 1, 32 and all steps."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

import graphc as gc
from benchmarks.c3 import make_network
from benchmarks.gpu_device import median, peak_bytes
from benchmarks.gpu_predict import COPY_GB_S
from benchmarks.gpu_suite import Bench, Job
from benchmarks.peers.worker import Run
from benchmarks.report import Row
from benchmarks.works import C3, Work
from graphc.runtime.trace_triton import TILE

STEPS, BATCH, CHUNK, RATE = 1000, 128, 32, 0.05
TARGET = "10x faster than K = 1; memory independent of T"
SLACK = 1.2  # of memory, with twice the steps


def make_work() -> Work:
    """Return the work."""
    title = f"online learning 700-256r-20, ALIF, T={STEPS} B={BATCH}, traces every {CHUNK} steps"
    return Work("g4", title, STEPS, BATCH, C3.neurons, inputs=C3.inputs, outputs=C3.outputs)


def training(learn: Any, steps: int) -> tuple[gc.Model, Run]:
    """Return a model and one training call without the optimiser."""
    torch.manual_seed(0)  # of the weights: every chunk learns the same network
    model = gc.compile(make_network(C3), learn=learn, target="triton").to("cuda")
    draw = torch.Generator("cuda").manual_seed(0)
    x = (torch.rand(steps, BATCH, C3.inputs, device="cuda", generator=draw) < RATE).float()
    weight = torch.randn(steps, BATCH, C3.outputs, device="cuda", generator=draw)

    def run() -> None:
        model.zero_grad()
        torch.autograd.backward((model(x) * weight).sum())

    return model, run


def run(work: Work, bench: Bench) -> Row:
    """Check that K changes no gradient, then time it and measure memory."""
    del bench
    grads, times = {}, {}
    for name, chunk in (("all", "all"), ("32", CHUNK), ("1", 1)):
        model, call = training(gc.learn.BlockDiagonal(chunk=chunk), STEPS)  # type: ignore[arg-type]
        call()
        grads[name] = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        times[name] = median(call, 1 if name == "1" else 3)
    apart = max(
        float((a - b).norm() / b.norm()) for n in ("32", "1") for a, b in zip(grads[n], grads["all"], strict=True)
    )
    if apart > 1e-3:
        raise AssertionError(f"gradients of chunks differ by {apart:.1e}")
    bytes_at = {t: peak_bytes(training(gc.learn.BlockDiagonal(chunk=CHUNK), t)[1]) for t in (STEPS, 2 * STEPS)}
    outer = 4 * BATCH * STEPS * (C3.outputs + C3.outputs)  # outputs and their gradients, which are the caller's
    grown = (bytes_at[2 * STEPS] - outer) / bytes_at[STEPS]
    _, bptt = training("bptt", STEPS)
    ratio = times["1"] / times["32"]
    row = Row("g4", work.title, times["32"], 0.0, TARGET, ratio >= 10 and grown <= SLACK, ratio)
    row.notes = {
        "K = 1 ms": times["1"],
        "K = T ms": times["all"],
        "BPTT ms": median(bptt, 3),
        "gradients apart": apart,
        "bytes at once": bytes_at[STEPS],
        "bytes at once, twice the steps": bytes_at[2 * STEPS],
        "BrainTrace": "not installed",
    }
    return row


def predict() -> list[str]:
    """Return what is known without a GPU: the bytes of traces, and the least time of a step."""
    sources, states = C3.inputs + C3.neurons, 3  # v, b and the readout's filter, each per synapse
    traces = 4 * BATCH * sources * C3.neurons * states
    step = 2 * traces / COPY_GB_S / 1e3
    programs = math.ceil(sources / TILE["J"]) * math.ceil(C3.neurons / TILE["I"])
    flops = 2 * BATCH * sources * C3.neurons * (states + 1)
    return [
        f"traces take {traces:,} bytes; read and written {step:.0f} us, per step of a chunk {step / CHUNK:.1f} us",
        f"{flops:,} operations of products per step, {programs} programs",
    ]


def jobs() -> list[Job]:
    """Return the row."""
    work = make_work()
    return [Job("g4", work.title, TARGET, partial(run, work), predict)]
