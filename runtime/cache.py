"""Built kernels on disk: one file per content hash, in a folder that only its owner may open."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from graphc.ir import GraphcError


def location() -> Path:
    """Return where the cache is: ``$GRAPHC_CACHE`` or ``~/.cache/graphc``."""
    return Path(os.environ.get("GRAPHC_CACHE") or Path.home() / ".cache" / "graphc")


def folder() -> Path:
    """Return the folder of the cache, made when it is not there.

    Raises:
        GraphcError: it belongs to someone else, or others may write into it: what lies there would be executed.
    """
    path = location()
    path.mkdir(parents=True, mode=0o700, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.getuid():
        raise GraphcError(
            f"the cache folder {path} belongs to another user", hint="set GRAPHC_CACHE to a folder of yours"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise GraphcError(
            f"others may write into the cache folder {path}", hint=f"chmod 700 {path}, after a look into it"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def tuning_file() -> Path | None:
    """Return the tuning database that models read: $GRAPHC_TUNE_DB, or one in the cache; None where that is empty."""
    named = os.environ.get("GRAPHC_TUNE_DB")
    if named is not None:
        return Path(named) if named else None
    return folder() / "tune.sqlite"


def entries(home: Path) -> list[tuple[Path, bool]]:
    """Return the built files in `home`, each with whether it is what was written: the next use builds others again."""
    files = sorted(p for p in home.iterdir() if re.fullmatch("[0-9a-f]{40}", p.stem) and p.suffix != ".sha256")
    return [(path, _is_whole(path, path.with_suffix(".sha256"))) for path in files]


def content_hash(*parts: str) -> str:
    """Return a hash of `parts`, which differs when any boundary between them does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:40]


def fetch(key: str, suffix: str, build: Callable[[Path], None]) -> Path:
    """Return the file ``key + suffix`` of the cache; where it is missing or damaged, `build` writes it first.

    Processes may build the same file at the same time: each writes its own and the last one stays, whole at any moment.

    Args:
        key: hash of everything that the content depends on.
        suffix: file name suffix, such as ".so".
        build: writes the file at the path that it is given.
    """
    home = folder()
    path, check = home / f"{key}{suffix}", home / f"{key}.sha256"
    if _is_whole(path, check):
        return path
    with tempfile.TemporaryDirectory(dir=home, prefix=f".{key[:8]}-") as scratch:
        built, noted = Path(scratch) / path.name, Path(scratch) / check.name
        build(built)
        noted.write_text(hash_of(built))
        os.replace(built, path)
        os.replace(noted, check)
    return path


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_whole(path: Path, check: Path) -> bool:
    try:
        return check.read_text() == hash_of(path)
    except FileNotFoundError:
        return False
