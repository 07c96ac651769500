"""Agreement of learning rules where theory says that they agree, in float64 on the reference target.

P1: without recurrence and with one hidden layer, traces within each neuron give the whole gradient. P2: with recurrence
they give the gradient of the network in which what a neuron hears of earlier steps is a constant. P7: the traces of
real-time recurrent learning give the whole gradient of any network.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.connectivity import OneToOne
from graphc.delay import Taps
from graphc.ir import DeclarationError, TargetError
from graphc.ir.functions import detach
from graphc.learn import BPTT, RTRL, BlockDiagonal, Learning
from graphc.lower import lower
from graphc.network import Network
from graphc.passes import Request, Rule
from graphc.passes.discretize import Discretize
from graphc.passes.localize import Localize
from graphc.symbols import Signal

from .recorded import Recorded
from .reference import SEED, shown
from .table import Certificate, Row, not_applicable

if TYPE_CHECKING:
    import torch

    Gradients = Mapping[str, torch.Tensor]

STEPS, CHUNK = 16, 5  # the last chunk is shorter
FULL = 6  # steps, of one sample, with all traces
CLOSE = 1e-9  # float64, relative to the largest entry of a gradient
LARGEST = 1 << 19  # traces per sample of real-time recurrent learning
PAST = "of another neuron's past"


def check_learning(run: Recorded) -> Certificate:
    """Compare the gradients of online rules with those of backpropagation."""
    title = f"learning rules on target reference in float64, over {min(STEPS, run.steps)} steps in chunks of {CHUNK}"
    network = run.network
    if any(c.rule is not None for c in network.connections.values()):
        return Certificate(
            title, (not_applicable("every rule", "rules", "a learning rule changes synapses in the run"),)
        )
    try:
        whole = _gradients(run, network, BPTT())
        if not whole:
            return Certificate(title, (not_applicable("every rule", "rules", "nothing is learned"),))
        rows = [*_local(run, whole), *_full(run)]
    except (DeclarationError, TargetError) as error:
        rows = [not_applicable("every rule", "rules", error.message)]
    return Certificate(title, tuple(rows))


def _local(run: Recorded, whole: Gradients) -> list[Row]:
    """Return the rows of P1 and P2."""
    dropped = _dropped(run.network)
    first = "P1 block-diagonal = BPTT"
    second = "P2 block-diagonal = BPTT, pasts detached"
    try:
        found = _gradients(run, run.network, BlockDiagonal(chunk=CHUNK))
    except (DeclarationError, TargetError) as error:
        return [not_applicable("every parameter", what, error.message) for what in (first, second)]
    if not dropped:
        none = not_applicable("every parameter", second, "nothing is heard of earlier steps, see P1")
        return [*_rows(first, found, whole), none]
    rows = [not_applicable("every parameter", first, dropped[0])]
    other = [line for line in dropped if PAST not in line]
    cut = _cut(run.network)
    if other or cut is None:
        return [
            *rows,
            not_applicable("every parameter", second, other[0] if other else "delays per synapse, some of 0"),
        ]
    return [*rows, *_rows(second, found, _gradients(run, cut, BPTT()))]


def _full(run: Recorded) -> list[Row]:
    """Return the rows of P7."""
    what = "P7 RTRL = BPTT"
    states = sum(p.size * len(p.neuron.states) for p in run.network.populations.values())
    weights = sum(x.numel() for x in run.stored.values())
    if states * weights > LARGEST:
        return [not_applicable("every parameter", what, f"{states * weights} traces per sample are too many")]
    try:
        whole, found = (_gradients(run, run.network, k, FULL, 1) for k in (BPTT(), RTRL(chunk=CHUNK)))
        return _rows(what, found, whole)
    except (DeclarationError, TargetError) as error:
        return [not_applicable("every parameter", what, error.message)]


def _rows(what: str, found: Gradients, wanted: Gradients) -> list[Row]:
    rows = []
    for key, g in wanted.items():
        name, scale, apart = shown(key), float(g.abs().max()), float((found[key] - g).abs().max())
        if scale == 0 and apart == 0:
            rows.append(not_applicable(name, what, "it does not act on the outputs within these steps"))
            continue
        text = f"differs by {apart:.1e}, largest {scale:.1e}"
        rows.append(Row(name, what, text, apart <= CLOSE * scale))
    return rows


def _dropped(network: Network) -> list[str]:
    """Return what block-diagonal traces leave out, in words."""
    program = Localize(Request(rule=Rule("diagonal"))).run(Discretize().run(lower(network)))
    lines = [line for about, line in program.notes if about == "learning"]
    return [line for line in lines if line.startswith("dropped")]


def _cut(network: Network) -> Network | None:
    """Return the network in which what connections hear of earlier steps is constant, None where that has no form."""
    cut = copy.copy(network)
    cut.connections = dict(network.connections)
    for name, c in network.connections.items():
        if isinstance(c.delay, Taps):
            return None
        delays = np.asarray(c.delay)
        if c.pre not in network.populations or delays.max() == 0 or isinstance(c.connectivity, OneToOne):
            continue  # joined one to one, two neurons count as one
        if delays.min() == 0:
            return None
        stopped = {s: detach(s) for e in c.transmit.values() for s in e.atoms(Signal) if s.side == "pre"}
        transmit = {goal: e.xreplace(stopped) for goal, e in c.transmit.items()}
        cut.connections[name] = replace(c, transmit=transmit)
    return cut


def _gradients(
    run: Recorded, network: Network, learning: Learning, most: int = STEPS, samples: int | None = None
) -> dict[str, torch.Tensor]:
    """Return the gradients of a random weighting of the outputs, from the last state of the run on."""
    import torch

    from graphc.compile import compile

    model = compile(network, learn=learning, target="reference", dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in (*model.named_parameters(), *model.named_buffers()):
            if name in run.stored:
                parameter.copy_(run.stored[name])
    steps, batch = min(most, run.steps), samples or next(iter(run.records.values())).shape[1]
    inputs: Any = {n: torch.as_tensor(x[:steps, :batch].copy()) for n, x in run.inputs.items()}
    state = model.initial_state(batch)
    for tensor in (t for t in model._program.states if t.name in run.last):
        last = torch.as_tensor(run.last[tensor.name])
        last = last[:, :batch] if tensor.depth is not None else last[:batch]
        state[tensor.name] = last.to(state[tensor.name].dtype)
    state["t"] = torch.tensor(run.steps)
    if len(inputs) == 1:
        (inputs,) = inputs.values()
    sizes: dict[str, Any] = {} if run.inputs else {"steps": steps, "batch_size": batch}
    done = model.run(inputs if run.inputs else None, state=state, seed=SEED, **sizes)
    outputs = done.output.values() if isinstance(done.output, dict) else (done.output,)
    loss = torch.zeros((), dtype=torch.float64)
    for number, y in enumerate(outputs):
        weights = torch.rand(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(number)) - 0.25
        loss = loss + (weights * y).sum()
    named = {n: p for n, p in model.named_parameters() if p.requires_grad and not n.endswith(".feedback")}
    if not named or not loss.requires_grad:
        return {}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}
