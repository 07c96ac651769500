"""What a tuned schedule is valid for: the network, the device, the size of a call, and the versions of the tools."""

from __future__ import annotations

import functools
import platform
import re
from dataclasses import astuple, dataclass, fields
from importlib import metadata
from pathlib import Path

import torch

from graphc.ir import Program, TargetError, show
from graphc.passes import Rule
from graphc.runtime.cache import content_hash
from graphc.runtime.compiler import find_compiler, version_of


@dataclass(frozen=True, slots=True)
class Identity:
    """The key of an entry, as texts and numbers.

    Attributes:
        graph: hash of the declared network, its learning rule and its precision.
        target: "c" or "triton".
        device: name of the GPU or CPU.
        capability: of a GPU its compute capability; of a CPU its architecture, vector extensions and threads.
        dtype: the state dtype, with the precision where that is another.
        learns: whether the call has a backward half.
        steps: bucket of T, the power of two from it on.
        batch: bucket of B.
        graphc: version.
        compiler: of Triton or of the C compiler.
        driver: of the GPU, empty on a CPU.
    """

    graph: str
    target: str
    device: str
    capability: str
    dtype: str
    learns: bool
    steps: int
    batch: int
    graphc: str
    compiler: str
    driver: str

    @property
    def tools(self) -> tuple[str, ...]:
        """What makes an entry stale where it differs."""
        return self.graphc, self.compiler, self.driver

    @property
    def place(self) -> tuple[object, ...]:
        """What makes an entry foreign where it differs."""
        return self.target, self.device, self.capability, self.dtype, self.learns

    def row(self) -> tuple[object, ...]:
        """Return the values in the order of the fields."""
        return astuple(self)


COLUMNS = tuple(f.name for f in fields(Identity))


def bucket(count: int) -> int:
    """Return the power of two that is at least `count`."""
    return 1 << max(count - 1, 0).bit_length()


def graph_hash(declared: Program, rule: Rule | None, precision: str) -> str:
    """Return the hash of a network: of its declared program, without the lines it was written on."""
    text = re.sub(r"  # \S+:\d+$", "", show(declared), flags=re.MULTILINE)
    return content_hash(text, str(rule), precision)


def identify(
    graph: str, target: str, device: torch.device, dtype: str, learns: bool, steps: int, batch: int
) -> Identity:
    """Return the identity of a call on this machine."""
    name, capability, driver = describe(str(device) if device.type == "cuda" else "cpu", torch.get_num_threads())
    compiler = _triton() if target == "triton" else _c()
    return Identity(
        graph, target, name, capability, dtype, learns, bucket(steps), bucket(batch), _version(), compiler, driver
    )


@functools.lru_cache(maxsize=1)
def _version() -> str:
    try:
        return metadata.version("graphc")
    except metadata.PackageNotFoundError:
        return "not installed"


@functools.lru_cache(maxsize=16)
def describe(device: str, threads: int) -> tuple[str, str, str]:
    """Return name, capability and driver of a device."""
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        return properties.name, f"{properties.major}.{properties.minor}", _driver()
    return cpu_name(), f"{platform.machine()} {_widest()}, {threads} threads", ""


@functools.lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    found = (
        re.search(r"^(?:model name|Hardware|CPU part)\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    )
    return found[1].strip() if found else platform.processor() or platform.machine()


@functools.lru_cache(maxsize=1)
def vector_bits() -> int:
    """Return the bits of this processor's widest vectors."""
    return {"AVX512": 512, "AVX2": 256}.get(torch.backends.cpu.get_cpu_capability(), 128)


def _widest() -> str:
    return str(torch.backends.cpu.get_cpu_capability())


def _driver() -> str:
    """Return the version of the driver, which torch does not tell."""
    path = Path("/proc/driver/nvidia/version")
    found = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", path.read_text()) if path.exists() else None
    return found[1] if found else str(torch.version.cuda or torch.version.hip or "")


def _triton() -> str:
    try:
        import triton
    except ImportError:
        return "no Triton"
    return f"triton {triton.__version__}"


def _c() -> str:
    try:
        return version_of(find_compiler()).partition("\n")[2].partition("\n")[0]
    except TargetError:
        return "no compiler"
