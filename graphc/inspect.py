"""Look inside a compiled model: the IR after any stage, the generated texts, and everything in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    def source(self, half: str = "forward", what: str | None = None, **key: Any) -> str:
        """Return a generated text; its first line says which key it shows.

        Args:
            half: "forward", "backward", or "traces" for what advances the eligibility traces of an online rule.
            what: None for the text of the model's target, "c" or "triton" for that of another, "ptx" for what Triton
                makes of it for sm_90, one kernel after the other.
            key: `record`, `gradients` and `target` of the key to show.

        Raises:
            GraphcError: there is no such text.
            TargetError: the target has no text, or no PTX.
        """
        if half not in ("forward", "backward", "traces"):
            raise GraphcError(f"there is no source {half!r}", hint='use "forward", "backward" or "traces"')
        if what not in (None, "c", "triton", "ptx"):
            raise GraphcError(f"there is no text {what!r} of a kernel", hint='use "c", "triton" or "ptx"')
        if what in ("c", "triton"):
            key["target"] = what
        elif what == "ptx":
            key.setdefault("target", "triton")
        build = self._build(**key)
        if half == "traces":
            return f"{COMMENT.get(build.key.target, '#')} traces of {describe(build.key)}\n{traces_text(build)}"
        plan = self._scheduled(build, half)
        if not plan.half(half == "backward"):
            raise GraphcError(f"this key has no {half} kernels: {describe(build.key)}", hint="ask with gradients=True")
        if what == "ptx":
            return _ptx(build, plan, half == "backward")
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


def _ptx(build: Build, plan: Schedule, backward: bool) -> str:
    """Return the PTX of every Triton kernel of one half."""
    if plan.target != "triton":
        raise TargetError(f"target {plan.target!r} has no PTX", hint='ask with target="triton"')
    from graphc.runtime.ahead import ptx

    half = "backward" if backward else "forward"
    texts = ptx(plan, build.texts[half], backward)
    title = f"// {half} of {describe(build.key)}, built for sm_90"
    return "\n".join([title, *(f"// kernel {name}\n{text}" for name, text in texts.items())])
