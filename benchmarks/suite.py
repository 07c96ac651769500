"""The CPU suite: ``python -m benchmarks.suite [c1 c2 c3 c4 c5 c6 c7 c8]`` (make bench).

Every work is first checked (the same spikes, the same gradients), then timed in alternation with its peers. Peers
that are not installed are left out with a line that says so. c4 takes eight minutes, most of them BrainTrace's, and
runs when it is named: ``python -m benchmarks.suite c4 --out benchmarks/results/cpu-online.json``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.table import Table

from benchmarks import c1, c2, c3, c4, c5, c6, c7, c8, hand
from benchmarks.contenders import TOLD, Contenders, Ours, start_peers, wait_for
from benchmarks.floor import Floor, budget_bytes, measure_floor
from benchmarks.process import Worker
from benchmarks.report import RESULTS, Row, spread, time_alternately, write
from benchmarks.tiles import measure_tiles
from benchmarks.works import Arrays, Work, compare, find_clean, make_inputs, save

WORKS: dict[str, ModuleType] = {"c1": c1, "c2": c2, "c3": c3, "c5": c5, "c7": c7}
SLOW = ("torch_compile",)


def check_all(contenders: Contenders, work: Work) -> dict[str, str]:
    """Return what each contender's agreement with ours is; raise where somebody does another work."""
    everything = np.ones(work.batch, np.float32)
    spikes = {name: one.check(everything) for name, one in contenders.items()}
    clean = find_clean(list(spikes.values()))
    frozen = {name: one.check(clean) for name, one in contenders.items()}
    told = {}
    for name in contenders:
        whole, part = compare(spikes["ours"], spikes[name]), compare(frozen["ours"], frozen[name])
        told[name] = f"{100 * whole.spikes_equal:.3f} % spikes, gradients {part.gradient_error:.0e}"
        if not part.holds:
            raise RuntimeError(f"{work.id}: {name} does not do the same work as ours: {told[name]}")
    return told | {"rate": f"{100 * compare(spikes['ours'], spikes['ours']).rate:.1f} %"}


def measure_work(module: ModuleType, workers: list[Worker], arrays: Arrays, rounds: int) -> Row:
    """Check and time one work; return its row with the target still open."""
    work: Work = module.WORK
    contenders: Contenders = {"ours": Ours(module.set_up_ours, work, arrays)}
    if work.id in ("c1", "c2"):
        contenders["hand-written C"] = Ours(hand.set_up, work, arrays)
    contenders |= {worker.name: worker for worker in workers}
    told = c7.check_all(contenders, work) if work.id == "c7" else check_all(contenders, work)
    times = time_alternately(
        {name: one.time for name, one in contenders.items()}, rounds, runs=1 if work.id == "c5" else 3
    )
    medians = {name: statistics.median(found) for name, found in times.items()}
    ours = medians.pop("ours")
    notes = {"checks": told, "spreads": {name: spread(found) for name, found in times.items()}}
    return Row(work.id, work.title, ours, spread(times["ours"]), "", False, 0.0, medians, notes)


def judge(row: Row, floor: Floor) -> None:
    """Fill in the row's ratio and whether its target is reached."""
    peers = {name: ms for name, ms in row.peers.items() if name != "hand-written C"}
    fastest = min(peers.values(), default=0.0) / row.ours_ms
    match row.id:
        case "c1":
            rate = budget_bytes(c1.WORK) / 1e6 / row.ours_ms
            row.notes["gb_s"] = rate
            row.target, row.ratio = "60 % of copy bandwidth", rate / floor.copy_gb_s
            row.reached = row.ratio >= 0.6
        case "c2":
            slowdowns = [peers[name] / row.ours_ms for name in c2.SPIKING_LIBRARIES if name in peers]
            libraries = min(slowdowns, default=0.0)
            by_hand = row.ours_ms / row.peers["hand-written C"]
            row.notes |= {"over_libraries": libraries, "over_hand": by_hand}
            row.target, row.ratio = "2x the fastest peer, 8x the libraries, 1.1x hand-written C", fastest
            row.reached = fastest >= 2 and libraries >= 8 and by_hand <= 1.1
        case "c3":
            row.target, row.ratio = "3x the fastest peer", fastest
            row.reached = fastest >= 3
        case "c5":
            row.target, row.ratio = "5x the fastest peer", fastest
            row.reached = fastest >= 5
        case "c7":
            row.target, row.ratio = "1.5x the fastest peer", fastest
            row.reached = fastest >= 1.5


def measure_costs() -> list[Row]:
    """Return the rows of c8: compile times through C and ahead of time through Triton, and the import."""
    cold, warm = c8.measure_compile(c8.COMPILE)
    rows = [
        Row("c8", "cold start of c3, C target", 1e3 * cold, 0.0, "below 2 s", cold < 2, cold),
        Row("c8", "warm start of c3, C target", 1e3 * warm, 0.0, "below 0.5 s", warm < 0.5, warm),
    ]
    title = "cold compile of c3 with 128 neurons, Triton for sm_90"
    try:
        ahead, again = c8.measure_compile(c8.AHEAD, repeats=1)
        rows.append(Row("c8", title, 1e3 * ahead, 0.0, "below 6 s", ahead < 6, ahead, notes={"warm_s": again}))
    except RuntimeError as error:  # no Triton, or one without a compiler for this device: the other figures stand
        TOLD.print(f"c8: {title} failed: {error}")
    found = c8.measure_imports()
    beyond = found["graphc"] - found["sympy"]
    reached = beyond <= 0.15 and not found["torch"]
    rows.append(
        Row("c8", "import graphc", 1e3 * found["graphc"], 0.0, "import sympy + 0.15 s, no torch", reached, beyond)
    )
    rows[-1].peers["import sympy"] = 1e3 * found["sympy"]
    told = c8.measure_help()
    rows.append(Row("c8", "graphc --help, CPU time", 1e3 * told, 0.0, "below 0.15 s", told < 0.15, told))
    return rows


def show(rows: list[Row], floor: Floor) -> None:
    """Print the table of a suite."""
    table = Table(title=f"floor: copy {floor.copy_gb_s:.1f} GB/s, product {floor.matrix_gflop_s:.0f} GFLOP/s")
    for heading in ("id", "work", "ours", "spread", "peers", "ratio", "target", "reached"):
        table.add_column(heading)
    for row in rows:
        peers = "\n".join(f"{name} {ms:.1f}" for name, ms in sorted(row.peers.items(), key=lambda pair: pair[1]))
        cells = (f"{row.ours_ms:.1f} ms", f"{100 * row.spread:.0f} %", peers, f"{row.ratio:.2f}", row.target)
        table.add_row(row.id, row.work, *cells, "yes" if row.reached else "NO")
    TOLD.print(table)


def main() -> None:
    """Run the works named on the command line, or all, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", default=[*WORKS, "c6", "c8"], help="c1 c2 c3 c4 c5 c6 c7 c8")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "cpu.json")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > 0.3:
        TOLD.print(f"load average {load:.1f}: something else runs on this machine, the figures will be poor")
    floor = measure_floor()
    rows: list[Row] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        prepared: list[tuple[ModuleType, list[Worker], Arrays]] = []
        for name in (name for name in WORKS if name in options.works):
            module, folder = WORKS[name], Path(scratch) / name
            arrays = make_inputs(module.WORK)
            save(module.WORK, arrays, folder)
            slow = tuple(name for name in module.PEERS if name in SLOW)
            prepared.append((module, start_peers(module.WORK, slow, folder), arrays))
        # What compiles for a minute does so at once, and nobody is timed before it is through.
        first = {worker: wait_for(worker) for _, workers, _ in prepared for worker in workers}
        for module, started, arrays in prepared:
            others = tuple(name for name in module.PEERS if name not in SLOW)
            for worker in start_peers(module.WORK, others, Path(scratch) / module.WORK.id):
                first[worker] = wait_for(worker)
                started.append(worker)
            workers = [worker for worker in started if first[worker] is not None]
            TOLD.print(f"{module.WORK.id}: {module.WORK.title}")
            row = measure_work(module, workers, arrays, options.rounds)
            row.notes["first_run_s"] = {worker.name: first[worker] for worker in workers}
            versions |= {name: text for worker in workers for name, text in worker.versions.items()}
            judge(row, floor)
            rows.append(row)
            for worker in started:
                worker.close()
        if "c4" in options.works:
            rows += c4.measure(Path(scratch) / "c4", min(options.rounds, 3), versions)
        if "c5" in options.works:
            rows += measure_tiles(options.rounds)
        if "c6" in options.works:
            rows += c6.measure(Path(scratch) / "c6", options.rounds, versions)
    if "c8" in options.works:
        rows += measure_costs()
    rows.sort(key=lambda row: row.id)
    show(rows, floor)
    write(options.out, rows, asdict(floor), versions=versions, load=load)


if __name__ == "__main__":
    main()
