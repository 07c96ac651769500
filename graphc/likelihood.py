"""The probability of observed spikes: a stochastic neuron that follows a recording."""

from __future__ import annotations

import copy
from dataclasses import replace

import sympy

from .functions import exprel
from .ir.errors import DeclarationError
from .ir.functions import at_threshold
from .ir.loc import Loc
from .names import check_symbol_name
from .neuron import Neuron
from .symbols import Input, dt, refractory


def log_likelihood(neuron: Neuron, observed: str = "observed") -> Neuron:
    """Return `neuron` made to spike where a recording did; its output is the log-probability of every step.

    The new neuron has one input more, the observed spikes: feed it 0 and 1 (T, B, N) by a connection with
    ``connectivity=gc.OneToOne(), weight=1.0, learn=False``. Its states take the path that those spikes lead to, and its
    output (T, B, N) is ``log(1 - exp(-rate dt))`` at a step with a spike and ``-rate dt`` at one without; the sum over
    steps is the exact log-likelihood, whose gradient training follows. A spike within the refractory time is impossible
    and yields minus infinity.

    Args:
        neuron: with ``gc.Spike(escape=rate)``.
        observed: name of the input.

    Raises:
        DeclarationError: the neuron spikes for certain, or has an input or state of that name.

    Source:
        Pfister, Toyoizumi, Barber & Gerstner (2006), Neural Comput. 18, 1318-1348.
    """
    loc = Loc.caller()
    check_symbol_name(observed, "an input", loc)
    if neuron.spike is None or neuron.spike.escape is None:
        message = f"neuron '{neuron.name}' does not spike at random, so its spikes have no likelihood"
        raise DeclarationError(message, loc, "give it gc.Spike(escape=rate)")
    if observed in {s.name for s in (*neuron.states, *neuron.inputs, *neuron.parameters, *neuron.noises)}:
        hint = 'gc.log_likelihood(neuron, observed="another_name")'
        raise DeclarationError(f"neuron '{neuron.name}' has a symbol named '{observed}' already", loc, hint)
    y, rate = Input(observed), neuron.spike.escape
    free = sympy.S.One if neuron.refractory is None else 1 - refractory
    expected = rate * dt * free
    log_rate = sympy.expand_log(sympy.log(rate), force=True)
    spiked = log_rate + sympy.log(dt) + sympy.log(free) + sympy.log(exprel(-expected))
    output = at_threshold(sympy.Piecewise((spiked, y > sympy.Rational(1, 2)), (-expected, True)))
    new = copy.copy(neuron)
    follows = replace(neuron.spike, condition=y > sympy.Rational(1, 2), escape=None)
    new.__dict__.update(
        name=f"{neuron.name}_likelihood", inputs=(*neuron.inputs, y), spike=follows, output=output, loc=loc
    )
    return new
