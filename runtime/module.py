"""Model: a compiled network as a torch module."""

from __future__ import annotations

import copy
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from graphc.ir import GraphcError, Program, TargetError, initial
from graphc.passes import Request

from . import autograd, checkpoint, online
from .applied import apply_rules
from .arguments import (
    check_count,
    check_dtype,
    checked_inputs,
    checked_seed,
    checked_state,
    in_order,
    named_inputs,
    without_traces,
)
from .asked import Compiler
from .buffers import Arena
from .build import Build, Key, Options
from .parameters import add_parameters, check_parameters, draw, read_parameters
from .products import NARROW
from .prologue import initial_state
from .restored import restored
from .shaped import outputs_of, parts, records_of
from .synapses import SynapseControls
from .tuned import LOG, Size, size_of, tuned, with_options

State = dict[str, torch.Tensor]
_OWN = ("_serial", "_builds", "_calls", "_arena", "_last", "_lock")
_serial = itertools.count()
_models: weakref.WeakValueDictionary[int, Model] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Run:
    """What one run returned; tensors are differentiable.

    Attributes:
        output: (T, B, N), or by name when the network has several outputs; (T, B, N, M) for a state of M parts.
        records: likewise by name.
        state: the state after the last step, for the next call.
    """

    output: Any
    records: dict[str, torch.Tensor]
    state: State = field(repr=False)


class Model(SynapseControls):
    """A compiled network.

    Call it with spikes or currents (T, B, N); parameters are attributes of `model.<population>` and `model.<pre_post>`.
    """

    _like: torch.Tensor

    def __init__(
        self,
        compiler: Compiler,
        program: Program,
        target: str,
        dtype: torch.dtype,
        trainable: bool,
        options: Options = Options(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        check_dtype(dtype)
        self._compiler, self._program, self._target, self._trainable = compiler, program, target, trainable
        self._options = options
        self._start()
        add_parameters(self, program, dtype)
        self.register_buffer("_like", torch.empty(0, dtype=dtype), persistent=False)

    def _start(self) -> None:
        """Set up what belongs to this object alone, not to its value: builds, memory, and its number."""
        self._serial = next(_serial)
        self._builds: dict[Key, Build] = {}
        self._calls: dict[tuple[Any, ...], Build] = {}  # the same, by what a call knows without making a key
        self._arena = Arena()
        self._last: Key | None = None
        self._lock = threading.RLock()
        _models[self._serial] = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Return a model with parameters of its own; the declaration is shared, builds are not."""
        new: Model = Model.__new__(type(self))
        memo[id(self)] = new
        shared = {"_compiler": self._compiler, "_program": self._program}
        mine = {name: value for name, value in self.__dict__.items() if name not in _OWN and name not in shared}
        new.__dict__.update(shared | {name: copy.deepcopy(value, memo) for name, value in mine.items()})
        new._start()
        return new

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Return how to make the model again: from its declaration and its `state_dict`.

        Raises:
            GraphcError: a parametrization or pruning was added, which the declaration does not know.
        """
        state = self.state_dict()
        plain = Model(self._compiler, self._program, self._target, self.dtype, self._trainable, self._options)
        if state.keys() != plain.state_dict().keys():
            raise GraphcError(
                "a model with parametrizations or pruning of its own cannot be pickled",
                hint="save model.state_dict(), and add them again after gc.compile",
            )
        frozen = frozenset(name for name, p in self.named_parameters() if not p.requires_grad)
        arguments = (self._compiler, self._program, self._target, self.dtype, self._trainable, self._options)
        return restored, (Model, *arguments, state, frozen, self.training, self._like.device)

    @property
    def dtype(self) -> torch.dtype:
        """The state dtype: float32, or float64 after `model.double()`."""
        return self._like.dtype

    @property
    def io_dtype(self) -> torch.dtype:
        """The dtype of inputs, outputs and records, and of their gradients: narrow where the precision is."""
        return NARROW.get(self._options.precision, self.dtype)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Model:
        """Move or cast the model, as `to`, `double` and `half` ask; states have no dtype of half the width.

        Raises:
            TargetError: another dtype than float32 or float64.
        """
        check_dtype(fn(self._like).dtype)
        super()._apply(fn, recurse)
        return self

    def forward(
        self, inputs: Any = None, *, steps: int | None = None, batch_size: int | None = None, seed: int | None = None
    ) -> Any:
        """Return the outputs (T, B, N) for inputs (T, B, N); dicts by name where there are several. Seed: `run`."""
        outputs, _, _ = self._execute(inputs, (), None, seed, steps, batch_size, whole=False)
        return outputs

    def run(
        self,
        inputs: Any = None,
        *,
        record: Sequence[str] = (),
        state: Mapping[str, torch.Tensor] | None = None,
        seed: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
    ) -> Run:
        """Return outputs, records and the final state.

        Args:
            inputs: (T, B, N), or by name; nothing for a network without inputs.
            record: names such as "hid.v", "hid.spike", "hid.v@threshold".
            state: where to start, from an earlier run; the initial state by default.
            seed: of noise, which depends on it and the number of the step; one of torch's default generator without.
            steps: T, for a network without inputs.
            batch_size: B, for a network without inputs.

        Raises:
            DeclarationError: a record names nothing.
            GraphcError: an input has the wrong shape, dtype or device.
            NonFiniteError: a state became NaN or infinite.
        """
        if isinstance(record, str):
            raise GraphcError(f"record is the text {record!r}, no list of names", hint=f"record=[{record!r}]")
        outputs, records, last = self._execute(inputs, tuple(record), state, seed, steps, batch_size, whole=True)
        return Run(outputs, records, last)

    def step(
        self, inputs: Any = None, state: Mapping[str, torch.Tensor] | None = None, *, seed: int | None = None
    ) -> tuple[Any, State]:
        """Advance one step: inputs (B, N) and a state to outputs (B, N) and the next state; `seed` as in `run`."""
        if state is None:
            raise GraphcError("step needs a state", hint="start with state = model.initial_state(batch_size=...)")
        named = named_inputs(self._program, inputs)
        for name, x in named.items():
            if isinstance(x, torch.Tensor) and x.dim() != 2:
                raise GraphcError(f"input '{name}' has shape {tuple(x.shape)}, but a step takes (B, N)")
        lead = {name: x.unsqueeze(0) if isinstance(x, torch.Tensor) else x for name, x in named.items()}
        batch = next((int(v.shape[-t]) for v, t in self._batch_axes(state)), None)
        outputs, _, last = self._execute(lead or None, (), state, seed, 1, batch, whole=True)
        return ({k: v[0] for k, v in outputs.items()} if isinstance(outputs, dict) else outputs[0]), last

    def _batch_axes(self, state: Mapping[str, torch.Tensor]) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield the given states with the distance of their batch axis from the end."""
        for tensor in self._program.states:
            if tensor.name in state:
                yield state[tensor.name], 1 + len(tensor.type.axes)

    def initial_state(self, batch_size: int = 1) -> State:
        """Return the state before step 0: name -> (B, N), histories (depth, B, N) oldest first, and "t"."""
        check_count("batch_size", batch_size)
        program, sizes = self._program, self._program.sizes
        parameters = dict(zip((p.name for p in program.parameters), read_parameters(self, program), strict=True))
        draws = {p.name: draw(p, sizes, torch.float64, batch_size).to(self._like.device) for p in program.draws}
        state = initial_state(program, parameters, draws, batch_size, self.dtype, self._like.device)
        found = {t.name: state[initial(t.name)] for t in program.states}
        if self._options.rule is not None:  # a stream hands no gradient from call to call, nor into its first
            found = {name: tensor.detach() for name, tensor in found.items()}
        return {**found, "t": torch.zeros((), dtype=torch.int64)}

    def check(self) -> None:
        """Raise the NonFiniteError of an earlier run on a GPU, which does not wait for it."""
        for build in self._builds.values():
            build.check()

    def build(self, record: Sequence[str] = (), *, gradients: bool | None = None, target: str | None = None) -> Build:
        """Return the kernels for a set of records, built on first use."""
        wrt = self._learned() if gradients or (gradients is None and self._trainable) else frozenset()
        return self._build(self._key(tuple(record), wrt, False, target))

    def last_build(self) -> Build:
        """Return the kernels used last, else those of a first call."""
        return self.build() if self._last is None else self._builds[self._last]

    def graph(self, stage: str = "fuse", **key: Any) -> str:
        """Return the IR after a stage: "lower", the name of a pass, or "schedule".

        Args:
            stage: "lower", "after discretize", "05-simplify", "schedule" and so on.
            key: `record`, `gradients` and `target`; the key used last without them.
        """
        return self._compiler.inspect(self).graph(stage, **key)

    def source(self, half: str = "forward", what: str | None = None, *, arch: str = "sm_90", **key: Any) -> str:
        """Return the generated text of a half, or of the "traces" of an online rule; its first line names the key.

        Args:
            half: "forward", "backward" or "traces".
            what: None for the text of the model's target; "c" or "triton" for that of another; "asm" for the assembly
                of target "c"; "ttir", "ttgir", "llir", "ptx", "sass" or "amdgcn" for what Triton makes for `arch`.
            arch: an architecture such as "sm_90" or "gfx942".
            key: `record`, `gradients` and `target`; the key used last without them.
        """
        return self._compiler.inspect(self).source(half, what, arch=arch, **key)

    def explain(self, *, steps: int = 1, batch_size: int = 1, latex: bool = False, **key: Any) -> str:
        """Return in words what this model computes and how: semantics card, equations, kernels, what backward keeps.

        Args:
            steps: T of the call whose memory is predicted.
            batch_size: B of that call.
            latex: write the equations of eligibility traces in LaTeX.
            key: `record`, `gradients` and `target`; the key used last without them.
        """
        return self._compiler.inspect(self).explain(steps=steps, batch_size=batch_size, latex=latex, **key)

    def verify(self, inputs: Any = None, *, steps: int | None = None, batch_size: int | None = None) -> Any:
        """Compare this target with the float64 reference on `inputs`; return a certificate to print."""
        return self._compiler.inspect(self).verify(inputs, steps=steps, batch_size=batch_size)

    def _learned(self) -> frozenset[str]:
        return frozenset(p.name for p in self._program.parameters if p.learn) if self._trainable else frozenset()

    def _key(self, record: tuple[str, ...], wrt: frozenset[str], whole: bool, target: str | None = None) -> Key:
        device = self._like.device
        target = target or self._target
        if target == "auto":
            target = "triton" if device.type == "cuda" else "c"
        return Key(
            target,
            str(device),
            self.dtype,
            Request(
                parts(self._program, record),
                wrt,
                whole and bool(wrt),
                target != "triton" and self._options.rule is None,
                self._options.rule,
            ),
            self._options,
        )

    def _build(self, key: Key, size: Size | None = None) -> Build:
        """Return the kernels of a key, with the options that someone chose or that were tuned for a call of `size`."""
        chosen = key.options.schedule
        fitted = tuned(key, self._compiler.lowered(()), size) if chosen is None else with_options(key, dict(chosen))
        try:
            build = self._made(fitted)
        except TargetError as error:
            if chosen is not None or fitted is key:
                raise
            LOG.warning("%s cannot serve this call: %s", fitted.options.origin, error)
            build = self._made(key)
        self._last = build.key
        return build

    def _made(self, key: Key) -> Build:
        build = self._builds.get(key)
        if build is None:
            with self._lock:
                build = self._builds.get(key)
                if build is None:
                    make = online.build if key.request.rule and key.request.wrt else checkpoint.build
                    build = make(self._compiler.program, key, self._arena)
                    build.name = f"{self._serial}/{key}"
                    autograd.BUILDS[build.name] = build
                    self._builds[key] = build
        return build

    def _execute(
        self,
        inputs: Any,
        record: tuple[str, ...],
        state: Mapping[str, torch.Tensor] | None,
        seed: int | None,
        steps: int | None,
        batch: int | None,
        whole: bool,
    ) -> tuple[Any, dict[str, torch.Tensor], State]:
        xs, steps, batch = checked_inputs(self._program, self._like, inputs, steps, batch, self.io_dtype)
        parameters = read_parameters(self, self._program)
        check_parameters(self._program, parameters, self._like)
        if state is None and self._program.draws:
            state = self.initial_state(batch)
        carrying = self._carrying(parameters, state)
        states = checked_state(carrying, self._like, state, batch) if state is not None else []
        wrt = self._wrt(xs, parameters, states, carrying)
        name, order, state_names, final_names = _prepared(
            self._serial, record, tuple(sorted(wrt)), whole, size_of(steps, batch)
        )
        ordered = in_order(states, state_names, state, carrying)
        if self._program.streams:
            ordered.append(checked_seed(seed))
        results: Sequence[torch.Tensor]
        if wrt or torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
            results = torch.ops.graphc.run(name, steps, batch, xs, parameters, ordered)
        else:  # nothing to differentiate: the operator would only cost time
            with torch.no_grad():
                results = autograd.run(autograd.BUILDS[name], steps, batch, xs, parameters, ordered)
        named = dict(zip(order, results, strict=True))
        last = dict(zip(state_names, (named[n] for n in final_names), strict=True))
        start = state["t"] if state is not None else torch.zeros((), dtype=torch.int64)
        last["t"] = start + steps
        if self._program.applied:
            apply_rules(self, self._program, state, last)
        return outputs_of(self._program, named), records_of(self._program, named, record), last

    def _carrying(self, parameters: list[torch.Tensor], state: Mapping[str, torch.Tensor] | None) -> Program:
        """Return the program with the states that a call takes: of traces those it has, where something learns."""
        if self._options.rule is None:
            return self._program
        learns = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
        return without_traces(self._program, keep=state if learns and isinstance(state, Mapping) else {})

    def _wrt(
        self,
        xs: list[torch.Tensor],
        parameters: list[torch.Tensor],
        states: list[torch.Tensor],
        program: Program | None = None,
    ) -> frozenset[str]:
        if not self._trainable or not torch.is_grad_enabled():
            return frozenset()
        program = program or self._program
        names = [t.name for t, x in zip(program.inputs, xs, strict=True) if x.requires_grad]
        names += [p.name for p, x in zip(program.parameters, parameters, strict=True) if x.requires_grad]
        if states and self._options.rule is not None and any(x.requires_grad for x in states):
            raise GraphcError(
                "a state requires gradients, which no online rule hands from call to call",
                hint="pass gc.detach(state), or compile with learn='bptt'",
            )
        if states:
            names += [initial(t.name) for t, x in zip(program.states, states, strict=True) if x.requires_grad]
        elif names:
            names += program.learned_states(frozenset(names))
        return frozenset(names)


def _prepared(
    serial: int, record: tuple[str, ...], wrt: tuple[str, ...], whole: bool, size: Size | None
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the operator's key, the names of its results, of the states and of the final states among the results.

    `torch.compile` calls it while it traces and keeps the result.
    """
    model = _models[serial]
    like = model._like
    call = (record, wrt, whole, like.device, like.dtype, model._target, size)
    build = model._calls.get(call)
    if build is None:
        build = model._calls[call] = model._build(model._key(record, frozenset(wrt), whole), size)
    model._last = build.key
    return build.name, build.outputs, build.state_names, build.final_names


# All that torch.compiler.assume_constant_result does; it imports torch._dynamo, which takes as long as torch.
_prepared._dynamo_marked_constant = True  # type: ignore[attr-defined]
