"""Delays of connections: whole steps, one per connection or one per synapse, or positions that are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .connectivity import OneToOne, Sparse
from .distributions import Distribution, Uniform
from .values import is_array, measure, time_in_ms, whole_steps

if TYPE_CHECKING:
    import numpy as np

    from .connectivity import Connectivity, Side, SynapseList

Kernel = Literal["triangle", "gaussian"]
LONGEST = 1 << 16  # steps: a history of more is more likely a mistake than a wish


@dataclass(frozen=True, init=False, eq=False)
class LearnedDelay:
    """A delay per synapse that is learned: dilated convolution with learnable spacings over time.

    A synapse of weight w and position p delivers ``sum over d of w k(d - p) z[t - d]``, d from `min` to `max`, with the
    triangle ``k(u) = max(0, 1 - |u|)`` (linear interpolation between the two nearest delays), or the Gaussian
    ``k(u) = exp(-(u/sigma)**2/2)`` divided by its sum over d. ``model.<connection>.delay`` holds the positions, in
    steps, of the shape of the weights; values outside [min, max] count as the nearest bound and keep their gradient.
    ``model.anneal_delays(progress)`` narrows the Gaussians, ``model.round_delays()`` ends with whole steps.

    Args:
        max: the longest delay, steps (int) or a time.
        init: where positions start: a number or array in steps, a time, or a distribution; uniform by default.
        min: the shortest delay; a cycle needs 1.
        kernel: "triangle" or "gaussian".
        sigma: of the Gaussian, in steps: one number, or (first, last) of an exponential schedule.

    Source:
        Hammouamri, Khalfaoui-Hassani & Masquelier (2023), Learning delays in spiking neural networks using dilated
        convolutions with learnable spacings.
    """

    max: Any
    init: Any
    min: Any
    kernel: Kernel
    sigma: tuple[float, float]
    loc: Loc

    def __init__(
        self, max: Any, init: Any = None, *, min: Any = 0, kernel: Kernel = "triangle", sigma: Any = None
    ) -> None:
        """Check what does not depend on the network."""
        loc = Loc.caller()
        if kernel not in ("triangle", "gaussian"):
            raise DeclarationError(f"kernel of gc.LearnedDelay is {kernel!r}", loc, 'use "triangle" or "gaussian"')
        if kernel == "triangle" and sigma is not None:
            raise DeclarationError("sigma of gc.LearnedDelay belongs to the Gaussian", loc, 'kernel="gaussian"')
        ends = tuple(sigma) if isinstance(sigma, (tuple, list)) else (sigma, sigma)
        if kernel == "gaussian" and sigma is None:
            ends = (None, 0.5)
        if len(ends) != 2 or any(e is not None and not (isinstance(e, (int, float)) and e > 0) for e in ends):
            raise DeclarationError(
                f"sigma of gc.LearnedDelay is {sigma!r}", loc, "give a positive number of steps, or two"
            )
        for name, value in (
            ("max", max),
            ("init", init),
            ("min", min),
            ("kernel", kernel),
            ("sigma", ends),
            ("loc", loc),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Taps:
    """A LearnedDelay in steps of one network: delays `first` to `last`, positions that start at `init`."""

    first: int
    last: int
    init: Any
    kernel: Kernel
    sigma: tuple[float, float]


Delay: TypeAlias = "int | np.ndarray[Any, np.dtype[np.int64]] | Taps"


def shortest(delay: Delay) -> int:
    """Return the smallest delay that a synapse may have."""
    if isinstance(delay, Taps):
        return delay.first
    return int(delay.min()) if hasattr(delay, "min") else int(delay)


def steps_of(delay: Any, dt: float, label: str, loc: Loc, round: bool = False) -> int:
    """Return one delay as whole steps.

    Raises:
        DeclarationError: it is negative, no whole number of steps, or no time.
    """
    if hasattr(delay, "__index__") and not isinstance(delay, bool):
        steps = int(delay)
    else:
        if not isinstance(delay, sympy.Expr) or not delay.atoms(sympy.Atom) - delay.atoms(sympy.Number):
            hint = "give steps as an int or a time with a unit, delay=3 or delay=3 * ms"
            raise DeclarationError(f"the delay of {label} is {delay!r}", loc, hint)
        time = time_in_ms(delay, f"the delay of {label}", loc)
        whole = whole_steps(time, dt)
        if whole is None and round:
            whole = int(time / dt + 0.5)
        if whole is None:
            message = f"the delay of {label} is {time!r} ms, no multiple of dt = {dt!r} ms"
            raise DeclarationError(message, loc, "change the delay or dt, or let it be rounded, round=True")
        steps = whole
    if steps < 0:
        raise DeclarationError(f"the delay of {label} is {steps} steps", loc, "give 0 or more")
    if steps > LONGEST:
        raise DeclarationError(f"the delay of {label} is {steps} steps", loc, f"a history keeps up to {LONGEST} steps")
    return steps


def lower_delay(
    delay: Any,
    dt: float,
    connectivity: Connectivity,
    source: Side,
    sink: Side,
    drawn: str,
    name: str,
    loc: Loc,
    round: bool,
) -> Delay:
    """Return the delay of connection `name` in steps; its synapses are those drawn for connection `drawn`."""
    label, loc = f"connection '{name}'", loc.entry("delay")
    if delay is None:
        return 0
    if connectivity.procedural and (isinstance(delay, LearnedDelay) or is_array(delay)):
        hint = 'use layout="list"'
        raise DeclarationError(f'{label} is drawn at every spike (layout="procedural"), with one delay', loc, hint)
    if isinstance(delay, LearnedDelay):
        return _taps(delay, dt, label, connectivity.weight_shape(source, sink, drawn))
    if not is_array(delay):
        return steps_of(delay, dt, label, loc, round)
    return _per_synapse(
        delay, dt, connectivity.synapses(source, sink, drawn), connectivity, source, sink, label, loc, round
    )


def _per_synapse(
    given: Any,
    dt: float,
    found: SynapseList,
    connectivity: Connectivity,
    source: Side,
    sink: Side,
    label: str,
    loc: Loc,
    round: bool,
) -> Delay:
    """Return one delay per synapse, in the order of the list of synapses; one number where all are equal."""
    import numpy as np

    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    if array.dtype == object:  # times
        measured = measure(given, f"the delay of {label}", loc)
        array = np.asarray(measured.value) / dt
        whole = np.rint(array)
        if not round and (np.abs(array - whole) > 1e-6 * np.maximum(1, np.abs(whole))).any():
            worst = float(array.ravel()[np.abs(array - whole).argmax()] * dt)
            message = f"a delay of {label} is {worst!r} ms, no multiple of dt = {dt!r} ms"
            raise DeclarationError(message, loc, "change the delays or dt, or let them be rounded, round=True")
        array = whole.astype(np.int64)
    elif array.dtype.kind == "f":
        if not round and (array != np.rint(array)).any():
            worst = float(array[array != np.rint(array)].ravel()[0])
            message = f"a delay of {label} is {worst!r} steps"
            raise DeclarationError(message, loc, "give whole numbers of steps, or round=True, or gc.LearnedDelay")
        array = np.rint(array).astype(np.int64)
    elif array.dtype.kind not in "iu":
        raise DeclarationError(f"the delays of {label} are {array.dtype}", loc, "give whole numbers of steps")
    if array.shape == (source.size, sink.size):
        array = array[found.pre, found.post]
    elif array.shape == (len(found.pre),) and isinstance(connectivity, (OneToOne, Sparse)):
        array = array if found.given is None else array[found.given]
    else:
        message = f"the delays of {label} have shape {array.shape}"
        raise DeclarationError(message, loc, f"(pre, post) is {(source.size, sink.size)}")
    array = array.astype(np.int64)
    if array.min() < 0:
        raise DeclarationError(f"a delay of {label} is {int(array.min())} steps", loc, "give 0 or more")
    if array.max() > LONGEST:
        raise DeclarationError(f"a delay of {label} is {int(array.max())} steps", loc, f"up to {LONGEST} are kept")
    return int(array[0]) if (array == array[0]).all() else array


def _taps(delay: LearnedDelay, dt: float, label: str, shape: tuple[int, ...]) -> Taps:
    loc = delay.loc
    first = steps_of(delay.min, dt, label, loc)
    last = steps_of(delay.max, dt, label, loc)
    if first >= last:
        raise DeclarationError(f"gc.LearnedDelay of {label} has min {first} and max {last} steps", loc, "max above min")
    what = f"init of gc.LearnedDelay of {label}"
    init: Any = Uniform(float(first), float(last)) if delay.init is None else _in_steps(delay.init, dt, what, loc)
    if is_array(init) and init.shape != shape:
        message = f"init of gc.LearnedDelay of {label} has shape {init.shape}"
        raise DeclarationError(message, loc, f"the weights have {shape}")
    if is_array(init) or isinstance(init, float):
        import numpy as np

        if np.min(init) < first or np.max(init) > last:
            raise DeclarationError(f"init of gc.LearnedDelay of {label} leaves [{first}, {last}] steps", loc)
    wide = (last - first) / 2 if delay.sigma[0] is None else delay.sigma[0]
    return Taps(first, last, init, delay.kernel, (float(wide), float(delay.sigma[1] or 0.5)))


def _in_steps(init: Any, dt: float, what: str, loc: Loc) -> Any:
    """Return where positions start, in steps; times become steps, and so do the arguments of a distribution."""
    measured = measure(init, what, loc)
    value: Any = measured.value
    if measured.dimension is None:
        return value
    if isinstance(value, Distribution):
        return type(value)(*(float(a) / dt for a in value.arguments))
    return value / dt
