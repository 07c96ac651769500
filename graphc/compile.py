"""Compile a network into a torch module."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from graphc.ir import DeclarationError, Loc, Precision, Program, TargetError
from graphc.ir.errors import GraphcWarning
from graphc.passes import Observer, Request, Rule, check_options, pipeline, run_passes, unknown_to
from graphc.passes.observers import LOWER, Stages, observers_from_environment

from .learn import BPTT, Learning, Online
from .learn_check import check_rule, set_feedback
from .lower import lower
from .names import did_you_mean
from .network import Network

if TYPE_CHECKING:
    from graphc.runtime import Model

    from .inspect import Inspection

TARGETS = ("auto", "c", "triton", "reference")
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16", "float16")


def compile(
    network: Network,
    *,
    learn: Any = "bptt",
    target: str = "auto",
    dtype: Any = None,
    precision: str | None = None,
    schedule: Mapping[str, int | str] | None = None,
    observers: Sequence[Observer] = (),
) -> Model:
    """Compile `network` into a torch module. Reads as the table of contents of this repository.

    Args:
        network: what to compile.
        learn: None for simulation, "bptt" or gc.learn.BPTT(...) for gradients, or an online rule:
            gc.learn.BlockDiagonal(...), SnAp1, OTTT, SLTT or RTRL.
        target: "auto" (triton for CUDA tensors, else c), "c", "triton" or "reference".
        dtype: torch.float32 (default) or torch.float64; later `model.to(dtype)` changes it. torch.bfloat16 and
            torch.float16 are precisions: states stay in float32.
        precision: "float32" (default), "tf32", "bfloat16" or "float16": what sequences, inputs and outputs among them,
            and the factors of products are rounded to; "tf32" rounds factors alone. For target "triton".
        schedule: options that replace the defaults, such as {"rows": 16} or {"backward.rows": 32} for one half
            (see docs/tune.md). None takes what `graphc tune` found for this network, device and size, and the
            defaults where it found nothing; {} takes the defaults.
        observers: told of every pass, after those that GRAPHC_DUMP and GRAPHC_VERIFY ask for.

    Raises:
        DeclarationError: the network is wrong.
        TargetError: there is no such target, precision or option; what a target or device cannot do of them is
            refused at the first call, which knows the device.
    """
    if not isinstance(network, Network):
        raise DeclarationError(f"gc.compile takes a gc.Network, not a {type(network).__name__}", Loc.caller())
    if target not in TARGETS:
        raise TargetError(f"unknown target {target!r}", Loc.caller(), f"use one of {', '.join(map(repr, TARGETS))}")
    learning = _learning(learn)
    chosen, layout = _precision(dtype, precision), dict(schedule or {})
    check_options(layout, Loc.caller())
    if target != "auto" and (beside := unknown_to(target, layout)):
        raise TargetError(
            f"schedule= has {beside[0]!r}, which target {target!r} does not know",
            Loc.caller(),
            "leave it out" + ', or use target="triton"' * (target != "triton"),
        )
    network.check()
    compiler = NetworkCompiler(network, (*observers_from_environment(), *observers))
    rule = _rule(network, learning)
    lists = target != "triton" and rule is None
    parameters = (
        compiler.program(Request(lists=lists, rule=rule)).parameters if rule else compiler.lowered(()).parameters
    )
    learned = frozenset(p.name for p in parameters if p.learn) if learning else frozenset()
    program = compiler.program(Request(wrt=learned, lists=lists, rule=rule))
    import torch

    from graphc.runtime import Model, Options  # torch is imported here, not at `import graphc`

    if rule is not None:
        program = with_traces(compiler, program, learned, lists, rule)

    if dtype is None or chosen == str(dtype).removeprefix("torch."):
        dtype = torch.float32
    options = Options(chosen, None if schedule is None else tuple(sorted(layout.items())))
    if isinstance(learning, BPTT):
        options = replace(options, checkpoint=learning.checkpoint, memory_budget=learning.memory_budget)
    if isinstance(learning, Online):
        options = replace(options, rule=rule, chunk=learning.chunk)
    model = Model(compiler, program, target, dtype, learning is not None, options)
    if isinstance(learning, Online) and isinstance(learning.feedback, Mapping):
        set_feedback(model, learning.feedback)
    return model


def _precision(dtype: Any, precision: str | None) -> Precision:
    """Return the precision that `precision=`, or a dtype of half the width, asks for."""
    half = str(dtype).removeprefix("torch.")
    if half in ("bfloat16", "float16"):
        if precision not in (None, half):
            raise TargetError(f"dtype {half} and precision {precision!r} contradict each other", Loc.caller())
        precision = half
    for known in PRECISIONS:
        if precision in (None, known):
            return known
    raise TargetError(
        f"unknown precision {precision!r}", Loc.caller(), f"use one of {', '.join(map(repr, PRECISIONS))}"
    )


def _learning(learn: Any) -> Learning | None:
    if learn is None or isinstance(learn, (BPTT, Online)):
        return learn
    if learn == "bptt":
        return BPTT()
    raise DeclarationError(
        f"learn={learn!r} names no learning",
        Loc.caller(),
        'use None, "bptt", or a rule of gc.learn such as gc.learn.BlockDiagonal()',
    )


def with_traces(
    compiler: NetworkCompiler, program: Program, learned: frozenset[str], lists: bool, rule: Rule
) -> Program:
    """Return `program` with the traces of `rule` among its states.

    Raises:
        DeclarationError: no trace reaches a parameter that learns, or the rule carries no such trace.
    """
    from graphc.runtime.online import driven, trace_states

    found = compiler.program(driven(Request(wrt=learned, lists=lists, rule=rule), program.states))
    check_rule(program, found, learned, rule)
    return replace(program, states=program.states + trace_states(found.traces))


def _rule(network: Network, learning: Learning | None) -> Rule | None:
    """Return the paths that gradients take, None for all of them."""
    if not isinstance(learning, Online):
        return None
    if not isinstance(learning.feedback, Mapping):
        return Rule(learning.rule, learning.feedback)
    for name in learning.feedback:
        if name not in network.connections:
            raise DeclarationError(
                f"feedback is given for {name!r}, which is no connection",
                Loc.caller(),
                did_you_mean(name, network.connections) or f"connections are {', '.join(network.connections)}",
            )
    return Rule(learning.rule, "given", tuple(learning.feedback))


@dataclass
class NetworkCompiler:
    """The left half of the compiler, for one network: from a request to a program."""

    network: Network
    observers: tuple[Observer, ...] = ()
    declared: dict[tuple[str, ...], Program] = field(default_factory=dict)
    programs: dict[Request, Program] = field(default_factory=dict)

    def lowered(self, records: tuple[str, ...]) -> Program:
        """Return the declared program that writes `records`, made on first use."""
        if records not in self.declared:
            self.declared[records] = lower(self.network, records)
        return self.declared[records]

    def program(self, request: Request) -> Program:
        """Return the program of `request`, made on first use."""
        if request not in self.programs:
            self.programs[request] = self._run(request, self.observers)
        return self.programs[request]

    def stages(self, request: Request) -> list[tuple[str, Program]]:
        """Return the declared program, named "lower", and the program after every pass, by compiling once more."""
        recorded = Stages()
        self._run(request, (recorded,))
        return recorded.programs

    def inspect(self, model: Model) -> Inspection:
        """Return what answers questions about `model`."""
        from .inspect import Inspection

        return Inspection(model, self)

    def _run(self, request: Request, observers: Sequence[Observer]) -> Program:
        program = self.lowered(request.records)
        for observer in observers:
            observer.after(0, LOWER, program, program)
        with warnings.catch_warnings():
            if self.programs:  # every request would repeat what the first one warned of
                warnings.simplefilter("ignore", GraphcWarning)
            return run_passes(program, pipeline(request), observers)
