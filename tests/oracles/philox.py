"""Philox4x32-10 and its normal numbers in NumPy, from the paper: unsigned integers, and float64 after them.

Source:
    Salmon, Moraes, Dror & Shaw (2011), SC11, section 3.3.
"""

import numpy as np


def words(seed: int, steps: int, batch: int, neurons: int, stream: int) -> np.ndarray:
    """Return the four words of every step, sample and neuron, (4, T, B, N) uint32."""
    axes = np.meshgrid(np.arange(steps), np.arange(batch), np.arange(neurons), indexing="ij")
    counter = [*(a.astype(np.uint32) for a in axes), np.full(axes[0].shape, stream, np.uint32)]
    return np.stack(rounds(counter, [seed & 0xFFFFFFFF, seed >> 32]))


def rounds(counter: list[np.ndarray], key: list[int]) -> list[np.ndarray]:
    """Return ten rounds of a counter."""
    x = [np.asarray(c, np.uint64) for c in counter]
    for r in range(10):
        k = [np.uint64((key[0] + r * 0x9E3779B9) % 2**32), np.uint64((key[1] + r * 0xBB67AE85) % 2**32)]
        a, b = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        x = [(b >> np.uint64(32)) ^ x[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ x[3] ^ k[1], a & low]
    return [v.astype(np.uint32) for v in x]


def uniforms(w: np.ndarray) -> np.ndarray:
    """Return float64 numbers in [0, 1) from the first word."""
    return w[0] / 2.0**32


def normals(w: np.ndarray) -> np.ndarray:
    """Return normal numbers: the radius from 23 bits of the first word, the angle from 26 bits of the second."""
    radius = np.sqrt(-2 * np.log((np.floor(w[0] / 2**9) + 0.5) / 2**23))
    quarter, phase = w[1] >> 30, np.floor((w[1] % 2**30) / 2**6) / 2**24
    return radius * np.cos((phase - 0.5) * np.pi / 2 - quarter * np.pi / 2)
