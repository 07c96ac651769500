"""Random spikes: a uniform draw against the probability of a spike in the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy

from graphc.ir import Spike, StopGradient, Test, Type, Value, symbol
from graphc.ir.functions import exprel
from graphc.ir.ops import C

if TYPE_CHECKING:
    from .lower_population import PopulationStep

CERTAIN = 50
"""Expected spikes in a step beyond which one is certain, so that an infinite rate is no infinity times zero."""


def probability(rate: sympy.Expr, dt: sympy.Expr) -> sympy.Expr:
    """Return ``1 - exp(-rate dt)``, to full precision also where it is small."""
    expected = sympy.Min(rate * dt, CERTAIN)
    return expected * exprel(-expected)


class EscapeStep:
    """The spike of a population with an escape rate, z = 1 where ``p - u > 0``.

    Alone its derivative with respect to p is 1. A condition beside the rate supplies the surrogate: its own spike takes
    part with the value 0, ``s - stop(s)``, and passes on the whole gradient.
    """

    def __init__(self, step: PopulationStep) -> None:
        self.step, self.block, self.owner = step, step.block, step.owner
        self.flag = Type("bool", True, (step.axis,))

    def spike(self) -> Value:
        """Append the nodes of the spike and return it."""
        step, block = self.step, self.block
        rule, loc = step.neuron.spike, step.neuron.loc_of("spike", 0)
        assert rule is not None
        dt = sympy.Float(step.lowering.network.dt)
        p = step.scope.value(probability(rule.escape, dt), step.env, "probability", loc=step.neuron.loc_of("escape", 0))
        draw = step.lowering.drawn(self.owner, "spike", "uniform", loc)
        fires = block.map(f"{self.owner}.escape", symbol(p) - symbol(draw), (p, draw), loc)
        if rule.condition is None:
            return self._spike("spike", fires, sympy.S.One, C, step.refractory)
        drawn = block.add(Test(result=block.names.value(f"{self.owner}.drawn", self.flag), operands=(fires,)))
        margin = block.spread(step.scope.value(rule.margin, step.env, "condition", loc=loc), step.type)
        surrogate = rule.surrogate
        own = self._spike("smooth", margin, surrogate.derivative(C), surrogate.antiderivative(C), None)
        still = block.add(StopGradient(result=block.names.value(f"{own.name}_stopped", own.type, own), operands=(own,)))
        joined = symbol(drawn) + symbol(own) - symbol(still) - sympy.Rational(1, 2)
        both = block.map(f"{self.owner}.escape", joined, (drawn, own, still), loc)
        return self._spike("spike", both, sympy.S.One, C, step.refractory)

    def _spike(
        self, name: str, margin: Value, derivative: sympy.Expr, antiderivative: sympy.Expr, blocked: Value | None
    ) -> Value:
        result = self.block.names.value(f"{self.owner}.{name}", self.flag, loc=margin.loc)
        return self.block.add(
            Spike(
                result=result,
                operands=(margin,) if blocked is None else (margin, blocked),
                strict=True,
                derivative=derivative,
                antiderivative=antiderivative,
            )
        )
