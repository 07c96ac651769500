"""Connectivity in space: convolutions and means over windows, between populations of shape (channels, *space)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .connectivity import Connectivity, Side, SynapseList


@dataclass(frozen=True)
class _Window(Connectivity):
    """What slides over space: kernel, stride and padding, one number or one per axis."""

    kernel: Any
    stride: Any = 1
    padding: Any = 0
    axes: int | None = field(default=None, repr=False)  # of space; None: as many as the populations have
    transposed = False

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand populations (channels, *space) whose sizes fit together."""
        kind = type(self).__name__
        space = len(sink.shape) - 1
        for end in (source, sink):
            if len(end.shape) < 2 or len(end.shape) - 1 not in (self.axes or 1, self.axes or 2):
                wanted = "(channels, length)" if self.axes == 1 else "(channels, height, width)"
                message = f"gc.{kind} of {label} needs space, but '{end.name}' has shape {end.shape}"
                raise DeclarationError(message, loc, f"declare it with a shape {wanted}")
        for what, value, least in (
            ("kernel", self.kernel, 1),
            ("stride", self._stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self._dilation, 1),
        ):
            numbers = value if isinstance(value, (tuple, list)) else (value,)
            if len(numbers) not in (1, space) or any(not isinstance(n, int) or n < least for n in numbers):
                raise DeclarationError(f"{what} of gc.{kind} of {label} is {value!r}", loc)
        if len(source.shape) != len(sink.shape):
            raise DeclarationError(f"{label} joins shape {source.shape} to {sink.shape}", loc)
        want = self.space_after(source.shape[1:])
        if want != sink.shape[1:]:
            message = f"gc.{kind} of {label} makes {want} of {source.shape[1:]}, but '{sink.name}' is {sink.shape[1:]}"
            raise DeclarationError(
                message, loc, f"declare '{sink.name}' as ({sink.shape[0]}, {', '.join(map(str, want))})"
            )

    def space_after(self, before: Sequence[int]) -> tuple[int, ...]:
        """Return the extent of space behind the window."""
        options = (self.kernel, self._stride, self.padding, self._dilation)
        sizes = zip(before, *(_each(v, len(before)) for v in options), strict=True)
        if self.transposed:
            return tuple((n - 1) * s - 2 * p + k for n, k, s, p, _ in sizes)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)

    @property
    def _stride(self) -> Any:
        return self.stride

    @property
    def _dilation(self) -> Any:
        return 1

    def _taps(self, source: Side, sink: Side) -> tuple[Any, Any, Any]:
        """Return position before, position after and number in the kernel of every tap, all flattened."""
        import numpy as np

        before, after = source.shape[1:], sink.shape[1:]
        if self.transposed:  # the other way round
            before, after = after, before
        kernel = _each(self.kernel, len(before))
        grids = np.indices((*after, *kernel)).reshape(2 * len(after), -1)
        out, offset = grids[: len(after)], grids[len(after) :]
        options = (self._stride, self.padding, self._dilation)
        strides, pads, apart = (np.array(_each(v, len(before)))[:, None] for v in options)
        inside = out * strides - pads + offset * apart
        valid = ((inside >= 0) & (inside < np.array(before)[:, None])).all(axis=0)
        flat = [
            np.ravel_multi_index(tuple(a[:, valid]), b) for a, b in ((inside, before), (out, after), (offset, kernel))
        ]
        return (flat[1], flat[0], flat[2]) if self.transposed else (flat[0], flat[1], flat[2])


@dataclass(frozen=True)
class _Convolution(_Window):
    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return torch's shape: (out, in, *kernel), or (in, out, *kernel) of a transposed one."""
        taken = source.shape[0] // self._groups
        channels = (taken, sink.shape[0]) if self.transposed else (sink.shape[0], taken)
        return (*channels, *_each(self.kernel, len(sink.shape) - 1))

    def fan_in(self, source: Side, sink: Side, name: str) -> int:
        """Return source channels times the elements of the kernel."""
        return source.shape[0] // self._groups * math.prod(_each(self.kernel, len(sink.shape) - 1))

    @property
    def _groups(self) -> int:
        return 1

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return one synapse per tap and pair of channels; taps share weights."""
        import numpy as np

        before, after, tap = self._taps(source, sink)
        taps = math.prod(_each(self.kernel, len(sink.shape) - 1))
        taken, made = source.shape[0] // self._groups, sink.shape[0] // self._groups
        parts = []
        for c_in, c_out in itertools.product(range(source.shape[0]), range(sink.shape[0])):
            if c_in // taken != c_out // made:
                continue
            first, second = (c_in, c_out) if self.transposed else (c_out, c_in % taken)
            channel = first * (sink.shape[0] if self.transposed else taken) + second
            pre = c_in * math.prod(source.shape[1:]) + before
            parts.append((pre, c_out * math.prod(sink.shape[1:]) + after, channel * taps + tap))
        pre, post, index = (np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.lexsort((post, pre))
        return SynapseList(pre[order], post[order], index[order])


@dataclass(frozen=True)
class _Spaced(_Convolution):
    dilation: Any = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)

    @property
    def _dilation(self) -> Any:
        return self.dilation

    @property
    def _groups(self) -> int:
        return self.groups

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand channels that fall into the groups, beside what every window demands."""
        if isinstance(self.groups, bool) or not isinstance(self.groups, int) or self.groups < 1:
            raise DeclarationError(f"groups of gc.{type(self).__name__} of {label} is {self.groups!r}", loc)
        _Window.check(self, source, sink, label, loc)
        for end in (source, sink):
            if end.shape[0] % self.groups:
                message = f"{label} has {self.groups} groups, but '{end.name}' {end.shape[0]} channels"
                raise DeclarationError(message, loc, "choose a divisor of both numbers of channels")


@dataclass(frozen=True)
class Conv1d(_Spaced):
    """A convolution over one axis; populations are (channels, length), weights as torch's."""

    axes: int | None = field(default=1, repr=False)


@dataclass(frozen=True)
class Conv2d(_Spaced):
    """A convolution over two axes; populations are (channels, height, width), weights as torch's."""

    axes: int | None = field(default=2, repr=False)


@dataclass(frozen=True)
class ConvTranspose(_Convolution):
    """A transposed convolution over one or two axes; weights ``(in, out, *kernel)`` as torch's."""

    transposed = True


@dataclass(frozen=True)
class AvgPool(_Window):
    """Means over windows of each channel, a kernel's size apart; the one weight, 1 by default, scales them."""

    stride: Any = None

    @property
    def _stride(self) -> Any:
        return self.kernel if self.stride is None else self.stride

    def check(self, source: Side, sink: Side, label: str, loc: Loc) -> None:
        """Demand equal channels beside what every window demands."""
        _Window.check(self, source, sink, label, loc)
        if source.shape[0] != sink.shape[0]:
            raise DeclarationError(
                f"gc.{type(self).__name__} of {label} keeps channels", loc, f"give '{sink.name}' {source.shape[0]}"
            )

    def weight_shape(self, source: Side, sink: Side, name: str) -> tuple[int, ...]:
        """Return the shape of the one scale."""
        return (1,)

    def scale(self, sink: Side) -> float:
        """Return one over the number of elements of a window."""
        return 1.0 / math.prod(_each(self.kernel, len(sink.shape) - 1))

    def synapses(self, source: Side, sink: Side, name: str) -> SynapseList:
        """Return one synapse per element of a window, of equal channels."""
        import numpy as np

        before, after, _ = self._taps(source, sink)
        channels = np.arange(source.shape[0])[:, None]
        pre = (channels * math.prod(source.shape[1:]) + before).ravel()
        post = (channels * math.prod(sink.shape[1:]) + after).ravel()
        order = np.lexsort((post, pre))
        return SynapseList(pre[order], post[order], np.zeros(len(pre), dtype=np.int64))


@dataclass(frozen=True)
class SumPool(AvgPool):
    """Sums over windows of each channel, a kernel's size apart; the one weight, 1 by default, scales them."""

    def scale(self, sink: Side) -> float:
        """Return 1."""
        return 1.0


def _each(value: Any, axes: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return numbers * axes if len(numbers) == 1 else numbers
