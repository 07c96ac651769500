"""Readers of recorded data sets: electrocardiograms, Braille, current clamp."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from graphc.ir.errors import GraphcError

from .catalog import file_of
from .ragged import Batch

Where = str | os.PathLike[str] | None
UNLABELLED = 255
SEGMENTS = 6
LETTERS = 27


class Ecg(NamedTuple):
    """Electrocardiograms as spikes, and the segment of the wave at every step."""

    spikes: torch.Tensor
    """Shape (T, B, 4), float32, -1, 0 or 1."""
    labels: torch.Tensor
    """Shape (T, B), int64, 0 to 5; 0 where there is no label, as in the published figures."""
    labelled: torch.Tensor
    """Shape (T, B), bool: where there is a label."""


class Clamp(NamedTuple):
    """Sweeps of one neuron, from the soma."""

    v: torch.Tensor
    """Membrane potential in mV, shape (T, sweeps, 1), float32."""
    i: torch.Tensor
    """Injected current in pA, shape (T, sweeps, 1), float32."""
    dt: float
    """Time between two values in ms."""


def ecg(part: str, where: Where = None) -> Ecg:
    """Return the "train" or the "test" recordings of the QT Database.

    Raises:
        GraphcError: the file is absent or holds something else.
    """
    _check_part(part, "train", "test")
    path = file_of("ecg_qtdb", f"{part}.npz", where)
    arrays = _read(path, {"spikes": ("iu", 3), "label": ("iu", 2)})
    spikes, label = arrays["spikes"], arrays["label"]
    if label.shape != spikes.shape[:2] or spikes.shape[2] != 4:
        raise GraphcError(f"{path}: spikes {spikes.shape} and labels {label.shape} are not (B, T, 4) and (B, T)")
    _check_range(path, "spikes", spikes, -1, 1)
    _check_range(path, "label", label[label != UNLABELLED], 0, SEGMENTS - 1)
    labels = torch.as_tensor(label, dtype=torch.int64).T.contiguous()
    labelled = labels != UNLABELLED
    return Ecg(_time_first(spikes), labels.where(labelled, 0), labelled)


def braille(part: str, where: Where = None) -> Batch:
    """Return the "train" or the "test" trials: the first 80 % of a shuffle by numpy's ``RandomState(42)``, or the rest.

    Values are those of 12 sensors, (T, B, 12) float32 from 0 to 255; labels are 0 to 26 for A to S, space, T to Z.

    Raises:
        GraphcError: the file is absent or holds something else.
    """
    _check_part(part, "train", "test")
    path = file_of("braille", "braille.npz", where)
    arrays = _read(path, {"taxels": ("iu", 3), "length": ("iu", 1), "label": ("iu", 1)})
    taxels, length, label = arrays["taxels"], arrays["length"], arrays["label"]
    if not len(taxels) == len(length) == len(label) or len(taxels) < 2:
        raise GraphcError(f"{path}: {len(taxels)} trials, {len(length)} lengths and {len(label)} labels")
    _check_range(path, "length", length, 1, taxels.shape[1])
    _check_range(path, "label", label, 0, LETTERS - 1)
    order = np.random.RandomState(42).permutation(len(taxels))
    cut = int(0.8 * len(order))
    mine = order[:cut] if part == "train" else order[cut:]
    lengths, labels = (torch.as_tensor(array[mine], dtype=torch.int64) for array in (length, label))
    return Batch(_time_first(taxels[mine]), lengths, labels)


def current_clamp(part: str = "all", where: Where = None) -> Clamp:
    """Return "all" sweeps, or the even ones to "train", the odd ones to "test".

    Raises:
        GraphcError: the file is absent or holds something else.
    """
    _check_part(part, "all", "train", "test")
    path = file_of("current_clamp", "171116sh_0018.npz", where)
    arrays = _read(path, {"v_mV": ("f", 2), "i_pA": ("f", 2), "rate_hz": ("iuf", 0)})
    v, i, hertz = arrays["v_mV"], arrays["i_pA"], float(arrays["rate_hz"])
    if v.shape != i.shape or not 0 < hertz < float("inf"):
        raise GraphcError(f"{path}: potentials {v.shape} and currents {i.shape} at {hertz:g} Hz do not fit")
    for name, array in (("v_mV", v), ("i_pA", i)):
        if not np.isfinite(array).all():
            raise GraphcError(f"{path}: '{name}' of sweep {int((~np.isfinite(array)).any(1).argmax())} is not finite")
    sweeps = slice(*{"all": (None, None), "train": (0, None, 2), "test": (1, None, 2)}[part])
    return Clamp(_time_first(v[sweeps, :, None]), _time_first(i[sweeps, :, None]), 1e3 / hertz)


def _time_first(array: np.ndarray) -> torch.Tensor:
    """Return (B, T, N) as float32 (T, B, N)."""
    return torch.as_tensor(array, dtype=torch.float32).transpose(0, 1).contiguous()


def _check_part(part: str, *known: str) -> None:
    if part not in known:
        raise GraphcError(f"there is no part {part!r}: it is {' or '.join(map(repr, known))}")


def _check_range(path: Path, name: str, array: np.ndarray, low: int, high: int) -> None:
    if array.size and not (low <= array.min() and array.max() <= high):
        raise GraphcError(f"{path}: {name!r} goes from {array.min()} to {array.max()}, and must be {low} to {high}")


def _read(path: Path, wanted: dict[str, tuple[str, int]]) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file, each of the wanted kinds of dtype and number of axes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, Any] = {name: file[name] for name in wanted if name in file}
            held = ", ".join(file)
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise GraphcError(f"cannot read {path}: {error}", hint="graphc data check") from error
    for name, (kinds, axes) in wanted.items():
        if name not in found:
            raise GraphcError(f"{path} has no array {name!r}: it holds {held}")
        if found[name].dtype.kind not in kinds or found[name].ndim != axes:
            raise GraphcError(f"{path}: {name!r} is of {found[name].dtype} with {found[name].ndim} axes, not {axes}")
    return found
