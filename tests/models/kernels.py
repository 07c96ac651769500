"""Kernels built by hand, run by a loaded library and by the interpreter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import sympy
import torch

from graphc.codegen.c import emit
from graphc.ir import (
    Buffer,
    C,
    Carry,
    Const,
    Count,
    Graph,
    History,
    Input,
    Kernel,
    Map,
    Node,
    Outer,
    Output,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Region,
    Reset,
    Schedule,
    Spike,
    Spread,
    Test,
    Time,
    Type,
    Value,
    symbol,
)
from graphc.ir.interpret import Mode, run_region
from graphc.passes.fuse import loops_of, reordered
from graphc.passes.schedule import has_product
from graphc.runtime.load_c import load

STORAGE = {"uint8": torch.uint8, "int32": torch.int32}
WEIGHT = Type("real", False, ("hid", "hid"))


def value(name: str, *axes: str, dtype: str = "real", batched: bool = True) -> Value:
    """Return a value; without axes a scalar that samples share."""
    return Value(name, Type(dtype, batched and bool(axes), axes))  # type: ignore[arg-type]


def let(result: Value, text: str, *operands: Value) -> Map:
    """Return a Map whose expression is written as text."""
    names = {v.name: symbol(v) for v in operands}
    return Map(result=result, operands=operands, expr=sympy.parse_expr(text, local_dict=names))


def fire(result: Value, *operands: Value) -> Spike:
    """Return a Spike with the SuperSpike surrogate."""
    return Spike(
        result=result, operands=operands, strict=True, derivative=1 / (1 + sympy.Abs(C)) ** 2, antiderivative=C
    )


def cuba(delay: int = 0) -> Graph:
    """Return one step of CuBa-LIF, recurrent with `delay` unless that is 0."""
    x, v, i, before = value("x", "hid"), value("v", "hid"), value("i", "hid"), value("before", "hid", dtype="bool")
    keep, fade = value("keep", "hid", batched=False), value("fade")
    w, drive = Value("w", WEIGHT), value("drive", "hid")
    i2, v2, c, v3 = (value(n, "hid") for n in ("i2", "v2", "c", "v3"))
    z, zero = value("z", "hid", dtype="bool"), value("zero")
    recurrence: list[Node] = [
        Read(result=before, history="z", delay=delay),
        Project(result=drive, operands=(before, w)),
    ]
    step: list[Node] = [
        let(i2, "fade*i + x + drive", fade, i, x, drive) if delay else let(i2, "fade*i + x", fade, i, x),
        let(v2, "keep*v + (1 - keep)*i2", keep, v, i2),
        let(c, "v2 - 1", v2),
        fire(z, c),
        Const(result=zero, value=0.0),
        Reset(result=v3, operands=(v2, z, zero)),
    ]
    inputs = [Input("x", x, "sequence"), Input("keep", keep, "fixed"), Input("fade", fade, "fixed")]
    return Graph(
        "cuba",
        (*inputs, *([Input("w", w, "fixed")] if delay else [])),
        (*(recurrence if delay else []), *step),
        (Output("z", z, "sequence"), Output("c", c, "sequence")),
        (Carry("v", v, v3, "v0", "v1"), Carry("i", i, i2, None, "i1")),
        (History("z", z, delay, "z0", "z1"),) if delay else (),
    )


def adaptive() -> Graph:
    """Return a step with a refractory counter, time, transcendental functions, a shifted spike and two sums."""
    x, v, b, zero, count, n = (
        value("x", "h"),
        value("v", "h"),
        value("b", "h"),
        value("z0"),
        value("k", "h", dtype="int"),
        value("n"),
    )
    keep, rho, t, wave = value("keep", "h", batched=False), value("rho"), value("t"), value("wave")
    held, before, z = (value(name, "h", dtype="bool") for name in ("held", "before", "z"))
    spread, v2, theta, c, v3, b2 = (value(name, "h") for name in ("all", "v2", "theta", "c", "v3", "b2"))
    k2 = value("k2", "h", dtype="int")
    per_neuron, total = Value("per_neuron", Type("real", False, ("h",))), value("total")
    nodes = (
        Time(result=t, dt=0.5),
        let(wave, "0.3*sin(t)", t),
        Test(result=held, operands=(count,)),
        Const(result=n, value=3.0),
        Const(result=zero, value=-0.1),
        Read(result=before, history="past", delay=2),
        Spread(result=spread, operands=(wave,)),
        let(v2, "keep*v + (1 - keep)*x + all + before/100", keep, v, x, spread, before),
        let(theta, "0.5 + tanh(b)/5 + Max(b, 0.1)*exp(-b**2) + Piecewise((b, b > 0.3), (0, True))", b),
        let(c, "v2 - theta", v2, theta),
        fire(z, c, held),
        Reset(result=v3, operands=(v2, z, zero)),
        let(b2, "rho*b + z", rho, b, z),
        Count(result=k2, operands=(count, z, n)),
        Reduce(result=per_neuron, operands=(c,)),
        Reduce(result=total, operands=(v2,)),
    )
    return Graph(
        "adaptive",
        (Input("x", x, "sequence"), Input("keep", keep, "fixed"), Input("rho", rho, "fixed")),
        nodes,
        (
            *(Output(name, v_, "sequence") for name, v_ in (("z", z), ("held", held), ("v", v3), ("copy", x))),
            Output("per_neuron", per_neuron, "sum"),
            Output("total", total, "sum"),
        ),
        (Carry("v", v, v3, "v0", None), Carry("b", b, b2, None, "b1"), Carry("k", count, k2, "k0", "k1")),
        (History("past", z, 2, None, "past1"),),
    )


def adjoint() -> Graph:
    """Return a step backward: gradients through two weights, a dense product forward, and a sum over the batch."""
    gz, c, gi, gv, go = value("gz", "h"), value("c", "h"), value("gi", "h"), value("gv", "h"), value("go", "o")
    w, u = Value("w", Type("real", False, ("h", "h"))), Value("u", Type("real", False, ("h", "o")))
    back, through, g, gv2, gi2, term = (value(n, "h") for n in ("back", "through", "g", "gv2", "gi2", "term"))
    z, keep = value("z", "h", dtype="bool"), value("keep", "h", batched=False)
    dense, shifted, total = value("dense", "o"), value("shifted", "o"), Value("total", Type("real", False, ("h",)))
    bias = value("bias", "o")
    nodes = (
        ProjectTransposed(result=back, operands=(gi, w)),
        ProjectTransposed(result=through, operands=(go, u)),
        Test(result=z, operands=(c,)),
        let(g, "(gz + back + through)/(1 + 10*Abs(c))**2", gz, back, through, c),
        let(gv2, "keep*gv*(1 - z) + g", keep, gv, z, g),
        let(gi2, "0.1*gv2 + 0.8*gi", gv2, gi),
        let(term, "gv*gi", gv, gi),
        Reduce(result=total, operands=(term,)),
        Project(result=dense, operands=(gi2, u)),
        let(shifted, "dense + bias", dense, bias),
    )
    return Graph(
        "adjoint",
        (
            *(Input(v.name, v, "sequence") for v in (gz, c, go)),
            *(Input(v.name, v, "fixed") for v in (keep, w, u, bias)),
        ),
        nodes,
        (
            Output("total", total, "sum"),
            *(Output(n, v, "sequence") for n, v in (("gx", gi2), ("out", dense), ("out2", shifted))),
        ),
        (Carry("gi", gi, gi2, None, "gi1"), Carry("gv", gv, gv2, None, None)),
    )


def product(op: str, delay: int = 0, init: str | None = None, spikes: bool = True) -> Graph:
    """Return a product over all steps, of a source that may be shifted."""
    w = Value("w", Type("real", False, ("p", "q")))
    source, g = value("z", "p", dtype="bool" if spikes else "real"), value("g", "q")
    read = replace_name(source, "shifted") if delay else source
    reads = (Read(result=read, history="past", delay=delay),) if delay else ()
    past = (History("past", source, max(delay, 2), init, None),) if delay else ()
    if op == "project":
        drive = value("drive", "q")
        inputs = (Input("z", source, "sequence"), Input("w", w, "fixed"))
        node: Node = Project(result=drive, operands=(read, w))
        return Graph("product", inputs, (*reads, node), (Output("drive", drive, "sequence"),), (), past)
    if op == "transposed":
        back = value("back", "p")
        node = ProjectTransposed(result=back, operands=(g, w))
        inputs = (Input("g", g, "sequence"), Input("w", w, "fixed"))
        return Graph("product", inputs, (node,), (Output("back", back, "sequence"),))
    dw = Value("dw", Type("real", False, ("p", "q")))
    node = Outer(result=dw, operands=(read, g))
    inputs = (Input("z", source, "sequence"), Input("g", g, "sequence"))
    return Graph("product", inputs, (*reads, node), (Output("dw", dw, "fixed"),), (), past)


def replace_name(old: Value, name: str) -> Value:
    """Return a new value of the type of `old`."""
    return Value(name, old.type)


def schedule_of(
    graph: Graph,
    kind: str,
    sizes: Mapping[str, int],
    dtype: str = "float64",
    options: Mapping[str, int] | None = None,
    storage: Mapping[str, str] | None = None,
    checks: tuple[str, ...] = (),
) -> Schedule:
    """Return a schedule of one kernel; `storage` names the buffers that are not of the state dtype."""
    graph, kept = reordered(graph), dict(storage or {})
    buffers: dict[str, Buffer] = {}

    def add(name: str | None, v: Value, form: str, depth: int = 0) -> None:
        if name:
            buffers[name] = Buffer(name, v.type, form, kept.get(name, "real"), depth)  # type: ignore[arg-type]

    for i in graph.inputs:
        add(i.source, i.value, i.kind)
    for o in graph.outputs:
        add(o.name, o.value, "sequence" if o.kind == "sequence" else "fixed")
    for c in graph.carries:
        add(c.init, c.current, "fixed")
        add(c.final, c.current, "fixed")
    for h in graph.histories:
        add(h.init, h.value, "history", h.depth)
        add(h.final, h.value, "history", h.depth)
    named = {v.name: v for v in graph.values}
    tested = tuple((named[name], name) for name in checks)
    options = {"rows": 16 if has_product(graph) else 32, **(options or {})}
    kernel = Kernel(graph.name, kind, graph, loops_of(graph), "rows", options, False, tested)  # type: ignore[arg-type]
    return Schedule("c", dtype, dict(sizes), buffers, (kernel,), ())  # type: ignore[arg-type]


def shape_of(plan: Schedule, name: str, steps: int, batch: int) -> tuple[int, ...]:
    """Return the shape of a buffer."""
    buffer = plan.buffers[name]
    lead = {"sequence": (steps,), "history": (buffer.depth,), "fixed": ()}[buffer.kind]
    return (*lead, *((batch,) if buffer.type.batched else ()), *(plan.sizes[a] for a in buffer.type.axes))


def draw(plan: Schedule, steps: int, batch: int, rate: float = 0.2) -> dict[str, torch.Tensor]:
    """Return float64 inputs that float32 holds exactly; spikes at `rate`, weights small."""
    torch.manual_seed(steps * 100 + batch)
    given = {}
    for name in plan.kernels[0].reads:
        buffer, shape = plan.buffers[name], shape_of(plan, name, steps, batch)
        tensor = torch.rand(shape) - 0.3
        if buffer.type.dtype == "bool":
            tensor = (torch.rand(shape) < rate).float()
        elif buffer.type.dtype == "int":
            tensor = torch.randint(0, 3, shape).float()
        elif len(buffer.type.axes) == 2:
            tensor *= 2 / math.sqrt(shape[0])
        given[name] = tensor.double()
    return given


def run_c(
    plan: Schedule,
    given: Mapping[str, torch.Tensor],
    steps: int,
    batch: int,
    start: int = 0,
    bad: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Return what the kernel of `plan` writes; its outputs start as 99."""
    kernel, real = plan.kernels[0], getattr(torch, plan.dtype)
    tensors, written = [], {}
    for name in kernel.arguments:
        dtype = STORAGE.get(plan.buffers[name].storage, real)
        if name in kernel.writes:
            written[name] = torch.full(shape_of(plan, name, steps, batch), 99, dtype=dtype)
        kept = given[name] if name in given else written[name]
        tensors.append(written.get(name, kept if kept.dtype == dtype else kept.to(dtype)))
    load(plan, emit(plan)).launch(kernel, tensors, steps, batch, start, bad)
    return written


def run_reference(
    plan: Schedule, given: Mapping[str, torch.Tensor], steps: int, batch: int, start: int = 0
) -> dict[str, torch.Tensor]:
    """Return what the interpreter writes, in float64."""
    kernel = plan.kernels[0]
    env = {name: tensor.double() for name, tensor in given.items()}
    env |= {"@T": torch.tensor(steps), "@B": torch.tensor(batch), "@t": torch.tensor(start)}
    kind = "all_steps" if kernel.kind == "product" else kernel.kind
    program = SimpleNamespace(sizes=plan.sizes, inputs=())
    run_region(Region(kind, kernel.graph), program, env, Mode())  # type: ignore[arg-type]
    return {name: env[name] for name in kernel.writes}


def with_kind(plan: Schedule, kind: str) -> Schedule:
    """Return `plan` with its kernel of another kind."""
    return replace(plan, kernels=(replace(plan.kernels[0], kind=kind),))  # type: ignore[arg-type]
