"""Download a file of a data set: resumed where it stopped, verified before it is moved into place."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from graphc.ir.errors import GraphcError

from .catalog import RECORDED, DataSet, File, digest, recorded

PATIENCE = 30.0
"""Seconds without a byte after which a download ends."""

BLOCK = 1 << 18
AGAIN = "run the command again: it goes on where it stopped"
LARGEST = 1 << 36
"""No file unpacks to more bytes than this."""

Progress = Callable[[int, "int | None"], None]
"""Is called with the bytes that have come and how many there will be, None where the server does not say."""


def fetch(found: DataSet, file: File, where: Path, progress: Progress = lambda done, total: None) -> str:
    """Download and unpack `file` unless it is there; return its SHA-256.

    What has come of an archive stays in ``NAME.part`` when a download ends early. The file itself appears in one piece,
    after the checksum of its archive was found right, and its SHA-256 beside it.

    Args:
        found: the data set.
        file: of the data set.
        where: the folder of all data sets.
        progress: is told how far it is.

    Raises:
        GraphcError: no network, a wrong checksum, no room, or something else on the server.
    """
    path = found.path(file, where)
    if file.archive is None:
        raise GraphcError(f"{found.name} is not downloaded", hint=f"its source is {found.source}")
    if path.exists():
        return check(file, path) or digest(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(file.archive.rpartition("/")[2] + ".part")
    with _alone(part):
        if path.exists():  # another process was faster
            return check(file, path) or digest(path)
        _download(file, part, progress)
        return _unpack(file, part, path)


def check(file: File, path: Path) -> str | None:
    """Return the SHA-256 of a file if it is the right one, None where nobody knows which that is.

    Raises:
        GraphcError: it is another one.
    """
    wanted = recorded(file, path)
    if wanted is None:
        return None
    if (is_there := digest(path)) != wanted:
        message = f"{path} has the SHA-256 {is_there}, and must have {wanted}"
        raise GraphcError(message, hint="it was changed or is damaged: remove it and get it again")
    return wanted


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Keep a second download of the same file away."""
    lock = part.with_name(part.name + ".lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_mine = os.path.samestat(os.fstat(held.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):
            is_mine = False
        if not is_mine:
            raise GraphcError(f"another process downloads {part.name.removesuffix('.part')} now")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            with suppress(OSError):
                part.parent.rmdir()  # empty: nothing came


def _download(file: File, part: Path, progress: Progress) -> None:
    """Complete the archive in `part`; leave what came when that fails, unless it is wrong."""
    if file.md5 is None:
        part.unlink(missing_ok=True)  # nothing would tell that two halves are of two versions
    if part.exists() and digest(part, "md5") == file.md5:
        return
    was_there = part.stat().st_size if part.exists() else 0
    with _request(file, part, was_there) as answer, part.open("ab" if was_there else "wb") as out:
        if was_there and answer.status == http.HTTPStatus.OK:  # the server sends all of it again
            out.truncate(0)
            was_there = 0
        total = _total(answer, was_there)
        _check_room(part, None if total is None else total - was_there)
        done = _copy(answer, out, was_there, total, progress, file)
    if total is not None and done < total:
        raise GraphcError(f"{file.archive} ended after {done} of {total} bytes", hint=AGAIN)
    if file.md5 is not None and (came := digest(part, "md5")) != file.md5:
        part.unlink()
        message = f"{file.archive} has the MD5 {came}, and must have {file.md5}: what came is removed"
        raise GraphcError(message, hint="run the command again; if it stays so, the file on the server has changed")


@contextmanager
def _request(file: File, part: Path, start: int) -> Iterator[http.client.HTTPResponse]:
    assert file.archive is not None
    headers = {"User-Agent": "graphc data fetch", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(file.archive, headers=headers), timeout=PATIENCE) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise GraphcError(f"{part} is not the beginning of {file.archive}, and is removed", hint=AGAIN) from error
        raise GraphcError(f"{file.archive}: the server says {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise GraphcError(f"cannot reach {file.archive}: {reason}", hint=f"is there a network? {AGAIN}") from error


def _total(answer: http.client.HTTPResponse, was_there: int) -> int | None:
    """Return the length of the whole archive; raise where the server sends another range than was asked for."""
    if was_there and (sent := answer.headers.get("Content-Range")):
        matched = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", sent.strip())
        if matched is None or int(matched[1]) != was_there:
            raise GraphcError(f"the server sends {sent!r} and was asked for what follows byte {was_there}")
    length = answer.headers.get("Content-Length", "")
    return was_there + int(length) if length.isascii() and length.isdigit() else None


def _copy(
    answer: http.client.HTTPResponse, out: BinaryIO, done: int, total: int | None, progress: Progress, file: File
) -> int:
    """Write what comes to `out` and return how much there is in all."""
    progress(done, total)
    while block := answer.read(BLOCK):
        out.write(block)
        done += len(block)
        if done > LARGEST:
            raise GraphcError(f"{file.archive} is larger than {LARGEST >> 30} GiB")
        progress(done, total)
    return done


def _check_room(path: Path, more: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if more is not None and more > free:
        raise GraphcError(f"{path.parent} has room for {free >> 20} MiB and needs {more >> 20}", hint="--to FOLDER")


def _unpack(file: File, part: Path, path: Path) -> str:
    """Move the file in the archive into place, its SHA-256 first, and remove the archive."""
    unpacked = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(part) as archive:
            info = archive.getinfo(path.name)
            if info.file_size > LARGEST:
                raise GraphcError(f"{path.name} in {file.archive} is larger than {LARGEST >> 30} GiB")
            _check_room(path, info.file_size)
            sha256 = hashlib.sha256()
            with archive.open(info) as packed, unpacked.open("wb") as out:
                while block := packed.read(BLOCK):
                    out.write(block)
                    sha256.update(block)
                out.flush()
                os.fsync(out.fileno())
        _keep(file, path, unpacked, sha256.hexdigest())
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise GraphcError(f"{file.archive} holds no intact {path.name}: {error}; what came is removed") from error
    finally:
        unpacked.unlink(missing_ok=True)
    part.unlink()
    return sha256.hexdigest()


def _keep(file: File, path: Path, unpacked: Path, came: str) -> None:
    """Put the file into place, unless it was another one before, and note its SHA-256 as `sha256sum -c` reads it."""
    wanted = recorded(file, path)
    if wanted is not None and came != wanted:
        raise GraphcError(
            f"{path.name} has the SHA-256 {came}, and had {wanted} when it came first",
            hint=f"the source has changed; to take it as it is now, remove {path}{RECORDED}",
        )
    note = path.with_name(path.name + RECORDED)
    new = note.with_name(note.name + ".part")
    new.write_text(f"{came}  {path.name}\n")
    os.replace(new, note)
    os.replace(unpacked, path)
