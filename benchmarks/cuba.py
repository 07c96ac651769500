"""The network of c6 as plain data: constants, and the seeded pairs of neurons that are connected.

The current-based network of Brian2's example CUBA: 3200 excitatory and 800 inhibitory neurons, every pair connected
with a probability of 2 %. Everybody reads the same pairs from files, so this module needs NumPy only.

Source:
    Vogels & Abbott (2005), J. Neurosci. 25, 10786-10795; the variant of Brette et al. (2007), J. Comput. Neurosci. 23,
    349-398, benchmark 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXCITATORY, INHIBITORY = 3200, 800
PROBABILITY = 0.02
TAU_M, TAU_E, TAU_I = 20.0, 5.0, 10.0
V_REST, V_RESET, V_THRESHOLD = -49.0, -60.0, -50.0
W_EXC, W_INH = 60 * 0.27 / 10, -20 * 4.5 / 10
HELD_STEPS = 49
"""Steps without integration after a spike: Brian2 holds n - 1 for a refractory period of n steps, graphc n."""


def make_network(neurons: int, seed: int = 6) -> dict[str, NDArray[Any]]:
    """Return the pairs (pre, post) of both kinds, counted through the whole network, and the initial potentials."""
    if neurons != EXCITATORY + INHIBITORY:
        raise ValueError(f"the network has {EXCITATORY + INHIBITORY} neurons, not {neurons}")
    draw = np.random.default_rng(seed)
    pre, post = np.nonzero(draw.random((neurons, neurons)) < PROBABILITY)
    exc = pre < EXCITATORY
    return {
        "exc_pre": pre[exc].astype(np.int32),
        "exc_post": post[exc].astype(np.int32),
        "inh_pre": pre[~exc].astype(np.int32),
        "inh_post": post[~exc].astype(np.int32),
        "v": (V_RESET + (V_THRESHOLD - V_RESET) * draw.random(neurons)).astype(np.float32),
    }
