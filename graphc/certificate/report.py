"""Everything that `graphc verify` checks of a network, one certificate after the other."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphc.ir.errors import GraphcWarning, NonFiniteError
from graphc.network import Network

from .compare import certify
from .convergence import check_convergence
from .declared import check_declared
from .derivative import check_derivative
from .learning import check_learning
from .recorded import record
from .reference import SEED, Call, Traces, batch_of, few_threads, observed, run_reference, spiking
from .table import Certificate, Row
from .targets import Available

if TYPE_CHECKING:
    import torch

    from graphc.runtime import Model

SOME = 20  # steps after half of the neurons that spike have done so
INTERPRETED = 200  # steps of Triton's interpreter, the last ones


@dataclass(frozen=True)
class Asked:
    """What is verified, and on what.

    Attributes:
        network: the network.
        learn: what gc.compile takes.
        dtype: of targets but the reference, which is in float64.
        precision: of target "triton".
        inputs: (T, B, N) by name, None for a network without inputs.
        steps: T where there are no inputs.
        batch: B where there are no inputs.
        shorten: let only as many steps run as make the populations spike.
        seed: of weights.
    """

    network: Network
    learn: Any
    dtype: Any
    precision: str
    inputs: dict[str, Any] | None
    steps: int
    batch: int
    shorten: bool
    seed: int


def verify(asked: Asked, targets: Sequence[Available], tell: Callable[[str], None]) -> Iterator[Certificate]:
    """Yield the certificates, first those of the model itself, in the order in which a model is made.

    Args:
        asked: what is verified, and on what.
        targets: what to compare with the reference.
        tell: told what goes on.
    """
    import torch

    tell("compiling")
    learn = "bptt" if asked.learn is not None else None
    model = _compiled(asked, "reference", torch.float32, learn).to(torch.float64)  # weights of both dtypes
    tell("running the reference")
    steps, inputs = _length(asked, model, targets)
    samples = batch_of(inputs) if inputs else asked.batch
    drawn = model.initial_state(samples) if model._program.draws else None
    call = Call(inputs, drawn, steps, samples)
    with few_threads(asked.network, samples):
        yield from _of_model(asked, model, call, steps, samples, tell)
    shared: dict[str, Traces] = {}
    for target in targets:
        tell(f"target {target.name}")
        with few_threads(asked.network, samples) if target.name == "reference" else nullcontext():
            yield _compared(asked, target, model, call, shared)


def _of_model(
    asked: Asked, model: Model, call: Call, steps: int, samples: int, tell: Callable[[str], None]
) -> Iterator[Certificate]:
    """Yield the certificates of the model itself."""
    run = record(model, call, steps, samples)
    tell("declared equations")
    yield check_declared(run)
    tell("convergence in dt")
    yield check_convergence(run)
    if asked.learn is not None:
        tell("derivative")
        yield check_derivative(run)
        tell("learning rules")
        yield check_learning(run)


def _compiled(asked: Asked, target: str, dtype: Any, learn: Any, precision: str | None = None) -> Model:
    import torch

    from graphc.compile import compile

    torch.manual_seed(asked.seed)
    return compile(asked.network, learn=learn, target=target, dtype=dtype, precision=precision)


def _length(asked: Asked, model: Model, targets: Sequence[Available]) -> tuple[int, Any]:
    """Return T and the inputs: as asked for, or the first steps, up to where populations have come to spike."""
    import torch

    names = spiking(asked.network)
    given = {n: x.to(torch.float64) for n, x in asked.inputs.items()} if asked.inputs else None
    if not asked.shorten:
        return (next(iter(given.values())).shape[0] if given else asked.steps), given
    probe = model
    if any(t.name == "c" for t in targets):
        probe = _compiled(asked, "c", torch.float32, None)
    inputs = {n: x.to(probe.dtype) for n, x in given.items()} if given else None
    with torch.no_grad():
        run = probe.run(
            inputs,
            record=[f"{n}.spike" for n in names],
            seed=SEED,
            steps=None if given else asked.steps,
            batch_size=None if given else asked.batch,
        )
    enough = min(100, asked.steps)
    for z in (x > 0 for x in run.records.values()):
        ever = z.any(dim=0)
        if ever.any():
            first = z.to(torch.int8).argmax(dim=0)[ever]
            enough = max(enough, int(first.double().quantile(0.5)) + SOME)
    steps = min(enough, asked.steps)
    return steps, {n: x[:steps] for n, x in given.items()} if given else None


def _compared(asked: Asked, target: Available, base: Model, call: Call, shared: dict[str, Traces]) -> Certificate:
    """Return the certificate of one target, with the parameters of `base`; targets share a run of the reference."""
    import torch

    exact = target.name == "reference"
    precision = asked.precision if target.name == "triton" else None
    model = _compiled(asked, target.name, torch.float64 if exact else asked.dtype, asked.learn, precision)
    model.load_state_dict(base.state_dict(), strict=False)  # what online rules have beside them stays as drawn
    compiler: Any = model._compiler
    if target.interpreted:
        call = _last_steps(base, call, INTERPRETED)
    inputs, length, batch = call.inputs, call.steps or 0, call.batch or 1
    if (reference := shared.get(str(length))) is None:
        twin = copy.deepcopy(model).to(torch.float64)
        records = observed(asked.network)
        reference = run_reference(twin, compiler, Call(inputs, call.state, length, batch), records, length, batch)
        shared[str(length)] = reference
    model = model.to(target.device)
    given = {n: x.to(target.device, model.io_dtype) for n, x in inputs.items()} if inputs else None
    state = {n: _moved(x, target.device, model.dtype) for n, x in call.state.items()} if call.state else None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("default", category=GraphcWarning)
            return certify(
                model,
                compiler,
                given,
                None if given else length,
                None if given else batch,
                called=not exact,
                state=state,
                reference=reference,
            )
    except NonFiniteError as error:
        row = Row(target.name, "values", error.message, ok=False)
        return Certificate(f"target {target.name} against the reference in float64", (row,), error.message)


def _last_steps(model: Model, call: Call, steps: int) -> Call:
    """Return the call of the last `steps` steps of `call`, from the state that the reference reaches before them."""
    import torch

    first = (call.steps or 0) - steps
    if first <= 0:
        return call
    before = {n: x[:first] for n, x in call.inputs.items()} if call.inputs else None
    run = record(model, replace(call, inputs=before, steps=first), first, call.batch or 1)
    state = {n: torch.as_tensor(x) for n, x in run.last.items()} | {"t": torch.tensor(first)}
    inputs = {n: x[first:] for n, x in call.inputs.items()} if call.inputs else None
    return Call(inputs, state, steps, call.batch)


def _moved(x: torch.Tensor, device: str, dtype: torch.dtype) -> torch.Tensor:
    return x.detach().to(device, dtype if x.is_floating_point() else x.dtype)
