"""Memory that is used again from call to call, and views of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence

import torch

_SMALL = 1 << 16  # bytes below which fresh memory costs nothing worth saving
_IDLE = 512  # requests after which free memory of a size that nobody asked for goes back
_LARGER = 1.25  # how much larger than asked for a storage may be: sequences of many lengths share a few


class Arena:
    """Storages of one model, handed out again once nothing else refers to them.

    Fresh memory costs a page fault per 4 KB, several times what a kernel needs to fill it. A storage is free when the
    arena holds the only reference, so a tensor that a user keeps is never written again.
    """

    def __init__(self) -> None:
        self._storages: dict[tuple[int, torch.device], list[torch.UntypedStorage]] = {}
        self._asked: dict[tuple[int, torch.device], int] = {}
        self._requests = 0
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Return an uninitialised contiguous tensor."""
        size = math.prod(shape) * dtype.itemsize
        if size < _SMALL or device.type != "cpu":
            return torch.empty(tuple(shape), dtype=dtype, device=device)
        with self._lock:
            self._requests += 1
            storage = self._free((size, device))
            if storage is not None:
                tensor = torch.empty(0, dtype=dtype, device=device)
                tensor.set_(storage, 0, tuple(shape))  # type: ignore[call-overload]
                return tensor
            self._give_back()
            tensor = torch.empty(tuple(shape), dtype=dtype, device=device)
            self._asked[size, device] = self._requests
            self._storages.setdefault((size, device), []).append(tensor.untyped_storage())
            return tensor

    def _free(self, wanted: tuple[int, torch.device]) -> torch.UntypedStorage | None:
        """Return a free storage of the size that is wanted, else of one that is a little larger."""
        size, device = wanted

        def candidates() -> Iterator[tuple[int, torch.device]]:
            yield wanted  # most calls ask for what an earlier one gave back, and look no further
            larger = (key for key in self._storages if key[1] == device and size < key[0] <= _LARGER * size)
            yield from sorted(larger, key=lambda key: key[0])

        for key in candidates():
            for storage in self._storages.get(key, ()):
                if _is_free(storage):
                    self._asked[key] = self._requests
                    return storage
        return None

    def _give_back(self) -> None:
        """Drop the free storages of sizes that were last asked for long ago."""
        for key in [k for k, asked in self._asked.items() if self._requests - asked > _IDLE]:
            kept = [storage for storage in self._storages[key] if not _is_free(storage)]
            if kept:
                self._storages[key] = kept
            else:
                del self._storages[key], self._asked[key]

    def __deepcopy__(self, memo: object) -> Arena:
        """Return an empty arena: memory is not part of a model's value."""
        return Arena()

    def __reduce__(self) -> tuple[type[Arena], tuple[()]]:
        return Arena, ()


def _is_free(storage: torch.UntypedStorage) -> bool:
    """Whether nothing but the arena refers to `storage`."""
    return bool(torch._C._storage_Use_Count(storage._cdata) == 1)
