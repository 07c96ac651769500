"""Memory that is used again from call to call, and views of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch

_SMALL = 1 << 16  # bytes below which fresh memory costs nothing worth saving


class Arena:
    """Storages of one model, handed out again once nothing else refers to them.

    Fresh memory costs a page fault per 4 KB, several times what a kernel needs to fill it. A storage is free when the
    arena holds the only reference, so a tensor that a user keeps is never written again.
    """

    def __init__(self) -> None:
        self._storages: dict[tuple[int, torch.device], list[torch.UntypedStorage]] = {}
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Return an uninitialised contiguous tensor."""
        size = math.prod(shape) * dtype.itemsize
        if size < _SMALL or device.type != "cpu":
            return torch.empty(tuple(shape), dtype=dtype, device=device)
        with self._lock:
            pool = self._storages.setdefault((size, device), [])
            for storage in pool:
                if torch._C._storage_Use_Count(storage._cdata) == 1:
                    return torch.empty(0, dtype=dtype, device=device).set_(storage, 0, tuple(shape))  # type: ignore[call-overload]
            tensor = torch.empty(tuple(shape), dtype=dtype, device=device)
            pool.append(tensor.untyped_storage())
            return tensor

    def __deepcopy__(self, memo: object) -> Arena:
        """Return an empty arena: memory is not part of a model's value."""
        return Arena()

    def __reduce__(self) -> tuple[type[Arena], tuple[()]]:
        return Arena, ()
