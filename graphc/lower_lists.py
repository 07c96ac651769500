"""What the module keeps for the synapses of a connection: weights, parameters, and lists of who reaches whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.ir import DeclarationError, Parameter, Type

from . import symbols as gs
from .connection import Connection, signs_of_weights
from .connectivity import Dense, OneToOne
from .delay import Taps
from .transmit import separate

if TYPE_CHECKING:
    from .lower import Lowering


def is_list(connection: Connection) -> bool:
    """Whether the synapses of `connection` are listed, rather than all pairs or pairs of equal numbers."""
    plain = isinstance(connection.connectivity, (Dense, OneToOne)) or connection.connectivity.procedural
    return not plain or not isinstance(connection.delay, (int, Taps))


def _is_in_order(connection: Connection) -> bool:
    """Whether the weights of a list are its synapses' own, one after the other."""
    one = isinstance(connection.delay, (int, Taps)) and connection.shared is None
    return one and len(connection.weight_shape) == 1 and connection.synapses.index is None


def is_merged(connection: Connection) -> bool:
    """Whether one sum holds the synapses of all delays: where each delivers its weight times a signal of its source."""
    if isinstance(connection.delay, (int, Taps)) or sum(d > 0 for d in connection.delays) < 2:
        return False
    for expr in connection.transmit.values():
        terms, mixed = separate(expr)
        if mixed != 0 or not all(isinstance(t.pre, gs.Signal) for t in terms):
            return False
    return True


def declare_connection(lowering: Lowering, connection: Connection) -> None:
    """Declare the weights of a connection, the parameters of its synapses, and their lists."""
    name, shape = connection.name, connection.weight_shape
    ends = (lowering.axis[connection.pre], lowering.axis[connection.post])
    if isinstance(connection.connectivity, Dense):
        axes: tuple[str, ...] = ends
    elif isinstance(connection.connectivity, OneToOne):
        axes = ends[1:]
    elif _is_in_order(connection):
        axes = (f"{name}.synapses",)
    else:
        owner = connection.shared or name
        axes = tuple(f"{owner}.weights{k or ''}" for k in range(len(shape)))
        lowering.sizes |= dict(zip(axes, shape, strict=True))
    real = Type("real", False, axes)

    def declare(attribute: str, type: Type, value: Any, learn: bool, **options: Any) -> None:
        full = f"{name}.{attribute}"
        lowering.parameters[full] = Parameter(full, name, attribute, type, value, learn, loc=connection.loc, **options)

    if connection.shared is None:
        fan_in = connection.connectivity.fan_in(connection.source, connection.sink, name)
        sign = signs_of_weights(connection)
        declare("weight", real, connection.weight, connection.learn, fan_in=fan_in, sign=sign)
    for p in connection.parameters:
        declare(p.name, real if p.per == "synapse" else Type(), p.default, p.learn, minimum=p.min, maximum=p.max)
    if isinstance(connection.delay, Taps):
        declare("delay", real, connection.delay.init, True)
        if connection.delay.kernel == "gaussian":
            declare("sigma", Type(), connection.delay.sigma[0], False)
    if is_list(connection):
        _declare_lists(lowering, connection, declare)


def _declare_lists(lowering: Lowering, connection: Connection, declare: Any) -> None:
    import numpy as np

    found, sources = connection.synapses, connection.source.size
    delays: Any = connection.delay
    merged = is_merged(connection)
    for delay in _segment_delays(connection):
        mark = mark_of(connection, delay)
        chosen = np.arange(len(found.pre))
        count = 1
        if delay is None and merged:  # delay by delay
            chosen = np.flatnonzero(delays > 0)
            chosen = chosen[np.lexsort((found.post[chosen], found.pre[chosen], delays[chosen]))]
            lag = np.searchsorted(lags_of(connection), delays[chosen])
            count = len(lags_of(connection))
        elif mark:
            chosen = np.flatnonzero(delays == delay)
        if len(chosen) >= 1 << 31:
            raise DeclarationError(
                f"connection '{connection.name}' has {len(chosen)} synapses, more than a list counts",
                connection.loc,
                'layout="procedural" of gc.Sparse keeps none',
            )
        pre, post = found.pre[chosen], found.post[chosen]
        if count > 1:
            pre = lag * sources + pre
        axis = f"{connection.name}.synapses{mark}"
        lowering.sizes |= {axis: len(chosen), f"{axis}.rows": count * sources + 1}
        rows = np.searchsorted(pre, np.arange(count * sources + 1))
        declare(f"rows{mark}", Type("int", False, (f"{axis}.rows",)), rows.astype(np.int32), False)
        declare(f"post{mark}", Type("int", False, (axis,)), post.astype(np.int32), False)
        index = chosen if found.index is None else found.index[chosen]
        if not _is_in_order(connection):
            declare(f"order{mark}", Type("int", False, (axis,)), index.astype(np.int32), False)


def lags_of(connection: Connection) -> tuple[int, ...]:
    """Return the different delays of merged synapses."""
    return tuple(d for d in connection.delays if d > 0)


def _segment_delays(connection: Connection) -> tuple[int | None, ...]:
    """Return the delays whose synapses have a list of their own; None is the list of all the others."""
    if isinstance(connection.delay, (int, Taps)):
        return (None,)
    if is_merged(connection):
        return (*(d for d in connection.delays if d == 0), None)
    return connection.delays


def mark_of(connection: Connection, delay: int | None) -> str:
    """Return what the names of the lists of one delay end with."""
    return "" if delay is None or isinstance(connection.delay, (int, Taps)) else f"_{delay}"
