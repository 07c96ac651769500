"""The eager version of a network: the interpreter in the model's dtype, one torch call per operation and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphc.ir import initial
from graphc.passes import Request, pipeline

if TYPE_CHECKING:
    import torch

    from graphc.runtime import Model

    from .compile import NetworkCompiler


class Eager:
    """What one would write with torch alone: the discretised equations in a Python loop, torch autograd for gradients.

    It shares parameters with the model that it is made of, and the graph before any optimisation.
    """

    def __init__(self, model: Model, compiler: NetworkCompiler, records: tuple[str, ...] = ()) -> None:
        from graphc.ir.interpret import Mode

        self.model = model
        self.program = pipeline(Request())[0].run(compiler.lowered(records))
        self.mode = Mode(model.dtype)

    def __call__(self, inputs: Mapping[str, torch.Tensor], steps: int, batch: int) -> list[torch.Tensor]:
        """Return the outputs (T, B, N) for inputs (T, B, N) by name."""
        done = self.run(inputs, steps, batch)
        return [done[name] for name in self.program.outputs]

    def run(self, inputs: Mapping[str, torch.Tensor], steps: int, batch: int) -> dict[str, torch.Tensor]:
        """Return everything that a run writes, outputs and records among it, by name."""
        import torch

        from graphc.ir.interpret import interpret, run_once
        from graphc.runtime.parameters import read_parameters

        program = self.program
        values = read_parameters(self.model, program)
        start: dict[str, Any] = dict(zip((p.name for p in program.parameters), values, strict=True))
        extent = {"@t": torch.tensor(0), "@T": torch.tensor(steps), "@B": torch.tensor(batch)}
        env = {**start, **inputs, **extent}
        if program.draws:
            start |= {initial(n): value for n, value in self.model.initial_state(batch).items()}
        else:
            run_once(program.initial, start, self.mode)
        like = self.model._like
        for tensor in program.states:
            lead = (batch,) if tensor.depth is None else (tensor.depth, batch)
            shape = (*lead, *(program.sizes[a] for a in tensor.type.axes))
            value = start.get(initial(tensor.name))
            env[initial(tensor.name)] = like.new_zeros(shape) if value is None else value.to(like.device).expand(shape)
        return interpret(program, env, self.mode)
