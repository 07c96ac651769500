"""The passes in order, with a reason a line."""

from __future__ import annotations

from .adjoint import Adjoint
from .base import Pass, Request
from .delays import Delays
from .discretize import Discretize
from .fuse import Fuse
from .localize import Localize
from .materialize import Materialize
from .partition import Partition
from .prologue import SplitPrologue
from .simplify import Simplify
from .sparsity import Sparsity
from .tile_time import TileTime


def pipeline(request: Request) -> tuple[Pass, ...]:
    """Return the passes that turn a declared program into one that can be scheduled."""
    return (
        Discretize(),
        Sparsity(request),  # before the prologue, where matrices are made of lists
        *((Localize(request),) if request.rule else ()),  # before the prologue, which takes what it makes of weights
        SplitPrologue(),  # before the adjoint, which then stops at coefficients; torch differentiates the prologue
        Delays(),
        Adjoint(request),
        Simplify(),  # before partition: a value that nothing reads must not tie two stages together
        Partition(),
        *((Materialize(),) if request.recompute else ()),  # after partition: what crosses a stage is stored anyway
        Simplify(),  # what materialize computes again may stand twice
        TileTime(),  # after every pass that may put a node on a cycle
        Fuse(),  # last: every pass before it may add nodes
    )
