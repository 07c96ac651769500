"""The probability of observed spikes: a stochastic neuron that follows a recording."""

from __future__ import annotations

import copy
from dataclasses import replace

import sympy

from .functions import exprel
from .ir.errors import DeclarationError
from .ir.functions import at_threshold
from .ir.loc import Loc
from .lower_escape import CERTAIN
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
    seen, expected = y > sympy.Rational(1, 2), rate * dt
    log_rate = sympy.expand_log(sympy.log(rate), force=True)
    likely = log_rate + sympy.log(dt) + sympy.log(exprel(-expected))
    spiked = sympy.Piecewise((likely, expected < CERTAIN), (0, True))
    output = sympy.Piecewise((spiked, seen), (-expected, True))
    if neuron.refractory is not None:
        impossible = sympy.Piecewise((sympy.log(1 - refractory), seen), (0, True))
        output = sympy.Piecewise((impossible, refractory > 0), (output, True))
    new = copy.copy(neuron)
    new.__dict__.update(
        name=f"{neuron.name}_likelihood",
        inputs=(*neuron.inputs, y),
        spike=replace(neuron.spike, condition=seen, escape=None),
        output=at_threshold(output),
        loc=loc,
    )
    return new
