"""What a call computes before its kernels: coefficients in float64 and the initial state, kept while they are valid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from graphc.ir import Graph, Program, initial
from graphc.ir.interpret import Mode, run_once

Tensors = dict[str, torch.Tensor]
_COMPARED = 1 << 16  # elements up to which comparing the parameters is cheaper than computing the coefficients again


class Prologue:
    """Computes the coefficients of one program; those of the last call are used again while what they read is equal.

    Parameters are compared by value: versions and identities miss an assignment through `.data`. On a GPU a comparison
    would wait for the device, so there every call computes; its backward half is handed what its forward half computed.
    """

    def __init__(self, program: Program, wrt: frozenset[str], dtype: torch.dtype, device: torch.device) -> None:
        self._program, self._dtype, self._device = program, dtype, device
        graphs = [program.initial, *(r.graph for r in program.regions if r.kind == "once" and not r.backward)]
        self.reads = sorted({i.source for g in graphs for i in g.inputs} & {p.name for p in program.parameters})
        self._wrt = wrt.intersection(self.reads)
        self._last: Coefficients | None = None

    def __call__(self, parameters: Mapping[str, torch.Tensor]) -> Coefficients:
        """Return the coefficients for the values of `parameters`."""
        read = [parameters[name] for name in self.reads]
        last = self._last
        if last is not None and all(map(torch.equal, read, last.read)):
            return last
        with torch.inference_mode(False):  # else the first call under inference_mode would leave tensors without use
            found = self._compute([t.detach().clone() for t in read])
        if self._device.type == "cpu" and sum(t.numel() for t in read) <= _COMPARED:
            self._last = found
        return found

    def _compute(self, read: Sequence[torch.Tensor]) -> Coefficients:
        with recording() if self._wrt else torch.no_grad(), self._device:
            leaves = {
                name: tensor.requires_grad_(name in self._wrt) for name, tensor in zip(self.reads, read, strict=True)
            }
            env: Tensors = dict(leaves)
            for region in self._program.regions:
                if region.kind == "once" and not region.backward:
                    run_once(region.graph, env, Mode(torch.float64), self._program.sizes)
        sources = {name: tensor for name, tensor in env.items() if name not in leaves}
        given = {name: t.detach().to(self._dtype).contiguous() for name, t in sources.items()}
        return Coefficients(self._program, self._dtype, self._device, tuple(read), leaves, sources, given)


@dataclass
class Coefficients:
    """The results of one prologue.

    Attributes:
        read: the values of the parameters that it read.
        leaves: the same by name; those whose gradient is wanted require it.
        sources: the coefficients in float64, differentiable in the leaves.
        given: the coefficients in the state dtype.
    """

    program: Program
    dtype: torch.dtype
    device: torch.device
    read: tuple[torch.Tensor, ...]
    leaves: Tensors
    sources: Tensors
    given: Tensors
    _states: tuple[int, Tensors, Tensors] | None = field(default=None, repr=False)

    def initial(self, batch: int) -> Tensors:
        """Return the initial states, in the state dtype; read only."""
        return self._initial(batch)[2]

    def initial_sources(self, batch: int) -> Tensors:
        """Return the initial states, differentiable in the leaves."""
        return self._initial(batch)[1]

    def _initial(self, batch: int) -> tuple[int, Tensors, Tensors]:
        states = self._states
        if states is None or states[0] != batch:
            with torch.inference_mode(False), recording():
                sources = initial_state(self.program, self.leaves, {}, batch, self.dtype, self.device)
            self._states = states = (batch, sources, {name: t.detach() for name, t in sources.items()})
        return states


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Let torch record gradients inside an operator, below which its dispatcher has switched them off."""
    key = torch._C.DispatchKey
    with contextlib.ExitStack() as stack:
        for layer in (key.AutogradFunctionality, key.AutogradOther, key.ADInplaceOrView):
            stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(layer, False))
        stack.enter_context(torch.enable_grad())
        yield


def initial_state(
    program: Program,
    parameters: Mapping[str, torch.Tensor],
    draws: Mapping[str, torch.Tensor],
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensors:
    """Return every state by the name of its initial tensor, (B, N), or (depth, B, N) for a history."""
    env: Tensors = {**parameters, **draws}
    graph: Graph = program.initial
    with device:  # numbers that no parameter stands beside
        run_once(graph, env, Mode(torch.float64))
    written = {o.name for o in graph.outputs}
    states: Tensors = {}
    for tensor in program.states:
        shape = (batch, *(program.sizes[a] for a in tensor.type.axes))
        full = shape if tensor.depth is None else (tensor.depth, *shape)
        kind = torch.int32 if tensor.type.dtype == "int" else dtype
        name = initial(tensor.name)
        if name in written:
            states[name] = env[name].to(kind).to(device).expand(full).contiguous()
        else:
            states[name] = torch.zeros(full, dtype=kind, device=device)
    return states
