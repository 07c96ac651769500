"""The two runs that are compared: a target's, and the interpreter's of the discretised program in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphc.ir import Output, Program, Spike, initial
from graphc.lower import evaluation_order, lower
from graphc.network import Network, Population
from graphc.passes import Request, pipeline
from graphc.passes.localize import STAYS, Localize

if TYPE_CHECKING:
    import torch

    from graphc.compile import NetworkCompiler
    from graphc.runtime import Model

CONDITION = "@condition"
SEED = 0  # of noise, in every run that is compared with another
SMALL = 1 << 22  # products of a step, below which one thread is faster than several


@dataclass(frozen=True)
class Traces:
    """What one run gave: sequences (T, B, N) by name, and the parameters and inputs they depend on."""

    sequences: dict[str, torch.Tensor]
    leaves: dict[str, torch.Tensor]
    last: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Call:
    """One call of a model.

    Attributes:
        inputs: (T, B, N), or by name; nothing for a network without inputs.
        state: where it starts, None for the initial state of a network that draws none.
        steps: T.
        batch: B.
    """

    inputs: Any
    state: Any
    steps: int | None
    batch: int | None


def observed(network: Network) -> tuple[str, ...]:
    """Return what is recorded of every population, in the order in which a step computes it."""
    return tuple(f"{name}.{signal}" for name in evaluation_order(network) for signal in _of(network.populations[name]))


def _of(population: Population) -> list[str]:
    neuron = population.neuron
    before = [f"{s.name}@threshold" if s in neuron.reset else s.name for s in neuron.states]
    after = [s.name for s in neuron.states if s in neuron.reset]
    return [i.name for i in neuron.inputs] + before + ["spike"] * (neuron.spike is not None) + after


def spiking(network: Network) -> list[str]:
    """Return the populations that spike, in the order in which a step computes them."""
    return [n for n in evaluation_order(network) if network.populations[n].neuron.spike is not None]


@contextmanager
def few_threads(network: Network, batch: int) -> Iterator[None]:
    """Let torch use one thread where steps are small: the interpreter would wait for a second one at every product."""
    import torch

    before = torch.get_num_threads()
    pairs = max((c.source.size * c.sink.size for c in network.connections.values()), default=0)
    torch.set_num_threads(1 if pairs * batch < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batch_of(inputs: Any) -> int:
    """Return B."""
    if inputs is None:
        return 1
    first = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
    return int(first.shape[1])


def by_name(model: Model, inputs: Any) -> dict[str, torch.Tensor]:
    """Return inputs by name."""
    if inputs is None:
        return {}
    if isinstance(inputs, dict):
        return dict(inputs)
    (tensor,) = model._program.inputs
    return {tensor.name: inputs}


def run_target(model: Model, call: Call, records: Sequence[str]) -> Traces:
    """Run `model`; what learning rules write into its parameters is taken back."""
    given = _leaves(call.inputs)
    kept = [(t, t.detach().clone(), t.grad) for t in (*model.parameters(), *model.buffers())]
    run = model.run(given, record=records, state=call.state, seed=SEED, steps=call.steps, batch_size=call.batch)
    for tensor, value, gradient in kept:
        tensor.data.copy_(value)
        tensor.grad = gradient
    return Traces({**run.records, **_outputs(model, run.output, run.records)}, _all_leaves(model, given), run.state)


def call_target(model: Model, call: Call) -> Traces:
    """Call `model` as training does: no records, no final state."""
    given = _leaves(call.inputs)
    if call.state is not None:
        run = model.run(given, state=call.state, seed=SEED, steps=call.steps, batch_size=call.batch)
        return Traces(_outputs(model, run.output, {}), _all_leaves(model, given), run.state)
    output = model(given, steps=call.steps, batch_size=call.batch, seed=SEED)
    return Traces(_outputs(model, output, {}), _all_leaves(model, given), {})


def _outputs(model: Model, output: Any, records: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from graphc.runtime.shaped import outputs_by_part

    return {n: y for n, y in outputs_by_part(model._program, output).items() if n not in records}


def _leaves(inputs: Any) -> Any:
    if inputs is None:
        return None
    if isinstance(inputs, dict):
        return {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
    return inputs.detach().clone().requires_grad_()


def _all_leaves(model: Model, given: Any) -> dict[str, torch.Tensor]:
    inputs = by_name(model, given) if _whole(model) else {}
    return {shown(n): p for n, p in model.named_parameters() if p.requires_grad} | inputs


def shown(parameter: str) -> str:
    """Return the name that the user knows of a parameter that torch keeps under another one for its bounds."""
    return parameter.replace(".parametrizations.", ".").removesuffix(".original")


def _whole(model: Model) -> bool:
    """Whether gradients go everywhere; a local rule's gradient of an input is that of its own step."""
    rule = model._options.rule
    return rule is None or not rule.local


def run_reference(
    model: Model,
    compiler: NetworkCompiler,
    call: Call,
    records: Sequence[str],
    steps: int,
    batch: int,
    dtype: torch.dtype | None = None,
) -> Traces:
    """Interpret the discretised program on the CPU, in float64 by default, with torch autograd for the gradients."""
    import torch

    from graphc.ir.interpret import Mode, interpret
    from graphc.runtime.parameters import read_parameters
    from graphc.runtime.shaped import outputs_by_part

    request = Request(rule=model._options.rule)
    program = pipeline(request)[0].run(lower(compiler.network, tuple(records)))
    program = _with_conditions(Localize(request).run(program), spiking(compiler.network))
    dtype = dtype or torch.float64
    twin = copy.deepcopy(model).to(device="cpu", dtype=dtype)
    parameters = dict(zip((p.name for p in program.parameters), read_parameters(twin, program), strict=True))
    given = {n: x.detach().to("cpu", dtype).requires_grad_() for n, x in by_name(model, call.inputs).items()}
    env = {**parameters, **given, "@t": first_step(call.state), "@T": torch.tensor(steps), "@B": torch.tensor(batch)}
    env["@seed"] = torch.tensor(SEED)
    env |= start_of(program, parameters, call.state, batch)
    with few_threads(compiler.network, batch):
        done = interpret(program, env, Mode(dtype))
    names = {o.name for r in program.regions for o in r.graph.outputs}
    if any(STAYS in line for about, line in program.notes if about == "learning"):
        # What stays in a population over time but goes on within a step is no autograd graph: the reference target's.
        twin._target = "reference"
        named = given if len(given) > 1 else next(iter(given.values()), None)
        run = twin.run(named, record=tuple(records), state=call.state, seed=SEED, steps=steps, batch_size=batch)
        done |= run.records | outputs_by_part(twin._program, run.output)
    leaves: dict[str, torch.Tensor] = {shown(n): p for n, p in twin.named_parameters() if p.requires_grad}
    leaves |= given if _whole(model) else {}
    last = {n.removesuffix("@final"): x for n, x in done.items() if n.endswith("@final")}
    return Traces({n: done[n] for n in names}, leaves, last)


def first_step(state: Any) -> torch.Tensor:
    """Return the number of the step that a state stands before."""
    import torch

    return torch.as_tensor(0 if state is None else state["t"])


def start_of(program: Program, parameters: dict[str, torch.Tensor], state: Any, batch: int) -> dict[str, torch.Tensor]:
    """Return the tensors of the initial state: `state`, or what the parameters make of it."""
    import torch

    from graphc.ir.interpret import Mode, run_once

    if state is None:
        start = dict(parameters)
        run_once(program.initial, start, Mode())
    else:
        start = {initial(n): value for n, value in state.items()}
    found = {}
    for tensor in program.states:
        lead = (batch,) if tensor.depth is None else (tensor.depth, batch)
        shape = (*lead, *(program.sizes[a] for a in tensor.type.axes))
        value = start.get(initial(tensor.name), torch.zeros(()))
        found[initial(tensor.name)] = value.to("cpu", torch.float64).expand(shape)
    return found


def _with_conditions(program: Program, populations: Sequence[str]) -> Program:
    """Return `program` with the spike condition of every population among its outputs."""
    (region,) = program.regions
    graph = region.graph
    definition = graph.definition()
    found = []
    for output in graph.outputs:
        node = definition.get(output.value)
        if output.name.removesuffix(".spike") in populations and isinstance(node, Spike):
            found.append(Output(output.name + CONDITION, node.operands[0], "sequence"))
    return program.with_regions([replace(region, graph=replace(graph, outputs=graph.outputs + tuple(found)))])
