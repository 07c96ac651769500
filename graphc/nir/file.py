"""NIR files as nested dictionaries: every size is checked before it is read, and nothing but numbers and text is."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

Tree = dict[str, Any]
LARGEST = 1 << 30  # bytes of all arrays of a file together
DEEPEST = 64  # groups inside each other; NIR needs three per level of nested graphs
MOST = 200_000  # objects of a file
TEXT = 64 << 20  # characters of all text of a file together
_ROWS = 256  # of a list of edges, read at once


class Budget:
    """What may still be read of one file."""

    def __init__(self, nbytes: int) -> None:
        self.bytes, self.objects, self.text = nbytes, MOST, TEXT

    def spend(self, what: str, where: str, nbytes: int = 0, objects: int = 0, text: int = 0) -> None:
        """Take from the budget.

        Raises:
            DeclarationError: it is used up.
        """
        self.bytes, self.objects, self.text = self.bytes - nbytes, self.objects - objects, self.text - text
        if min(self.bytes, self.objects, self.text) < 0:
            hint = "if this is meant, raise max_bytes=" if self.bytes < 0 else "no network needs that many"
            raise DeclarationError(f"'{where}' of the NIR file is too large: {what}", Loc.caller(), hint)


@contextmanager
def hdf5(path: Any, loc: Loc) -> Iterator[Any]:
    """Open an HDF5 file; whatever h5py finds wrong in it becomes one error."""
    try:
        import h5py
    except ImportError:
        raise DeclarationError("NIR files need h5py", loc, 'pip install "graphc[nir]"') from None
    name = Path(path).name
    if not os.path.isfile(path):
        raise DeclarationError(f"there is no file '{path}'", loc)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except PermissionError:
        raise DeclarationError(f"'{path}' cannot be read", loc, "its permissions forbid it") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "it is truncated, damaged, or no HDF5 file"
        raise DeclarationError(f"'{name}' cannot be read as a NIR file: {first}", loc, hint) from None


def read_tree(path: Any, loc: Loc, max_bytes: int = LARGEST) -> Tree:
    """Return what the file holds: groups as dictionaries, datasets as arrays, numbers or text.

    Raises:
        DeclarationError: it is no NIR file, is damaged, or holds what is neither number nor text.
    """
    with hdf5(path, loc) as file:
        if "node" not in file:
            found = ", ".join(sorted(file)[:5]) or "nothing"
            message = f"'{Path(path).name}' is an HDF5 file, but no NIR graph: it has no group 'node'"
            raise DeclarationError(message, loc, f"it holds {found}")
        return _group(file, "", Budget(max_bytes), 0)


def write_tree(tree: Tree, path: Any, loc: Loc) -> None:
    """Write `tree`; a file appears at `path` once it is complete, and an old one stays where that fails."""
    try:
        import h5py
    except ImportError:
        raise DeclarationError("NIR files need h5py", loc, 'pip install "graphc[nir]"') from None
    target = Path(path)
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise DeclarationError(f"'{path}' cannot be written: {error.strerror}", loc) from None
    os.close(handle)
    try:
        with h5py.File(draft, "w") as file:
            _fill(file, tree)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(draft, 0o666 & ~mask)
        os.replace(draft, target)
    except OSError as error:
        raise DeclarationError(f"'{path}' cannot be written: {error}", loc) from None
    finally:
        Path(draft).unlink(missing_ok=True)


def _group(group: Any, where: str, budget: Budget, depth: int) -> Tree:
    import h5py

    if depth > DEEPEST:
        raise DeclarationError(
            f"'{where}' of the NIR file lies {depth} groups deep", Loc.caller(), "does it hold itself?"
        )
    budget.spend(f"{len(group)} entries", where or "/", objects=len(group) + 1)
    tree: Tree = {}
    for name in group:
        path = f"{where}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DeclarationError(f"'{path}' of the NIR file is a link", Loc.caller(), "copy what it points to")
        item = group[name]
        if isinstance(item, h5py.Group):
            tree[name] = _group(item, path, budget, depth + 1)
        elif isinstance(item, h5py.Dataset):
            tree[name] = _dataset(item, path, budget)
        else:
            raise DeclarationError(f"'{path}' of the NIR file is neither group nor dataset", Loc.caller())
    return tree


def _dataset(dataset: Any, where: str, budget: Budget) -> Any:
    """Return one array, number or text."""
    import h5py

    if dataset.is_virtual or dataset.external:
        raise DeclarationError(f"'{where}' of the NIR file lies in another file", Loc.caller(), "copy it")
    if dataset.shape is None:
        raise DeclarationError(f"'{where}' of the NIR file is empty", Loc.caller())
    count = math.prod(dataset.shape)
    if dataset.dtype.kind in "fiub" and dataset.dtype.itemsize <= 8:
        budget.spend(f"an array of shape {dataset.shape}", where, nbytes=count * dataset.dtype.itemsize)
        value = dataset[()]
        return value if dataset.shape else value.reshape(())[()]
    if h5py.check_string_dtype(dataset.dtype) is None and dataset.dtype.kind != "S":
        raise DeclarationError(f"'{where}' of the NIR file is {dataset.dtype}, neither numbers nor text", Loc.caller())
    budget.spend(f"text of shape {dataset.shape}", where, objects=count)
    if not dataset.shape:
        return _text(dataset[()], where, budget)
    rows = [row for k in range(0, len(dataset), _ROWS) for row in dataset[k : k + _ROWS].tolist()]
    return _texts(rows, where, budget)


def _texts(value: Any, where: str, budget: Budget) -> Any:
    return [_texts(v, where, budget) for v in value] if isinstance(value, list) else _text(value, where, budget)


def _text(value: Any, where: str, budget: Budget) -> str:
    text: str = value.decode("utf8") if isinstance(value, bytes) else str(value)
    budget.spend("its text", where, text=len(text))
    return text


def _fill(group: Any, tree: Tree) -> None:
    """Write a dictionary in the layout of the nir package."""
    import h5py
    import numpy as np

    for name, value in tree.items():
        if isinstance(value, dict):
            if name != "metadata" or value:
                _fill(group.create_group(name), value)
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, list):
            group.create_dataset(
                name, data=np.array(value, dtype=object).reshape(len(value), -1), dtype=h5py.string_dtype()
            )
        elif isinstance(value, np.ndarray) and value.ndim:
            group.create_dataset(name, data=value, compression="gzip" if value.size else None)
        else:
            group.create_dataset(name, data=value)
