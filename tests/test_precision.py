"""Numbers in tf32, bfloat16 and float16: what is rounded, and what is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.ir import Graph, Input, Output, Spike, gradient
from graphc.runtime import autograd
from graphc.runtime.buffers import Arena
from graphc.runtime.build import Build
from graphc.runtime.parameters import read_parameters
from graphc.runtime.products import _settings, matmul_into

from .models.kernels import fire, let, value
from .models.narrow import NARROW, rounding_to_nearest, run_stored, stored_schedule
from .models.triton_kernels import network_of
from .oracles.networks import SCALES

PRECISIONS = ["bfloat16", "float16"]
ADVERSARIAL = [
    0.0,
    -0.0,
    1e-30,
    -1e-30,
    1e-45,
    -1e-45,
    1e-39,
    65504.0 * 2,
    -65520.0,
    3.4e38,
    -3.4e38,
    2.0**-25,
    -(2.0**-24),
]
ADVERSARIAL += [float("inf"), float("-inf"), float("nan"), 1 + 2.0**-9, -1 - 2.0**-12, 6e-8, 1e-7]
EXACT = 1 / 64  # grain of weights: sums of a few are exact in float32, not in narrower types


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


@pytest.fixture
def nearest():
    with rounding_to_nearest():
        yield


def condition_kernels(precision: str, size: int):
    """Return a kernel that stores a condition and its spike, and one that tells the spike from what was stored."""
    x, c, again = (value(n, "h") for n in ("x", "c", "again"))
    z, z2 = value("z", "h", dtype="bool"), value("z2", "h", dtype="bool")
    forward = Graph(
        "forward",
        (Input("x", x, "sequence"),),
        (let(c, "x", x), fire(z, c)),
        (Output("c", c, "sequence"), Output("z", z, "sequence")),
    )
    back = Graph("back", (Input("c", again, "sequence"),), (fire(z2, again),), (Output("z2", z2, "sequence"),))
    storage = {"c": "condition"}
    return (
        stored_schedule(forward, "steps", {"h": size}, precision, storage),
        stored_schedule(back, "reverse", {"h": size}, precision, storage),
    )


@pytest.mark.interpret
@pytest.mark.parametrize("precision", PRECISIONS)
def test_backward_tells_the_spikes_of_forward_from_any_condition(precision, nearest):
    bits = np.random.default_rng(0).integers(0, 2**32, 500, dtype=np.uint64).astype(np.uint32)
    c = torch.from_numpy(np.concatenate([bits.view(np.float32), np.float32(ADVERSARIAL)])).reshape(4, 1, 130)
    first, second = condition_kernels(precision, 130)
    forward = run_stored(first, {"x": c}, 4, 1)
    z2 = run_stored(second, {"c": forward["c"]}, 4, 1)["z2"]
    kept = forward["c"].float()
    assert torch.equal(forward["z"], z2) and torch.equal(forward["z"], (c > 0).float()) and 0 < z2.sum() < z2.numel()
    assert torch.equal(kept < 0, c < 0) and torch.equal(kept.isnan(), c.isnan()) and torch.equal(kept == 0, c == 0)
    near = (c.abs() > 1e-4) & (c.abs() < 6e4)
    assert torch.equal(kept[near], c[near].to(NARROW[precision]).float()) and near.sum() > 20


@pytest.mark.interpret
@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(PRECISIONS),
    st.lists(st.one_of(st.sampled_from(ADVERSARIAL), st.floats(width=32)), min_size=6, max_size=6),
)
def test_the_sign_of_a_condition_survives(precision, numbers):
    c = torch.tensor(numbers, dtype=torch.float32).reshape(2, 1, 3)
    kept = run_stored(condition_kernels(precision, 3)[0], {"x": c}, 2, 1)["c"]
    assert kept.dtype is NARROW[precision] and torch.equal(kept > 0, c > 0) and torch.equal(kept < 0, c < 0)


@pytest.mark.interpret
@pytest.mark.parametrize("size", [32, 33, 100])
def test_bits_hold_the_spikes_of_32_neurons_in_order(size):
    c, z, z2 = value("c", "h"), value("z", "h", dtype="bool"), value("z", "h", dtype="bool")
    write = Graph("pack", (Input("c", c, "sequence"),), (fire(z, c),), (Output("z", z, "sequence"),))
    y = value("y", "h")
    read = Graph("unpack", (Input("z", z2, "sequence"),), (let(y, "2*z", z2),), (Output("y", y, "sequence"),))
    torch.manual_seed(size)
    given_c = torch.randn(5, 3, size)
    words = run_stored(stored_schedule(write, "steps", {"h": size}, "float32", {"z": "bits"}), {"c": given_c}, 5, 3)[
        "z"
    ]
    flags = np.pad((given_c > 0).numpy(), ((0, 0), (0, 0), (0, -size % 32)))
    assert np.array_equal(words.numpy().view(np.uint32), np.packbits(flags, -1, "little").view("<u4"))
    ours = run_stored(stored_schedule(read, "reverse", {"h": size}, "float32", {"z": "bits"}), {"z": words}, 5, 3)["y"]
    assert torch.equal(ours, 2 * (given_c > 0).float())


# Networks.


class Fires(torch.autograd.Function):
    """A spike with the SuperSpike surrogate."""

    @staticmethod
    def forward(ctx, c):
        ctx.save_for_backward(c)
        return (c > 0).to(c.dtype)

    @staticmethod
    def backward(ctx, g):
        return g / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


class Rounds(torch.autograd.Function):
    """To a narrow type and back; gradients too."""

    @staticmethod
    def forward(ctx, x, dtype):
        ctx.dtype = dtype
        return x.to(dtype).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g.to(ctx.dtype).to(g.dtype), None


def emulated(x, w, u, r, dtype):
    """Step an adaptive LIF layer and a readout in float32, rounding factors, sequences and outputs to `dtype`."""
    rounds = lambda tensor: Rounds.apply(tensor, dtype)  # noqa: E731
    v = b = z = x.new_zeros(x.shape[1], w.shape[1])
    o, ys, zs = x.new_zeros(x.shape[1], u.shape[1]), [], []
    for row in x:
        drive = rounds(rounds(row) @ rounds(w)) + (z @ rounds(r) if r is not None else 0)
        v = 0.5 * v * (1 - z.detach()) + drive
        b = 0.75 * b + 0.25 * z
        z = Fires.apply(v - b - 1)
        o = 0.5 * o + rounds(z @ rounds(u))
        ys.append(rounds(o))
        zs.append(z)
    return torch.stack(ys), torch.stack(zs)


def adaptive(recurrent: bool) -> tuple[gc.Network, dict[str, torch.Tensor]]:
    """Return the network that `emulated` steps, and its weights: dyadic, and with more digits than a narrow type."""
    v, b, o, x = gc.state("v"), gc.state("b"), gc.state("o"), gc.input("x")
    before = gc.previous(gc.spike)
    hidden = gc.Neuron(
        "Adaptive",
        update={v: 0.5 * v * (1 - gc.detach(before)) + x, b: 0.75 * b + 0.25 * before},
        spike=gc.Spike(v - b > 1, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    )
    torch.manual_seed(3)
    sizes = {"x_hid": (12, 40), "hid_out": (40, 5)} | ({"hid_hid": (40, 40)} if recurrent else {})
    weights = {n: (torch.randn(s) * 100 / s[0] ** 0.5).round() * EXACT for n, s in sizes.items()}
    net = gc.Network(dt=1.0)
    net.input("x", 12)
    net.population("hid", hidden, 40)
    net.population("out", gc.Neuron("Readout", update={o: 0.5 * o + x}), 5)
    for name, weight in weights.items():
        net.connect(*name.split("_"), weight=weight, delay=int(name == "hid_hid"))
    net.output("out")
    return net, weights


@pytest.mark.interpret
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_networks_equal_an_emulation_of_the_rounding(precision, recurrent, nearest):
    net, weights = adaptive(recurrent)
    model = gc.compile(net, target="triton", precision=precision)
    x = ((torch.rand(10, 3, 12) < 0.4) * torch.randint(1, 9, (10, 3, 12)) / 8).to(NARROW[precision])
    ours = model.run(x.requires_grad_(), record=["hid.spike"])
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    x2 = x.detach().float().requires_grad_()
    y, z = emulated(x2, leaves["x_hid"], leaves["hid_out"], leaves.get("hid_hid"), NARROW[precision])
    assert torch.equal(ours.records["hid.spike"].float(), z) and 0.02 < z.mean() < 0.5
    assert ours.output.dtype is model.io_dtype is NARROW[precision] and torch.equal(ours.output.float(), y)
    weight = torch.randn(y.shape)
    (ours.output.float() * weight).sum().backward()
    (y * weight).sum().backward()
    assert x.grad.dtype is NARROW[precision]
    near = 3e-2 if precision == "bfloat16" else 4e-3
    found = {n: getattr(model, n).weight.grad for n in weights} | {"x": x.grad.float()}
    for name, grad in ({n: w.grad for n, w in leaves.items()} | {"x": x2.grad}).items():
        assert (found[name] - grad).abs().max() < near * grad.abs().max(), name


@pytest.mark.interpret
@pytest.mark.parametrize(
    "neuron, precision", [("LIF", "bfloat16"), ("LIF", "float16"), ("AdEx", "float16"), ("CoBaLIF", "bfloat16")]
)
def test_the_backward_half_of_a_neuron_has_the_spikes_of_the_forward_half(neuron, precision):
    model = gc.compile(network_of(neuron, 40), target="triton", precision=precision)
    made = model.build(["hid.spike"], gradients=True)
    build = Build(with_spikes_of_the_backward_half(made.program), made.key, Arena())
    scale, dtype = SCALES[neuron], model.io_dtype
    torch.manual_seed(1)
    x = torch.rand(12, 2, 64) if scale.density is None else (torch.rand(12, 2, 64) < scale.density).float()
    draw = lambda p: torch.randn(p.shape) * scale.drive[1] * 0.5 + scale.drive[0] * 0.3  # noqa: E731
    weights = [draw(p) if p.dim() == 2 else p.detach() for p in read_parameters(model, made.program)]
    given, extent, _ = autograd._given(build, 12, 2, [x.to(dtype)], weights, [])
    given |= dict(zip(build.outputs, build.forward(given, extent), strict=True))
    given |= {gradient(name): torch.ones_like(given[name]) for name in made.program.outputs}
    again = build.backward(given, extent)["again"].numpy().view(np.uint8)
    spikes = given["hid.spike"]
    assert (
        torch.equal(torch.from_numpy(np.unpackbits(again, -1, 40, "little")), spikes.to(torch.uint8)) and spikes.any()
    )


def with_spikes_of_the_backward_half(program):
    """Return `program` with the spikes that its reverse loop computes among what that loop writes."""
    regions = []
    for region in program.regions:
        spikes = [n.result for n in region.graph.nodes if region.backward and isinstance(n, Spike)]
        outputs = region.graph.outputs + tuple(Output("again", z, "sequence") for z in spikes)
        regions.append(replace(region, graph=replace(region.graph, outputs=outputs)))
    return program.with_regions(regions)


@pytest.mark.interpret
def test_streaming_and_calls_without_elements_keep_the_dtype():
    net, _ = adaptive(False)
    model = gc.compile(net, target="triton", precision="bfloat16")
    x = (torch.rand(3, 2, 12) < 0.4).bfloat16()
    state, rows = model.initial_state(2), []
    for row in x:
        y, state = model.step(row, state)
        rows.append(y)
    assert torch.equal(torch.stack(rows), model(x)) and rows[0].dtype is torch.bfloat16
    assert state["hid.v"].dtype is torch.float32
    for steps, batch in ((0, 3), (2, 0)):
        empty = torch.zeros(steps, batch, 12, dtype=torch.bfloat16, requires_grad=True)
        y = model(empty)
        y.sum().backward()
        assert y.dtype is empty.grad.dtype is torch.bfloat16 and y.shape == (steps, batch, 5)


@pytest.mark.interpret
def test_an_output_without_a_gradient_and_torch_compile_know_the_dtypes():
    net, _ = adaptive(False)
    net.output("hid")
    model = gc.compile(net, target="triton", precision="float16")
    x = (torch.rand(3, 2, 12) < 0.4).half().requires_grad_()
    step = torch.compile(lambda x: model(x)["out"].float().square().sum(), backend="aot_eager", fullgraph=True)
    step(x).backward()
    compiled = [x.grad.clone(), model.x_hid.weight.grad.clone()]
    x.grad = model.x_hid.weight.grad = None
    model(x)["out"].float().square().sum().backward()
    assert torch.equal(compiled[0], x.grad) and torch.equal(compiled[1], model.x_hid.weight.grad)
    assert x.grad.dtype is torch.float16 and x.grad.any()


# What is refused, and products.


def test_inputs_of_another_dtype_are_refused_with_a_hint():
    net, _ = adaptive(False)
    x = torch.zeros(2, 1, 12)
    with pytest.raises(
        gc.GraphcError, match=r"is torch.float32, but the model takes torch.bfloat16\n(.|\n)*x.to\(torch.bfl"
    ):
        gc.compile(net, target="triton", precision="bfloat16")(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.nn.functional.linear(x, torch.eye(12))
        with pytest.raises(gc.GraphcError, match="precision='bfloat16'"):
            gc.compile(net, target="c")(half)


def test_models_of_half_the_width_are_refused_and_stay_as_they_are():
    model = gc.compile(adaptive(False)[0], precision="float16")
    for cast in (model.half, lambda: model.to(torch.float16)):
        with pytest.raises(gc.TargetError, match='precision="float16"'):
            cast()
    assert {p.dtype for p in model.parameters()} == {model.dtype} == {torch.float32}
    assert model.io_dtype is torch.float16 and gc.compile(adaptive(False)[0]).double().io_dtype is torch.float64


@pytest.mark.parametrize("target", ["c", "reference"])
def test_targets_that_round_nothing_refuse_a_precision(target):
    model = gc.compile(adaptive(False)[0], target=target, precision="bfloat16")
    with pytest.raises(gc.TargetError, match=f"target '{target}' does not compute in precision 'bfloat16'"):
        model(torch.zeros(2, 1, 12, dtype=torch.bfloat16))


def test_the_card_names_the_precision():
    net, _ = adaptive(False)
    texts = {p: gc.compile(net, target="triton", precision=p).explain() for p in ("float32", "tf32", "bfloat16")}
    assert "numerics: fast" in texts["float32"] and "numerics: loose" in texts["tf32"]
    assert len({text.split("semantics card ")[1][:12] for text in texts.values()}) == 3
    assert "saved hid_condition: bfloat16 that keeps the sign" in texts["bfloat16"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_round_factors_and_results_once(precision):
    torch.manual_seed(0)
    a, b, dtype = torch.randn(5, 3, 40), torch.randn(40, 7), NARROW[precision]
    exact = a.to(dtype).double() @ b.to(dtype).double()
    narrow, wide = torch.empty(5, 3, 7, dtype=dtype), torch.empty(5, 3, 7)
    matmul_into(a.to(dtype), b, narrow, precision)
    matmul_into(a, b, wide, precision)
    torch.testing.assert_close(wide.double(), exact, rtol=0, atol=1e-5)
    assert (narrow == exact.to(dtype)).double().mean() > 0.95 and torch.equal(narrow, wide.to(dtype))
    total = torch.ones(40, 7)
    matmul_into(a.flatten(0, 1).t(), wide.flatten(0, 1), total, precision, add=True)
    wanted = a.flatten(0, 1).t().to(dtype).double() @ wide.flatten(0, 1).to(dtype).double() + 1
    torch.testing.assert_close(total.double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_products_do_not_depend_on_the_settings_of_torch_and_leave_them(before):
    cuda = torch.backends.cuda.matmul
    torch.set_float32_matmul_precision(before)
    try:
        for precision, wanted in (("float32", {"none", "ieee"}), ("tf32", {"tf32"})):
            with _settings(precision, torch.device("cuda")):
                assert cuda.fp32_precision in wanted
        with _settings("float16", torch.device("cuda")):
            assert not cuda.allow_fp16_reduced_precision_reduction and not cuda.allow_fp16_accumulation
        with _settings("float32", torch.device("cpu")):
            assert torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")
        assert torch.get_float32_matmul_precision() == before and cuda.allow_fp16_reduced_precision_reduction
        assert cuda.allow_tf32 == (before != "highest")
    finally:
        torch.set_float32_matmul_precision("highest")
