"""Which neuron reaches which: the kinds of connectivity, each as a list of synapses and the shape of its weights."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

if TYPE_CHECKING:
    import numpy as np

    from graphc.ir.drawn import Drawn

    Integers = np.ndarray[Any, np.dtype[np.int64]]

LayoutChoice = Literal["auto", "dense", "list", "procedural"]


class Side(Protocol):
    """An input or a population, as far as a connectivity looks at it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def size(self) -> int:
        """How many neurons."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape it was declared with."""
        ...


@dataclass(frozen=True, eq=False)
class SynapseList:
    """Synapses in row-major order: by source, then by target neuron.

    Attributes:
        pre: source neuron of each, (nnz,).
        post: target neuron of each, (nnz,).
        index: number of each one's weight in the flattened weights, or None where it is its own number.
        given: number of each one in the order in which the user listed them, or None.
    """

    pre: Integers
    post: Integers
    index: Integers | None = None
    given: Integers | None = None


class Connectivity:
    """Base of the kinds of connectivity."""

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Raise a DeclarationError where this connectivity cannot join `source` and `sink`."""

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return the shape of the weights of connection `name`."""
        raise NotImplementedError

    procedural = False  # whether synapses are drawn at every spike

    def fan_in(self, source: Side, sink: Side, name: str) -> int:
        """Return how many synapses a target neuron has, on average."""
        return max(round(math.prod(self.weight_shape(source, sink, name)) / sink.size), 1)

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return the synapses of connection `name`."""
        raise NotImplementedError

    def scale(self, sink: Side) -> float:
        """Return what every weight is multiplied by."""
        return 1.0

    @property
    def layout(self) -> LayoutChoice:
        """How the user wants the weights to be kept by the kernels."""
        return "auto"


@dataclass(frozen=True)
class Dense(Connectivity):
    """Every source neuron reaches every target neuron; weights are (pre, post)."""

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return (pre, post)."""
        return (source.size, sink.size)

    def fan_in(self, source: Side, sink: Side, name: str) -> int:
        """Return the number of source neurons."""
        return source.size

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return all pairs."""
        return _pairs(*_grid(source.size, sink.size))


@dataclass(frozen=True)
class OneToOne(Connectivity):
    """Source neuron k reaches target neuron k; weights are (N,)."""

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand equal sizes."""
        if source.size != sink.size:
            sizes = f"'{source.name}' has {source.size} and '{sink.name}' {sink.size} neurons"
            raise DeclarationError(
                f"{label} joins one to one, but {sizes}", loc, "make the sizes equal or use gc.Dense()"
            )

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return (N,)."""
        return (sink.size,)

    def fan_in(self, source: Side, sink: Side, name: str) -> int:
        """Return 1."""
        return 1

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return the diagonal."""
        import numpy as np

        return SynapseList(np.arange(sink.size), np.arange(sink.size))


@dataclass(frozen=True)
class AllButSelf(Connectivity):
    """Every neuron of a population reaches every other one; weights are (N * (N - 1),), in row-major order."""

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand one population of two neurons at least."""
        if source.size != sink.size:
            message = f"{label} joins {source.size} to {sink.size} neurons, so that no neuron is its own source"
            raise DeclarationError(message, loc, "gc.AllButSelf() joins populations of one size")
        if source.size < 2:
            raise DeclarationError(f"{label} has no synapse: the population has one neuron", loc)

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return (N * (N - 1),)."""
        return (sink.size * (sink.size - 1),)

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return all pairs but the diagonal."""
        pre, post = _grid(source.size, sink.size)
        return _pairs(pre[pre != post], post[pre != post])


class Sparse(Connectivity):
    """A random or given subset of the pairs; weights are (nnz,), by source and then by target neuron.

    Args:
        probability: of every pair to be joined, independently.
        seed: of the draw, which depends on the name of the connection too.
        mask: (pre, post), true where there is a synapse.
        indices: the pairs: two arrays (pre, post) of equal length in a tuple, or one array (nnz, 2).
        autapses: whether a drawn connection of a population with itself may join a neuron with itself.
        layout: how kernels keep the synapses: "list" (rows of targets, memory in proportion to the synapses), "dense"
            (a matrix with zeros), "procedural" (drawn anew at every spike, in no memory, with one weight for all), or
            "auto".

    Weights given with `indices` belong to the pairs in their given order; weights and delays may also be (pre, post).
    """

    def __init__(
        self,
        probability: float | None = None,
        *,
        seed: int = 0,
        mask: Any = None,
        indices: Any = None,
        autapses: bool = True,
        layout: LayoutChoice = "auto",
    ) -> None:
        """Check what can be checked without the populations."""
        import numpy as np

        loc = Loc.caller()
        if (probability is not None) + (mask is not None) + (indices is not None) != 1:
            raise DeclarationError("gc.Sparse takes one of probability, mask and indices", loc)
        if probability is not None and not (isinstance(probability, (int, float)) and 0 < probability <= 1):
            raise DeclarationError(
                f"probability of gc.Sparse is {probability!r}", loc, "give a number above 0, up to 1"
            )
        if layout not in ("auto", "dense", "list", "procedural"):
            hint = 'use "auto", "dense", "list" or "procedural"'
            raise DeclarationError(f"layout of gc.Sparse is {layout!r}", loc, hint)
        if layout == "procedural" and probability is None:
            raise DeclarationError('layout="procedural" of gc.Sparse draws its synapses', loc, "give a probability")
        self.probability, self.seed, self.autapses, self._layout = probability, seed, autapses, layout
        self.procedural = layout == "procedural"
        self.mask: Any = None
        self.pairs: Any = None
        self._found: dict[tuple[int, int, str], SynapseList] = {}
        if mask is not None:
            array = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask)
            if array.ndim != 2 or (array.dtype != bool and not np.isin(array, (0, 1)).all()):
                raise DeclarationError("mask of gc.Sparse must be a matrix (pre, post) of true and false", loc)
            self.mask = array.astype(bool)
        if indices is not None:
            self.pairs = _given_pairs(indices, loc)

    @property
    def layout(self) -> LayoutChoice:
        """How the user wants the weights to be kept."""
        return self._layout

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand a mask of the right shape, pairs within the populations, no pair twice, one synapse at least."""
        if self.mask is not None and self.mask.shape != (source.size, sink.size):
            message = f"the mask of {label} has shape {self.mask.shape}"
            raise DeclarationError(message, loc, f"(pre, post) is {(source.size, sink.size)}")
        if self.pairs is not None and len(self.pairs[0]):
            for side, numbers, end in zip(("pre", "post"), self.pairs, (source, sink), strict=True):
                if numbers.min() < 0 or numbers.max() >= end.size:
                    worst = int(numbers.min()) if numbers.min() < 0 else int(numbers.max())
                    message = f"a {side} index of {label} is {worst}, but '{end.name}' has {end.size} neurons"
                    raise DeclarationError(message, loc)
            self._check_duplicates(sink, label, loc)
        if self.procedural:
            return
        name = label.split("'")[1]
        if not len(self.synapses(source, sink, name).pre):
            raise DeclarationError(f"{label} has no synapse", loc, "give a pair, or a larger probability")

    def _check_duplicates(self, sink: Side, label: str, loc: Loc) -> None:
        import numpy as np

        flat = np.sort(self.pairs[0] * sink.size + self.pairs[1])
        twice = np.flatnonzero(flat[1:] == flat[:-1])
        if len(twice):
            pair = divmod(int(flat[twice[0]]), sink.size)
            raise DeclarationError(f"{label} names the pair {pair} twice", loc, "add the weights of equal pairs")

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return (nnz,); one weight for all that are drawn at every spike has no axis."""
        if self.procedural:
            return ()
        return (len(self.synapses(source, sink, name).pre),)

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return the pairs; those of a probability are drawn once."""
        import numpy as np

        key = (source.size, sink.size, name)
        if key in self._found:
            return self._found[key]
        if self.mask is not None:
            found = _pairs(*np.nonzero(self.mask))
        elif self.pairs is not None:
            order = np.lexsort((self.pairs[1], self.pairs[0]))
            found = SynapseList(self.pairs[0][order], self.pairs[1][order], None, order)
        else:
            found = _pairs(*self.drawn(source, sink, name).pairs(source.size, sink.size))
        self._found[key] = found
        return found

    def drawn(self, source: Side, sink: Side, name: str) -> Drawn:
        """Return how the synapses of a probability are drawn."""
        from graphc.ir.drawn import Drawn

        assert self.probability is not None
        seed = (self.seed << 32) ^ zlib.crc32(name.encode())
        return Drawn(seed, float(self.probability), self.autapses or source.name != sink.name)


@dataclass(frozen=True)
class Blocks(Connectivity):
    """`n` independent dense blocks along the diagonal; weights are (n, pre/n, post/n)."""

    n: int

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand that both populations fall into `n` equal parts."""
        if not hasattr(self.n, "__index__") or isinstance(self.n, bool) or self.n < 1:
            raise DeclarationError(f"gc.Blocks of {label} has {self.n!r} blocks", loc, "give a positive whole number")
        for end in (source, sink):
            if end.size % self.n:
                message = f"{label} has {self.n} blocks, but the {end.size} neurons of '{end.name}' do not divide"
                raise DeclarationError(message, loc, "choose a divisor of both sizes")

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return (n, pre/n, post/n)."""
        return (self.n, source.size // self.n, sink.size // self.n)

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return the pairs inside the blocks."""
        height, width = source.size // self.n, sink.size // self.n
        pre, column = _grid(source.size, width)
        return _pairs(pre, pre // height * width + column)


def _grid(rows: int, columns: int) -> tuple[Integers, Integers]:
    import numpy as np

    pre, post = np.divmod(np.arange(rows * columns), columns)
    return pre, post


def _pairs(pre: Integers, post: Integers) -> SynapseList:
    return SynapseList(pre, post)


def _given_pairs(indices: Any, loc: Loc) -> tuple[Integers, Integers]:
    import numpy as np

    def whole(a: Any) -> Integers:
        array = np.asarray(a.detach().cpu() if hasattr(a, "detach") else a)
        if array.size and array.dtype.kind not in "iu":
            raise DeclarationError(f"indices of gc.Sparse are {array.dtype}, not whole numbers", loc)
        return array.astype(np.int64)

    if isinstance(indices, tuple) and len(indices) == 2:
        pre, post = whole(indices[0]), whole(indices[1])
    else:
        both = whole(indices)
        if both.ndim != 2 or both.shape[1] != 2:
            hint = "give a tuple (pre, post) of two arrays, or one array (nnz, 2)"
            raise DeclarationError(f"indices of gc.Sparse have shape {both.shape}", loc, hint)
        pre, post = both[:, 0], both[:, 1]
    if pre.ndim != 1 or pre.shape != post.shape:
        raise DeclarationError(f"indices of gc.Sparse have shapes {pre.shape} and {post.shape}", loc, "equal lengths")
    return pre, post
