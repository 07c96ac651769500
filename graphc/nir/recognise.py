"""Which of NIR's neurons a declared neuron is: its equations are compared, not its name."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import sympy

from graphc import symbols as gs
from graphc.ir.errors import DeclarationError
from graphc.network import Population
from graphc.symbols import Parameter, State

from .current import Array, Numbers


def recognise(population: Population, numbers: Numbers) -> tuple[str, dict[str, Array]]:
    """Return the kind of NIR node that the neurons of `population` are, and its fields, one number per neuron.

    Raises:
        DeclarationError: NIR has no such neuron; the message says what of it NIR cannot carry.
    """
    return _Recognition(population, numbers).node()


class _Recognition:
    """One population under inspection."""

    def __init__(self, population: Population, numbers: Numbers) -> None:
        self.population, self.neuron, self.numbers = population, population.neuron, numbers
        self.dt = numbers.network.dt

    def node(self) -> tuple[str, dict[str, Array]]:
        """Return kind and fields."""
        neuron = self.neuron
        if neuron.update:
            self.refuse(f"'{next(iter(neuron.update))}' is a map in steps (update), and NIR is in continuous time")
        if len(neuron.inputs) > 1:
            self.refuse(f"it has {len(neuron.inputs)} inputs, and a NIR node one", "add them up in one input")
        self._check_spiking()
        for state, value in self.population.init.items():
            if isinstance(value, sympy.Expr) or not isinstance(value, (float, np.ndarray)) or np.any(value != 0):
                self.refuse(f"'{state}' does not start at 0, and NIR has no initial states")
        if not neuron.states:
            return self._stateless()
        if len(neuron.states) > 2:
            self.refuse(f"it has {len(neuron.states)} states, and NIR's neurons have at most two")
        v = self._membrane()
        if neuron.output != (v if neuron.spike is None else gs.spike):
            self.refuse(f"its output is {neuron.output}, and a NIR node sends its spikes, or its state without any")
        kind, fields = self._one_state(v) if len(neuron.states) == 1 else self._two_states(v)
        if neuron.spike is not None:
            fields |= self._threshold_and_reset(v)
            kind = {"I": "IF", "LI": "LIF", "CubaLI": "CubaLIF"}[kind]
        return kind, fields

    def refuse(self, why: str, hint: str | None = None) -> NoReturn:
        """Raise what NIR cannot carry."""
        message = f"NIR cannot carry neuron '{self.neuron.name}' of population '{self.population.name}': {why}"
        raise DeclarationError(message, self.population.loc, hint)

    def _check_spiking(self) -> None:
        spike = self.neuron.spike
        if self.neuron.noises:
            self.refuse(f"it has the noise '{self.neuron.noises[0]}'")
        if spike is None:
            return
        if spike.escape is not None:
            self.refuse("its spikes are random (escape=)")
        if not spike.strict:
            self.refuse(f"it spikes at equality, {spike.condition}", "NIR's neurons spike above the threshold: use >")
        if spike.edge == "rising":
            self.refuse('it spikes at the rising edge (edge="rising")')
        refractory = self.neuron.refractory
        if refractory is not None and np.any(self._value(sympy.sympify(refractory.duration)) != 0):
            self.refuse(f"it has a refractory time of {refractory.duration}")

    def _membrane(self) -> State:
        """Return the state that the condition reads; without one, the state that leaves."""
        neuron = self.neuron
        read = neuron.output if neuron.spike is None else neuron.spike.margin
        found = [s for s in neuron.states if s in read.free_symbols]
        if len(found) != 1:
            self.refuse(
                f"{'its output' if neuron.spike is None else 'the condition of its spike'} reads no single state"
            )
        return found[0]

    def _stateless(self) -> tuple[str, dict[str, Array]]:
        neuron = self.neuron
        x = neuron.inputs[0] if neuron.inputs else self.refuse("it has neither states nor an input")
        if neuron.spike is None:
            slope, rest = self._affine(neuron.output, (x,), "its output")
            if np.any(rest != 0):
                self.refuse(f"its output is {neuron.output}, an input and something else")
            return "Scale", {"scale": slope[0]}
        if neuron.output != gs.spike:
            self.refuse(f"its output is {neuron.output}, not its spike")
        return "Threshold", {"threshold": self._crossing(x)}

    def _one_state(self, v: State) -> tuple[str, dict[str, Array]]:
        x = self._input()
        (leak, drive), rest = self._affine(self.neuron.ode[v], (v, x), f"{v}'")
        jump = self._jump(v, x)
        if (leak == 0).all():
            if np.any(rest != 0):
                self.refuse(f"{v}' = {self.neuron.ode[v]} has a constant drive without a leak")
            return "I", {"r": 1000.0 * self._either(drive, jump / self.dt, v)}
        tau = self._time(leak, v)
        r = self._either(drive * tau, jump * tau / self.dt, v)
        return "LI", {"tau": tau / 1000.0, "r": r, "v_leak": rest * tau}

    def _two_states(self, v: State) -> tuple[str, dict[str, Array]]:
        x = self._input()
        (i,) = (s for s in self.neuron.states if s != v)
        (back, decay, drive), rest = self._affine(self.neuron.ode[i], (v, i, x), f"{i}'")
        (leak, current, direct), constant = self._affine(self.neuron.ode[v], (v, i, x), f"{v}'")
        if np.any(back != 0) or np.any(rest != 0):
            self.refuse(f"{i}' = {self.neuron.ode[i]} reads more than {i} and an input")
        if np.any(direct != 0) or np.any(self._jump(v, x) != 0):
            self.refuse(f"its input acts on {v} itself, not through {i} alone")
        tau_syn, tau_mem = self._time(decay, i), self._time(leak, v)
        w_in = self._either(drive * tau_syn, self._jump(i, x) * tau_syn / self.dt, i)
        times = {"tau_syn": tau_syn / 1000.0, "tau_mem": tau_mem / 1000.0}
        return "CubaLI", {**times, "r": current * tau_mem, "v_leak": constant * tau_mem, "w_in": w_in}

    def _threshold_and_reset(self, v: State) -> dict[str, Array]:
        threshold = self._crossing(v)
        reset = dict(self.neuron.reset)
        if set(reset) != {v}:
            others = ", ".join(str(s) for s in reset if s != v)
            self.refuse(f"a spike changes {others}" if others else f"a spike does not reset {v}")
        (slope,), rest = self._affine(reset[v], (v,), f"the reset of {v}")
        if (slope == 0).all():
            return {"v_threshold": threshold, "v_reset": rest}
        if (slope != 1).any():
            self.refuse(f"a spike sets {v} to {reset[v]}, neither a value nor a difference")
        return {"v_threshold": threshold, "v_reset": threshold + rest}

    def _crossing(self, s: Any) -> Array:
        """Return the value of `s` above which the neuron spikes."""
        assert self.neuron.spike is not None
        (slope,), rest = self._affine(self.neuron.spike.margin, (s,), "the condition of its spike")
        if (slope <= 0).any():
            self.refuse(f"it spikes where {s} is low: {self.neuron.spike.condition}")
        return np.asarray(-rest / slope) + 0.0  # no -0.0

    def _jump(self, s: State, x: Any) -> Array:
        """Return by how much one unit of input makes `s` jump."""
        if s not in self.neuron.receive:
            return np.zeros(self.population.size)
        (own, slope), rest = self._affine(self.neuron.receive[s], (s, x), f"what {s} receives")
        if np.any(own != 1) or np.any(rest != 0):
            self.refuse(f"an input sets {s} to {self.neuron.receive[s]}")
        return slope

    def _either(self, held: Array, jump: Array, s: State) -> Array:
        if np.any(held != 0) and np.any(jump != 0):
            self.refuse(f"its input is a current of {s} and makes it jump, too")
        return jump if np.any(jump != 0) else held

    def _time(self, rate: Array, s: State) -> Array:
        """Return the time constant of a rate, in ms."""
        if (rate >= 0).any():
            self.refuse(f"{s}' = {self.neuron.ode[s]} does not decay, in some of the neurons at least")
        return -1.0 / rate

    def _input(self) -> Any:
        return self.neuron.inputs[0] if self.neuron.inputs else sympy.Dummy("x")

    def _affine(self, e: sympy.Expr, variables: tuple[Any, ...], what: str) -> tuple[list[Array], Array]:
        """Return the slopes and the rest of an expression that is affine in `variables`."""
        slopes = [sympy.diff(e, s) for s in variables]
        rest = e.xreplace(dict.fromkeys(variables, sympy.S.Zero))
        allowed = {*self.neuron.parameters, gs.dt}
        for part in (*slopes, rest):
            if (
                part.free_symbols - allowed
                or part.atoms(sympy.Derivative, sympy.Subs)
                or part.has(sympy.zoo, sympy.nan)
            ):
                self.refuse(f"{what} is {e}, not linear with constant factors")
        return [self._value(s) for s in slopes], self._value(rest)

    def _value(self, e: sympy.Expr) -> Array:
        """Return an expression of parameters as one number per neuron."""
        symbols = sorted(e.free_symbols, key=str)
        given = [self._parameter(s) for s in symbols]
        value = sympy.lambdify(symbols, e, "numpy")(*given)
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.population.size,))

    def _parameter(self, s: Any) -> Any:
        if isinstance(s, Parameter):
            value, population = self.numbers.of(self.population.name, s.name).astype(np.float64), self.population
            if value.ndim and population.parameters[s.name].per == "channel":
                value = np.repeat(value, population.size // population.shape[0])
            return value
        return self.dt
