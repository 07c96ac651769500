"""The Spiking Heidelberg Digits and the Spiking Speech Commands: `.h5` files of spikes in 700 channels, and labels.

Source:
    Cramer, Stradmann, Schemmel & Zenke (2022), IEEE Trans. Neural Netw. Learn. Syst. 33, 2744-2757.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from graphc.ir.errors import GraphcError
from graphc.ir.loc import Loc
from graphc.values import time_in_ms

from .events import check_units, checked_times, events_to_dense, steps_of
from .ragged import Batch

UNITS = 700
MOST = 10**7
"""A file with more samples, or labels, than this is damaged."""


class Spoken(NamedTuple):
    """One spoken word: times of its spikes in ms, float64; their channels, int64; what was said."""

    times: np.ndarray
    units: np.ndarray
    label: int


class Heidelberg(torch.utils.data.Dataset[Spoken]):
    """The samples of a file, read one by one when they are asked for; the file is never written to.

    ``torch.utils.data.DataLoader(data, batch_size, collate_fn=data.collate)`` yields batches (T, B, 700), also with
    workers: each opens the file for itself.

    Args:
        path: such as shd_train.h5, unpacked.
        dt: step length of batches, a time or a number of ms.
        steps: T of every batch; that of its longest sample if not given.
        outside: what to do about spikes after `steps`: "drop", "warn" or "error".
        binary: at most one spike per channel and step.
        dtype: of batches.
        size: channels.

    Raises:
        GraphcError: h5py is not installed, or the file is no such file or damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dt: Any = 1.0,
        steps: int | None = None,
        outside: str = "drop",
        binary: bool = False,
        dtype: torch.dtype = torch.float32,
        size: int = UNITS,
    ) -> None:
        self.path = Path(path)
        self.dt = time_in_ms(dt, "dt of Heidelberg", Loc.caller())
        if not 0 < self.dt < float("inf"):
            raise GraphcError(f"dt is {self.dt!r} ms: give a positive time")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
            raise GraphcError(f"steps is {steps!r}: give a positive whole number")
        self.steps, self.outside, self.binary, self.dtype, self.size = steps, outside, binary, dtype, size
        self._file: Any = None
        self._process = 0
        with self._reading("its structure"):
            file = self._open()
            _check_structure(file, self.path)
            self.labels = torch.from_numpy(file["labels"][()].astype(np.int64))
            keys = file["extra/keys"][()] if "extra/keys" in file else ()
            self.names = tuple(k.decode("utf-8", "replace") if isinstance(k, bytes) else str(k) for k in keys)
            self.speakers = file["extra/speaker"][()].astype(np.int64) if "extra/speaker" in file else None
        wrong = (self.labels < 0) | (self.labels >= (len(self.names) or MOST))
        if wrong.any():
            b = int(wrong.int().argmax())
            raise GraphcError(f"{self.path}: sample {b} has the label {self.labels[b]} of {len(self.names)}")

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Spoken:
        """Return one sample; the last one is -1.

        Raises:
            GraphcError: the sample is damaged.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} samples, and none is {index}")
        k = int(index) % len(self)
        with self._reading(f"sample {k}"):
            file = self._open()
            times, units = file["spikes/times"][k], file["spikes/units"][k]
        what = f"{self.path}: sample {k}"
        if len(times) != len(units):
            raise GraphcError(f"{what} has {len(times)} times and {len(units)} units")
        which = units.astype(np.int64)
        check_units(which, self.size, what)
        return Spoken(checked_times(times, what) * 1e3, which, int(self.labels[k]))  # seconds to ms in float64

    def collate(self, samples: Sequence[Spoken]) -> Batch:
        """Return samples side by side, (T, B, 700), with their lengths in steps and their labels."""
        last = [steps_of(s.times.max(initial=-1.0), self.dt, 0.0, np.dtype(np.float64)) for s in samples]
        lengths = [max(0, int(step) + 1) for step in last]
        steps = max([1, *lengths]) if self.steps is None else self.steps
        values = events_to_dense(
            [s.times for s in samples], [s.units for s in samples],
            steps=steps, dt=self.dt, size=self.size, binary=self.binary, outside=self.outside, dtype=self.dtype,
        )  # fmt: skip
        labels = torch.tensor([s.label for s in samples])
        return Batch(values, torch.tensor(lengths).clamp(max=steps), labels)

    def close(self) -> None:
        """Close the file; the next sample opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the open file, for workers."""
        return {**self.__dict__, "_file": None}

    def _open(self) -> Any:
        if self._file is None or self._process != os.getpid():  # a file is not shared with the parent of a fork
            self._file, self._process = _h5py().File(self.path, "r"), os.getpid()
        return self._file

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn what h5py and numpy raise on a damaged file into an error that names it; leave no file open."""
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, FileNotFoundError):
                raise GraphcError(f"there is no file {self.path}", hint="graphc data list") from error
            if isinstance(error, (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError)):
                packed = self.path.suffix in (".gz", ".zip")
                hint = "unpack it first" if packed else "is it cut short? fetch it again: graphc data fetch"
                raise GraphcError(f"{self.path}: cannot read {what}: {error}", hint=hint) from error
            raise


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise GraphcError("HDF5 files need h5py", hint='pip install "graphc[data]"') from error
    return h5py


def _check_structure(file: Any, path: Path) -> None:
    h5py = _h5py()
    kinds = {"spikes/times": "f", "spikes/units": "iu", "labels": "iu"}
    for name, kind in kinds.items():
        found = file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise GraphcError(f"{path} has no array {name!r}: it holds {', '.join(file) or 'nothing'}")
        ragged = name.startswith("spikes/")
        base = h5py.check_vlen_dtype(found.dtype) if ragged else found.dtype
        if base is None or base.kind not in kind or found.ndim != 1:
            wanted = f"arrays of unequal length of {'real' if kind == 'f' else 'whole'} numbers, one per sample"
            wanted = wanted if ragged else "one whole number per sample"
            raise GraphcError(f"{path}: {name!r} is of {found.dtype}, shape {found.shape}, and must be {wanted}")
    lengths = {name: len(file[name]) for name in kinds}
    if max(lengths.values()) > MOST:
        raise GraphcError(f"{path}: {max(lengths.values())} samples are more than any such file has")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise GraphcError(f"{path}: {told}: there must be one of each per sample")
