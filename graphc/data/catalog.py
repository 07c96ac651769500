"""The data sets that graphc knows: files, checksums, sources, licences, and where they are kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from graphc.ir.errors import GraphcError
from graphc.names import did_you_mean

RECORDED = ".sha256"
"""Ending of the file beside a fetched one that keeps the SHA-256 it had when it came."""


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: within the folder of the set.
        sha256: of the file; None where nobody publishes it: then that of the first fetch is kept beside the file.
        archive: what is downloaded, a .zip that holds the file; None for a file that is not downloaded.
        md5: of the archive.
    """

    name: str
    sha256: str | None = None
    archive: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class DataSet:
    """Files that belong together, each set in a folder of its name."""

    name: str
    about: str
    source: str
    licence: str
    files: tuple[File, ...]

    @property
    def is_fetched(self) -> bool:
        """Whether `graphc data fetch` downloads it."""
        return any(file.archive for file in self.files)

    def path(self, file: File, where: Path | None = None) -> Path:
        """Return where `file` is or would be."""
        return (where or root()) / self.name / file.name


ZENKE = "https://zenkelab.org/datasets/"
# MD5 of SHD as tonic and, independently, SpikingJelly state it; of SSC as tonic does. zenkelab.org has no SHA-256.
SETS: tuple[DataSet, ...] = (
    DataSet(
        "ecg_qtdb",
        "electrocardiograms as level crossings in 4 channels, a label at every step",
        "PhysioNet QT Database (Laguna 1997), encoded by Yin, Corradi & Bohte (2021): "
        "github.com/byin-cwi/Efficient-spiking-networks",
        "MIT",
        (
            File("train.npz", "c31bec190f0011723b99249fe59ff91903d0f2255eba0040b0911c0d63714fd2"),
            File("test.npz", "022ed8eff3c7a656e800edb90c48fb258136dc0d8c56bc354f14d6a91f89250b"),
        ),
    ),
    DataSet(
        "braille",
        "12 tactile sensors that read 27 Braille letters, 40 Hz",
        "Müller-Cleve et al. (2022), Front. Neurosci. 16:951164: doi.org/10.5281/zenodo.6556273",
        "CC BY 4.0",
        (File("braille.npz", "d1eeb6e85ec506a7672b3b8e418023fc60ced1bc1dcfa92342b5c56dd5a64fb3"),),
    ),
    DataSet(
        "current_clamp",
        "one neuron in whole-cell current clamp, 17 sweeps of 3 s, -100 to 300 pA",
        "pyABF sample data 171116sh_0018.abf: github.com/swharden/pyABF",
        "MIT",
        (File("171116sh_0018.npz", "91c08c24fef6b3b08e299402c17fa47f700e8b9d59720fa916adf272a8376204"),),
    ),
    DataSet(
        "shd",
        "Spiking Heidelberg Digits: spoken digits in 700 channels, 20 classes",
        f"Cramer, Stradmann, Schemmel & Zenke (2022): {ZENKE}",
        "CC BY 4.0",
        (
            File("shd_train.h5", archive=f"{ZENKE}shd_train.h5.zip", md5="f3252aeb598ac776c1b526422d90eecb"),
            File("shd_test.h5", archive=f"{ZENKE}shd_test.h5.zip", md5="1503a5064faa34311c398fb0a1ed0a6f"),
        ),
    ),
    DataSet(
        "ssc",
        "Spiking Speech Commands: spoken words in 700 channels, 35 classes",
        f"Cramer, Stradmann, Schemmel & Zenke (2022): {ZENKE}",
        "CC BY 4.0",
        (
            File("ssc_train.h5", archive=f"{ZENKE}ssc_train.h5.zip", md5="d102be95e7144fcc0553d1f45ba94170"),
            File("ssc_valid.h5", archive=f"{ZENKE}ssc_valid.h5.zip", md5="b4eee3516a4a90dd0c71a6ac23a8ae43"),
            File("ssc_test.h5", archive=f"{ZENKE}ssc_test.h5.zip", md5="a35ff1e9cffdd02a20eb850c17c37748"),
        ),
    ),
)


def named(name: str) -> DataSet:
    """Return the data set of that name.

    Raises:
        GraphcError: there is none.
    """
    for known in SETS:
        if known.name == name:
            return known
    near = did_you_mean(name, (known.name for known in SETS))
    raise GraphcError(f"no data set is named {name!r}", hint=near or "graphc data list")


def root() -> Path:
    """Return the folder of all data sets.

    It is $GRAPHC_DATA; else shared/data beside the checkout that runs, where there is one; else graphc in
    $XDG_DATA_HOME, which is ~/.local/share.
    """
    if given := os.environ.get("GRAPHC_DATA"):
        return Path(given)
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    if beside.is_dir():
        return beside
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "graphc"


def folder(name: str, where: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a data set, all files of which are there.

    Args:
        name: of the set, as `graphc data list` shows it.
        where: the folder of all sets; `root()` if not given.

    Raises:
        GraphcError: no set of that name, or a file is absent; the hint says where it comes from.
    """
    found = named(name)
    base = None if where is None else Path(where)
    for file in found.files:
        if not found.path(file, base).is_file():
            raise GraphcError(f"there is no {found.path(file, base)}", hint=_way(found))
    return (base or root()) / name


def file_of(name: str, file: str, where: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of one file of a data set, which is there.

    Raises:
        GraphcError: it is not; the hint says where it comes from.
    """
    found = named(name)
    path = found.path(File(file), None if where is None else Path(where))
    if not path.is_file():
        raise GraphcError(f"there is no {path}", hint=_way(found))
    return path


def recorded(file: File, path: Path) -> str | None:
    """Return the SHA-256 that the file at `path` must have: the known one, else that kept beside it."""
    if file.sha256 is not None:
        return file.sha256
    beside = path.with_name(path.name + RECORDED)
    if not beside.is_file():
        return None
    word = beside.read_text(encoding="utf-8", errors="replace").split(maxsplit=1)[:1]
    if not word or len(word[0]) != 64 or not set(word[0]) <= set("0123456789abcdef"):
        raise GraphcError(f"{beside} holds no SHA-256", hint="remove it and fetch the file again")
    return word[0]


def digest(path: Path, kind: str = "sha256") -> str:
    """Return the checksum of a file in hexadecimal digits."""
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _way(found: DataSet) -> str:
    if found.is_fetched:
        return f"graphc data fetch {found.name}"
    return f"set GRAPHC_DATA to a folder that holds {found.name}; its source is {found.source}"
