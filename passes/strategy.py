"""How the Triton target lays out one time loop: a resource model chooses, and says why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from graphc.ir import DeviceSpec, Graph, Map, Node, Precision, Program, Synapses, TargetError, Value

from .options import check_options
from .phases import MIXING
from .pressure import pressure

Dtype = Literal["float32", "float64"]
Strategy = Literal["rows", "elementwise", "resident", "cooperative", "stepwise"]
RESIDENT_LIMIT = {"float32": 128, "tf32": 128, "bfloat16": 256, "float16": 256, "float64": 64}
"""Neurons of a population of which one program of the resident strategy holds all, by precision."""

RESERVED = 24 * 1024  # bytes of shared memory that Triton needs beside the weights, to exchange values between warps
HOPPER = DeviceSpec("cuda", 90, 132, 232448, True)  # stands in where the device does not tell

REGISTERS = {4: 255, 8: 255, 16: 128}
"""Registers that a thread can have, by the warps of a program."""

RESIDENT = 40
LOADING = {(16, 4): 72, (16, 8): 72, (32, 4): 155, (32, 8): 184}
HOLDING = {(16, 8): 72, (32, 8): 125}
"""Registers that a kernel uses whatever its neuron, for products, addresses and masks: of cooperative kernels by
samples and warps, and by whether they load their weights at every step. More warps have fewer terms of each sum where
weights are held. All such figures are of kernels built for sm_80 and sm_90 with Triton 3.6 and 3.9; what they admit
does not spill in its loop, but for a few instructions."""

PER_WEIGHT = 24  # registers for every weight matrix after the first
PLAIN = 28  # of `pressure`: what a step may be where 16 warps multiply without tensor cores
DOUBLE = {4: 100, 8: 60}  # of `pressure`, by warps: what the neurons of one thread may be together in float64
AMD_STEP = 60  # of `pressure`: what a cooperative step may be on AMD's devices
BATCH = 64  # samples that one launch of a cooperative kernel should hold
AHEAD = 4  # tiles of what other programs have published that are on their way while one is multiplied
SHORT_STEP = 48  # operations; a longer step hides the time of a load by itself, and copies of it take long to build
LEAST_SHARE = 16  # terms of a sum that one instruction of tensor cores takes
TILE = 128  # rows of a weight matrix that the cooperative strategy multiplies at once


@dataclass(frozen=True, slots=True)
class Layout:
    """The strategy of one time loop, its tiles, and why."""

    strategy: Strategy
    options: dict[str, int]
    reason: str


@dataclass(frozen=True, slots=True)
class Loop:
    """A time loop and what it would run on.

    Attributes:
        tuned: options that replace the defaults; "strategy" among them forces one.
    """

    graph: Graph
    program: Program
    device: DeviceSpec
    dtype: Dtype
    precision: Precision
    tuned: Mapping[str, int | str]

    @property
    def products(self) -> list[Node]:
        """The products made at every step."""
        return [n for n in self.graph.nodes if isinstance(n, MIXING)]

    @property
    def widest(self) -> int:
        """Neurons of the largest population."""
        sizes = (self.program.sizes[axis] for n in self.graph.nodes for axis in n.result.type.axes)
        return max(sizes, default=1)

    @property
    def kind(self) -> str:
        """The entry of a table by precision."""
        return "float64" if self.dtype == "float64" else self.precision

    @property
    def tensor_cores(self) -> bool:
        """Whether its products are of tensor cores, which round their factors."""
        return self.kind not in ("float32", "float64")

    @property
    def element(self) -> int:
        """Bytes of one factor of a product."""
        return {"float64": 8, "bfloat16": 2, "float16": 2}.get(self.kind, 4)

    @property
    def weights(self) -> list[Value]:
        """The weight matrices that a step multiplies with."""
        read = [n.role("synapse") if isinstance(n, Synapses) else n.operands[1:2] for n in self.products]
        return list(dict.fromkeys(v for values in read for v in values))

    @property
    def per_synapse(self) -> Node | None:
        """A sum whose terms are no products of factors, if there is one: torch evaluates it at every step."""
        return next((n for n in self.products if isinstance(n, Synapses)), None)

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a program."""
        return self.device.shared_memory or HOPPER.shared_memory

    @property
    def amd(self) -> bool:
        """Whether the device is AMD's: warps of 64, little shared memory, and weights that stay in registers."""
        return self.device.kind == "cuda" and self.shared <= 64 * 1024

    def option(self, name: str, default: int) -> int:
        """Return a tuned option or its default."""
        value = int(self.tuned.get(name, default))
        if value & (value - 1):
            raise TargetError(f"{name}={value} of schedule= is no power of two, as tiles must be", hint=f"{name}=16")
        return value


def lay_out(loop: Loop) -> Layout:
    """Return the layout of a time loop; a forced strategy is for loops that multiply, the others are elementwise.

    Raises:
        TargetError: `schedule=` asks for what this network, device or precision cannot have.
    """
    check_options(loop.tuned)
    layout = _choose(loop)
    if "stages" in loop.tuned:
        return replace(layout, options={**layout.options, "stages": loop.option("stages", 1)})
    return layout


def _choose(loop: Loop) -> Layout:
    forced = loop.tuned.get("strategy")
    if not loop.products:
        return _elementwise(loop)
    if forced is not None:
        refusal = {"elementwise": _not_elementwise, "resident": _not_resident, "cooperative": _not_cooperative}
        if forced != "stepwise" and (why := refusal[str(forced)](loop)):
            raise TargetError(f"strategy '{forced}' is asked for, but {why[0]}", loop.weights[0].loc, why[1])
        return _LAYOUTS[str(forced)](loop, "asked for")
    if (too_large := _not_resident(loop)) is None:
        return _resident(loop, f"its weights fit one program: at most {RESIDENT_LIMIT[loop.kind]} neurons")
    if (alone := _not_cooperative(loop)) is None and loop.device.kind != "cpu":
        return _cooperative(loop, f"not resident: {too_large[0]}")
    return _stepwise(loop, f"not resident: {too_large[0]}" + (f"; not cooperative: {alone[0]}" if alone else ""))


def padded(size: int) -> int:
    """Return the power of two, at least 16, to which a tile of `size` neurons is padded."""
    return max(16, 1 << (size - 1).bit_length())


def _elementwise(loop: Loop) -> Layout:
    short = sum(n.expr.count_ops() for n in loop.graph.nodes if isinstance(n, Map)) <= SHORT_STEP
    four = short and loop.dtype == "float32"
    options = {
        "unroll": loop.option("unroll", 4 if short else 1),
        "block": loop.option("block", _block(loop, 512 if four else 256)),  # four neurons a thread: 16 bytes
        "warps": loop.option("warps", 4),
    }
    return Layout("elementwise", options, "no neuron hears of another inside the loop")


def _block(loop: Loop, block: int) -> int:
    """Return `block`, or half of it where two neurons of float64 a thread are more than its registers hold."""
    return block // 2 if loop.dtype == "float64" and 4 * pressure(loop.graph) > 200 else block


def _resident(loop: Loop, reason: str) -> Layout:
    rows = loop.option("rows", 16)
    warps = _resident_warps(loop, rows) or 8
    return Layout("resident", {"rows": rows, "warps": loop.option("warps", warps)}, reason)


def _resident_warps(loop: Loop, rows: int) -> int:
    """Return the warps of a resident program whose values stay in registers; 0 if none does."""
    neurons = rows * padded(loop.widest)
    if loop.dtype == "float64" and loop.device.kind != "cpu" and not loop.amd:
        each = pressure(loop.graph) + 3 * (len(loop.weights) - 1)
        return next((w for w, most in DOUBLE.items() if -(-neurons // (32 * w)) * each <= most), 0)
    if not loop.tensor_cores:
        if loop.amd and loop.element * pressure(loop.graph) >= 8 * PLAIN:
            return 0
        plain = loop.widest <= 64 or (pressure(loop.graph) <= PLAIN and len(loop.weights) < 2)
        warps = 4 if loop.widest <= 32 or loop.amd else 8 if loop.widest <= 64 else 16
        return warps if plain or loop.device.kind == "cpu" else 0
    return next((w for w in (4, 8) if loop.device.kind == "cpu" or _fits(loop, RESIDENT, neurons, w)), 0)


def _fits(loop: Loop, fixed: int, neurons: int, warps: int) -> bool:
    """Return whether the threads of a program that has `neurons` of a batch tile keep their values in registers."""
    values = -(-neurons // ((64 if loop.amd else 32) * warps)) * pressure(loop.graph)
    most = REGISTERS[warps] * (2 if loop.amd and warps == 4 else 1)
    return fixed + values + PER_WEIGHT * (len(loop.weights) - 1) <= most


def _cooperative(loop: Loop, reason: str) -> Layout:
    columns = _columns(loop)
    programs = -(-loop.widest // columns)
    rows, warps = _cooperative_tile(loop, columns, programs)
    held = int(_holds(loop, columns, rows))
    has = "hold" if held else "load at every step"
    tiles = {"rows": rows, "columns": columns, "warps": warps, "programs": programs}
    return Layout(
        "cooperative",
        {**tiles, "held": held, "ahead": _ahead(loop), "shares": _shares(loop, warps) if held else 1},
        f"{reason}; {programs} programs {has} the weights of {columns} neurons each",
    )


def _shares(loop: Loop, warps: int) -> int:
    """Return in how many parts the warps of a program add up a product with held weights; 1 where they do not.

    The tile of results is small and the sums are long: of the results several warps would make the same, of the terms
    of the sums none do. Each takes `LEAST_SHARE` rows of the weights of a tile, or more.
    """
    rows = min(loop.program.sizes[n.operands[0].type.axes[0]] for n in loop.products)
    return warps if min(TILE, padded(rows)) >= LEAST_SHARE * warps else 1


def _cooperative_tile(loop: Loop, columns: int, programs: int) -> tuple[int, int]:
    """Return samples and warps of a program: if registers allow, so many that one launch holds a batch of `BATCH`."""
    once = loop.device.kind == "cpu" or -(-BATCH // 16) * programs <= loop.device.cores
    long = len(loop.products) * loop.widest > (512 if loop.kind == "tf32" else 2048)  # rows of weights
    warps = (4,) if loop.amd else (8,) if long else (4, 8)
    tiles: list[tuple[int, int]] = []
    for rows in (16,) if once else (32, 16):
        holds = _holds(loop, columns, loop.option("rows", rows))
        fixed = HOLDING if holds else LOADING
        tiles += [(rows, w) for w in ((8,) if holds else warps)]
        if fitting := [t for t in tiles if t in fixed and _fits(loop, fixed[t], t[0] * columns, t[1])]:
            tiles = fitting[:1]
            break
    rows, found = tiles[-1]
    return loop.option("rows", rows), loop.option("warps", found)


def _ahead(loop: Loop) -> int:
    """Return how many tiles are on their way: the registers of each are as many as those of a sum."""
    return loop.option("ahead", max(AHEAD // len(loop.weights), 1))


def _holds(loop: Loop, columns: int, rows: int) -> bool:
    """Return whether the weights of a cooperative program fit its shared memory, beside the tiles it hears of."""
    exchange = (_ahead(loop) + 1) * rows * TILE * loop.element + RESERVED // 3
    return loop.tensor_cores and not loop.amd and _slices(loop, columns) + exchange <= loop.shared


def _stepwise(loop: Loop, reason: str) -> Layout:
    options = {"block": loop.option("block", _block(loop, 256)), "warps": loop.option("warps", 4)}
    return Layout("stepwise", options, reason)


_LAYOUTS = {
    "elementwise": lambda loop, reason: _elementwise(loop),
    "resident": _resident,
    "cooperative": _cooperative,
    "stepwise": _stepwise,
}


def _not_elementwise(loop: Loop) -> tuple[str, str] | None:
    """Return why a loop cannot be elementwise, and what to do instead."""
    names = ", ".join(w.name for w in loop.weights)
    return f"its step multiplies with {names}", "leave the strategy out"


def _not_resident(loop: Loop) -> tuple[str, str] | None:
    """Return why no program can hold all of a loop, and what to do instead."""
    if (node := loop.per_synapse) is not None:
        return _per_synapse(node)
    limit = RESIDENT_LIMIT[loop.kind]
    hint = 'use strategy="cooperative" or "stepwise", or target="c"'
    if loop.widest > limit:
        return f"it holds at most {limit} neurons in {loop.kind} and a population here has {loop.widest}", hint
    total = sum(loop.element * math.prod(padded(loop.program.sizes[a]) for a in w.type.axes) for w in loop.weights)
    if total + RESERVED > loop.shared:
        names = ", ".join(sorted(w.name for w in loop.weights))
        return f"the weights {names} take {total} bytes of the {loop.shared - RESERVED} that a program can share", hint
    if loop.tuned.get("strategy") != "resident" and not _resident_warps(loop, loop.option("rows", 16)):
        return _too_long(loop), hint
    return None


def _too_long(loop: Loop) -> str:
    return f"its step keeps about {pressure(loop.graph)} values of each neuron, more than a thread has room for"


def _columns(loop: Loop) -> int:
    """Return the neurons of the widest population that one cooperative program has."""
    if "columns" in loop.tuned:
        return max(16, loop.option("columns", 0))
    if loop.device.kind == "cpu":
        return padded(loop.widest)  # programs that cannot run at once: a single one
    return 32


def _slices(loop: Loop, columns: int) -> int:
    """Return the bytes of the weights that one cooperative program multiplies with."""
    programs = -(-loop.widest // columns)
    total = 0
    for node in loop.products:
        rows = loop.program.sizes[node.operands[0].type.axes[0]]
        own = padded(-(-loop.program.sizes[node.result.type.axes[0]] // programs))
        total += loop.element * (-(-rows // TILE) * TILE) * own
    return total


def _per_synapse(node: Node) -> tuple[str, str]:
    return f"{node.result.name} is a sum per synapse, which torch makes", 'use strategy="stepwise", or target="c"'


def _not_cooperative(loop: Loop) -> tuple[str, str] | None:
    """Return why the programs of a loop cannot wait for each other, and what to do instead."""
    if (node := loop.per_synapse) is not None:
        return _per_synapse(node)
    hint = 'use strategy="stepwise", or target="c"'
    if loop.dtype == "float64":
        return "its products are in float32 or less, and the model computes in float64", hint
    if loop.device.kind != "cpu" and not loop.device.cooperative:
        return "the device does not launch cooperative grids", hint
    if loop.amd and loop.tuned.get("strategy") != "cooperative" and pressure(loop.graph) > AMD_STEP:
        return _too_long(loop), hint
    programs, cores = -(-loop.widest // _columns(loop)), loop.device.cores
    if loop.device.kind != "cpu" and programs > cores:
        return f"{programs} programs of {_columns(loop)} neurons must run at once and the device runs {cores}", hint
    return None
