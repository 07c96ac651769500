"""Look inside a compiled model: the IR after any stage, the generated texts, and everything in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from graphc.ir import GraphcError, Schedule, TargetError, show

from .explain import explain
from .explain_learning import learning, traces_text
from .names import did_you_mean

if TYPE_CHECKING:
    from graphc.runtime import Model
    from graphc.runtime.build import Build, Key

    from .certificate import Certificate
    from .compile import NetworkCompiler

COMMENT = {"c": "//", "triton": "#"}
HALVES = ("forward", "backward", "traces")
TARGETS = ("c", "triton")
TEXTS = ("ttir", "ttgir", "llir", "ptx", "sass", "amdgcn")
WHATS = (*TARGETS, "asm", *TEXTS)


@dataclass(frozen=True)
class Inspection:
    """Answers about one model, each for a key: the given parts, else the key last used, else that of a first call."""

    model: Model
    compiler: NetworkCompiler

    def graph(self, stage: str = "fuse", **key: Any) -> str:
        """Return the IR after `stage`: "lower", a pass name, a number with a name such as "05-simplify", or "schedule".

        Raises:
            GraphcError: there is no such stage.
        """
        wanted = stage.removeprefix("after ").strip()
        build = self._build(**key)
        if wanted == "schedule":
            return show(self._scheduled(build, "schedule"))
        stages = self.compiler.stages(build.key.request)
        texts = {f"{index:02}-{name}": program for index, (name, program) in enumerate(stages)}
        texts |= dict(stages)  # of two runs of one pass, the last
        if wanted not in texts:
            names = [*dict.fromkeys(name for name, _ in stages), "schedule"]
            hint = did_you_mean(wanted, names) or f"stages are {', '.join(names)}"
            raise GraphcError(f"there is no stage {stage!r}", hint=hint)
        return show(texts[wanted])

    def source(self, half: str = "forward", what: str | None = None, *, arch: str = "sm_90", **key: Any) -> str:
        """Return a generated text; its first line says which key it shows.

        Args:
            half: "forward", "backward", or "traces" for what advances the eligibility traces of an online rule.
            what: None for the text of the model's target; a target, "c" or "triton"; "asm", what the C compiler makes
                of target "c"; or what Triton makes for `arch`, one kernel after the other: "ttir", "ttgir", "llir",
                "ptx", "sass", "amdgcn".
            arch: an architecture such as "sm_90" or "gfx942".
            key: `record`, `gradients` and `target` of the key to show.

        Raises:
            GraphcError: there is no such text.
            TargetError: the target or the architecture has no such text.
        """
        if half not in HALVES:
            raise GraphcError(f"there is no source {half!r}", hint=did_you_mean(half, HALVES) or _either(HALVES))
        if what is not None and what not in WHATS:
            raise GraphcError(
                f"there is no text {what!r} of a kernel", hint=did_you_mean(what, WHATS) or _either(WHATS)
            )
        if half == "traces" and what is not None and what not in TARGETS:
            raise GraphcError(f"there is no text {what!r} of traces", hint=_either(TARGETS))
        of = what if what in TARGETS else "c" if what == "asm" else "triton"
        if what in TARGETS:
            key["target"] = of
        elif what is not None and key.setdefault("target", of) != of:
            called = {"asm": "assembly", "ptx": "PTX"}.get(what, repr(what))
            raise TargetError(f"target {key['target']!r} has no {called}", hint=f'ask with target="{of}"')
        build = self._build(**key)
        if half == "traces":
            return f"{COMMENT.get(build.key.target, '#')} traces of {describe(build.key)}\n{traces_text(build)}"
        plan = self._scheduled(build, half)
        if not plan.half(half == "backward"):
            raise GraphcError(f"this key has no {half} kernels: {describe(build.key)}", hint="ask with gradients=True")
        if what == "asm":
            return _assembly(build, half)
        if what in TEXTS:
            return _built(build, plan, half, what, arch)
        return f"{COMMENT[build.key.target]} {half} of {describe(build.key)}\n{build.texts[half]}"

    def explain(self, *, steps: int = 1, batch_size: int = 1, latex: bool = False, **key: Any) -> str:
        """Return what this model computes and how, in words; memory is predicted for a call of this size."""
        from graphc.runtime.arguments import check_count

        for name, count in (("steps", steps), ("batch_size", batch_size)):
            check_count(name, count)
        build = self._build(**key)
        stages = self.compiler.stages(build.key.request)
        rule = learning(self.compiler, build, latex)
        return explain(self.compiler.network, stages, build, describe(build.key), steps, batch_size, rule)

    def verify(self, inputs: Any = None, *, steps: int | None = None, batch_size: int | None = None) -> Certificate:
        """Return how this target compares with the float64 reference on `inputs`."""
        from .certificate import certify

        return certify(self.model, self.compiler, inputs, steps, batch_size)

    def _build(
        self, record: Sequence[str] | None = None, gradients: bool | None = None, target: str | None = None
    ) -> Build:
        if record is None and gradients is None and target is None:
            return self.model.last_build()
        return self.model.build(record or (), gradients=gradients, target=target)

    def _scheduled(self, build: Build, what: str) -> Schedule:
        if build.schedule is None:
            raise TargetError(
                f"target 'reference' interprets the IR: it has no {what}", hint='see model.graph(), or pass target="c"'
            )
        return build.schedule


def inspection_of(model: Model) -> Inspection:
    """Return what answers questions about `model`."""
    return cast(Inspection, model._compiler.inspect(model))


def describe(key: Key) -> str:
    """Return one line that names the parts of a key."""
    import torch

    from graphc.runtime.device import scheduled_for

    request = key.request
    records = f"records {', '.join(request.records)}" if request.records else "no records"
    wrt = f"gradients of {', '.join(sorted(request.wrt))}" if request.wrt else "no gradients"
    precision = key.options.precision
    rounded = f" rounded to {precision}" if precision != "float32" else ""
    dtype = str(key.dtype).removeprefix("torch.") + rounded
    device = key.device
    if device == "cpu" and (spec := scheduled_for(key.target, torch.device(device))).kind == "cuda":
        device = f"cpu, laid out for sm_{spec.arch}"
    return f"target {key.target}, {device}, {dtype}, {records}, {wrt}"


def _built(build: Build, plan: Schedule, half: str, what: str, arch: str) -> str:
    """Return a text of every Triton kernel of one half."""
    from graphc.runtime.ahead import architecture, texts_ahead

    comment = "#" if what in ("sass", "amdgcn") else ";" if what == "llir" else "//"
    texts = texts_ahead(plan, build.texts[half], half == "backward", what, architecture(arch))
    title = f"{comment} {half} of {describe(build.key)}, built for {arch}"
    return "\n".join([title, *(f"{comment} kernel {name}\n{text}" for name, text in texts.items())])


def _assembly(build: Build, half: str) -> str:
    from graphc.runtime.compiler import assembly

    return f"# {half} of {describe(build.key)}, built for this machine\n{assembly(build.texts[half])}"


def _either(names: Sequence[str]) -> str:
    """Return a hint that lists what there is."""
    return f"use {', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
