"""Kernels in Triton: one module text per half of a schedule.

Options of a kernel that this target reads, each with a default:

* `warps`: warps per program.
* `rows` (resident, cooperative): samples per program, a power of two, at least 16 where there is a product.
* `programs` (cooperative): how many programs share out the neurons of a batch tile.
* `held` (cooperative): 1 where programs keep their weights, 0 where they load them at every step.
* `block` (elementwise, stepwise): neurons times samples per program, a power of two.
* `unroll` (elementwise): steps whose inputs are loaded together.
"""

from __future__ import annotations

from .module import emit
from .plan import Plan, Pointer, plan
from .signature import Signature, options, signature

__all__ = ["Plan", "Pointer", "Signature", "emit", "options", "plan", "signature"]
