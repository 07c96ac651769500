"""The table of what every Triton kernel of the zoo uses, built ahead of time: ``make static``.

One row per neuron, strategy, precision, size, architecture and half, in tests/golden/triton_static_RELEASE.txt:
releases of Triton allocate registers each in its way. A row whose text, signature and build options are those of its
hash is not built again; after an interruption the next run goes on.
``python -m tests.static_table WORD ...`` builds only the rows that hold all of these words.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from graphc.codegen.triton import emit, plan
from graphc.ir import Kernel, Program, Schedule
from graphc.passes import schedule
from graphc.passes.footprint import traffic
from graphc.runtime.ahead import KernelReport, built_kernels, compile_ahead, signatures
from graphc.runtime.cache import content_hash

from .models.triton_kernels import DEVICES, network_of, trained
from .oracles.networks import SCALES, WIDE

GOLDEN = Path(__file__).parent / "golden"
SIZES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "elementwise": dict.fromkeys(("float32", "tf32", "bfloat16", "float16", "float64"), (1024,)),
    "resident": {"float32": (64, 128), "tf32": (128,), "bfloat16": (128, 256), "float16": (256,), "float64": (32,)},
    "cooperative": {"float32": (512,), "tf32": (512,), "bfloat16": (1024,), "float16": (1024,)},
    "stepwise": dict.fromkeys(("float32", "tf32", "bfloat16", "float16", "float64"), (4096,)),
}
"""Strategy -> precision -> neurons; a state of float64 goes by the name of its dtype."""

PLAIN = ("elementwise", "float32", 90)
WIDTHS = (10, 8, 6, 6, 8, 5, 9, 5, 6)  # of the columns of figures
PROCESSES = 2
SAVED_EVERY = 20  # builds


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A network, how it is laid out, and what it is built for."""

    strategy: str
    precision: str
    size: int
    neuron: str
    arch: str

    @property
    def target(self) -> int | str:
        """The architecture as `compile_ahead` takes it."""
        return int(self.arch) if self.arch.isdigit() else self.arch

    def schedule(self) -> Schedule:
        """Return the schedule of the case; a loop may have another strategy, which the resource model prefers."""
        wide = self.precision == "float64"
        forced = {"strategy": "stepwise"} if self.strategy == "stepwise" else {}
        program = _program(self.neuron, self.size, None if self.strategy == "elementwise" else 1)
        precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32" if wide else self.precision  # type: ignore[assignment]
        dtype: Literal["float32", "float64"] = "float64" if wide else "float32"
        return schedule(program, DEVICES[self.target], dtype, "triton", forced, precision)


@functools.cache
def _program(neuron: str, size: int, delay: int | None) -> Program:
    return trained(network_of(neuron, size, delay))


@dataclass(frozen=True, slots=True)
class Figures:
    """What the kernels of one half use: the most of any of them, sums where instructions are counted.

    Attributes:
        registers: per thread.
        shared: bytes per program.
        stack: bytes per thread.
        local: instructions of the longest loop that read or write the stack.
        atomics: on floating-point numbers.
        wide: accesses of 8 bytes or more per thread, of all to global memory.
        loop: accesses in the longest loop.
        loads: bytes per thread that these load.
    """

    registers: int
    shared: int
    stack: int
    local: int
    atomics: int
    wide: int
    accesses: int
    loop: int
    loads: int

    @classmethod
    def of(cls, reports: Sequence[KernelReport]) -> Figures:
        """Return the figures of the kernels of one half."""
        return cls(
            max(r.registers for r in reports),
            max(r.shared for r in reports),
            max(r.spills for r in reports),
            sum(r.local for r in reports),
            sum(r.atomics for r in reports),
            sum(r.wide[0] for r in reports),
            sum(r.wide[1] for r in reports),
            max(r.loop for r in reports),
            max(r.loop_loads for r in reports),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One half of a case, or why the model prefers another strategy.

    Attributes:
        half: "forward" or "backward".
        hash: of the text, signatures and options.
        moved: bytes that the time loop reads and writes per neuron and step, as the schedule predicts.
        figures: None before it is built.
        refused: why there is nothing to build.
    """

    case: Case
    half: str
    hash: str = "-"
    moved: float = 0.0
    figures: Figures | None = None
    refused: str = ""

    def __str__(self) -> str:
        case, figures = self.case, self.figures
        start = f"{case.strategy:<12}{case.precision:<9}{case.size:>5} {case.neuron:<19} {case.arch:<7}{self.half:<9}"
        if figures is None:
            return f"{start}refused: {self.refused}"
        used = "".join(f"{n:>{w}}" for n, w in zip(astuple(figures), WIDTHS, strict=True))
        return f"{start}{self.hash}{used}{self.moved:>9.5g}"


def table_of(release: str) -> Path:
    """Return the table of a release of Triton, such as 3.6.0."""
    return GOLDEN / f"triton_static_{'.'.join(release.split('.')[:2])}.txt"


def read_table(path: Path) -> tuple[str, dict[tuple[Case, str], Row]]:
    """Return the Triton release that built the table, and its rows."""
    if not path.exists():
        return "", {}
    title, _, *lines = path.read_text().splitlines()
    rows = {}
    for line in lines:
        strategy, precision, size, neuron, arch, half, *rest = line.split()
        case = Case(strategy, precision, int(size), neuron, arch)
        if rest[0] == "refused:":
            row = Row(case, half, refused=" ".join(rest[1:]))
        else:
            row = Row(case, half, rest[0], float(rest[-1]), Figures(*map(int, rest[1:-1])))
        rows[case, half] = row
    return title.split()[2].rstrip(","), rows


def write_table(release: str, rows: Sequence[Row]) -> None:
    """Replace the table of a release at once."""
    path = table_of(release)
    names = "".join(f"{f.name:>{w}}" for f, w in zip(fields(Figures), WIDTHS, strict=True))
    lead = f"{'strategy':<12}{'dtype':<9}{'size':>5} {'neuron':<19} {'arch':<7}{'half':<9}{'hash':<12}"
    lines = [f"# triton {release}, by `make static`", f"{lead}{names}    moved", *map(str, rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text("\n".join(lines) + "\n")
    part.replace(path)


def all_cases() -> list[Case]:
    """Return every case in the order of the table; neurons that are not wide have the plainest kernel alone."""
    return [
        Case(strategy, precision, size, neuron, str(arch))
        for strategy, sizes in SIZES.items()
        for precision, wanted in sizes.items()
        for size, neuron, arch in itertools.product(wanted, SCALES, DEVICES)
        if neuron in WIDE or (strategy, precision, arch) == PLAIN
    ]


def rows_of(case: Case) -> Iterator[Row]:
    """Return the rows of a case without figures: nothing is built."""
    made = case.schedule()
    for half, text in emit(made).items():
        if refused := [k.reason for k in _loops(made, half) if k.strategy != case.strategy]:
            yield Row(case, half, refused=refused[0])
            continue
        built = signatures(made, half == "backward")
        code = re.sub(r"[ ]*#.*", "", text)  # comments name lines of the declaring files
        yield Row(case, half, content_hash(code, repr(sorted(built.items())))[:12], moved(made, half, case.size))


def _loops(made: Schedule, half: str) -> list[Kernel]:
    return [kernel for kernel in made.half(half == "backward") if kernel.kind != "product"]


def moved(made: Schedule, half: str, size: int) -> float:
    """Return the bytes of sequences that the loops of one half read and write per neuron and step."""
    return sum(traffic(made, kernel) for kernel in _loops(made, half)) / size


def build(case: Case, half: str) -> Figures:
    """Build one half of a case."""
    made = case.schedule()
    return Figures.of(compile_ahead(made, {half: emit(made)[half]}, case.target))


def loop_limits(case: Case, half: str) -> tuple[int, float]:
    """Return how many accesses a pass through a loop should need, and how many bytes a thread should load in it.

    Every sequence is loaded or stored once a step, 16 bytes at a time where a thread has as much of a row.
    """
    accesses, loaded, made = 0, 0.0, case.schedule()
    real = 8 if made.dtype == "float64" else 4
    narrow = 2 if made.precision in ("bfloat16", "float16") else real
    size = {"real": real, "narrow": narrow, "condition": narrow, "uint8": 1, "int32": 4}
    for kernel in built_kernels(made, half == "backward"):
        laid = plan(made, kernel)
        threads = laid.warps * (64 if case.arch.startswith("gfx") else 32)
        for number, pointer in enumerate(laid.pointers):
            if pointer.kind == "sequence":
                row = math.prod(laid.constants[laid.widths[a]] for a in pointer.type.axes) * laid.constants["_rows"]
                each = max(1.0, row / threads)
                bytes_each = each * 4 if pointer.storage == "bits" else each * size[pointer.storage]
                accesses += laid.unroll * math.ceil(each if pointer.storage == "bits" else bytes_each / 16)
                loaded += laid.unroll * max(16, bytes_each) * (number < len(laid.kernel.reads))
    return accesses, loaded


def main(words: Sequence[str]) -> int:
    """Bring the table up to date; return how many builds failed."""
    import triton

    release, known = read_table(table_of(triton.__version__))
    if release != triton.__version__:
        known = {}
    figures = {(row.hash, key[0].arch): row.figures for key, row in known.items() if row.figures}
    wanted = [row for case in all_cases() for row in rows_of(case)]
    open_rows: dict[tuple[str, str], Row] = {}
    for row in wanted:
        place = (row.hash, row.case.arch)
        if not row.refused and place not in figures and all(w in str(row).split() for w in words):
            open_rows.setdefault(place, row)
    print(f"{len(wanted)} rows, {len(open_rows)} to build")

    def save() -> None:
        done = []
        for row in wanted:
            found = figures.get((row.hash, row.case.arch))
            if row.refused or found:
                done.append(Row(row.case, row.half, row.hash, row.moved, found, row.refused))
        write_table(triton.__version__, done)

    failed = 0
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(PROCESSES, None, _prepare, (folder,)) as pool:
        running = {pool.submit(build, r.case, r.half): (place, r) for place, r in open_rows.items()}
        try:
            for count, future in enumerate(as_completed(running), start=1):
                place, row = running[future]
                if error := future.exception():
                    failed += 1
                    print(f"{row.case} {row.half}: {type(error).__name__}: {error}"[:2000], flush=True)
                    continue
                figures[place] = future.result()
                print(f"{count}/{len(open_rows)} {row.case} {row.half}: {figures[place]}", flush=True)
                if count % SAVED_EVERY == 0:
                    save()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            save()
    return failed


def _prepare(folder: str) -> None:
    """Make a worker polite: it yields to others, leaves Ctrl-C to its parent and fills no cache of the user's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    os.environ["TRITON_CACHE_DIR"] = f"{folder}/triton"
    os.environ["GRAPHC_CACHE"] = f"{folder}/graphc"


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
