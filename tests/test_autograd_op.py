"""The torch operator: gradients, what torch may do around it, and what it refuses."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

import graphc as gc
from graphc.runtime import autograd, prologue

TARGETS = ["c", "reference"]


@functools.cache
def network(smooth: bool = False) -> gc.Network:
    """Return a recurrent network with learned parameters and a learned initial state; a smooth one has no spikes."""
    net = gc.Network(dt=1.0)
    net.input("x", 4)
    neuron = gc.zoo.CTRNN if smooth else gc.zoo.LIF
    tau = "tau" if smooth else "tau_mem"
    net.population("hid", neuron, 5, **{tau: gc.param(tau, 8.0, learn=True, per="neuron")})
    net.population("out", gc.zoo.LI, 2)
    net.connect("x", "hid", weight=np.linspace(-0.1, 0.3, 20).reshape(4, 5))
    net.connect("hid", "hid", delay=2, weight=np.linspace(-0.1, 0.1, 25).reshape(5, 5))
    net.connect("hid", "out", weight=np.linspace(-1, 1, 10).reshape(5, 2))
    net.output("out")
    return net


def fresh(target: str = "c", smooth: bool = False, dtype: torch.dtype = torch.float64) -> gc.Model:
    return gc.compile(network(smooth), target=target, dtype=dtype)


def drive(T: int = 12, B: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(T, B, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named_gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys() and a
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=name)
        assert a[name].abs().max() > 0, name


def test_backward_takes_the_coefficients_of_its_own_forward(monkeypatch):
    monkeypatch.setattr(prologue, "_COMPARED", -1)  # as on a GPU, where values are not compared
    computed: list[prologue.Prologue] = []
    compute = prologue.Prologue._compute
    monkeypatch.setattr(prologue.Prologue, "_compute", lambda self, read: computed.append(self) or compute(self, read))
    model, x = fresh(smooth=True), drive()
    leaves = [{n: (k * p.detach()).requires_grad_() for n, p in model.named_parameters()} for k in (1, 2)]

    def forward(given: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(model, given, x).square().sum()

    def gradients(losses: list[torch.Tensor]) -> list[torch.Tensor]:
        return [
            g for y, given in zip(losses, leaves, strict=True) for g in torch.autograd.grad(y, list(given.values()))
        ]

    apart = [g for given in leaves for g in torch.autograd.grad(forward(given), list(given.values()))]
    assert len(computed) == 2 and all(g.any() for g in apart)
    together = gradients([forward(given) for given in leaves])
    assert len(computed) == 4  # by each forward half alone, whatever was called in between
    assert all(map(torch.equal, together, apart)) and not torch.equal(apart[0], apart[len(leaves[0])])


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_of_a_smooth_network_are_its_differences(target):
    model, x = fresh(target, smooth=True), drive().requires_grad_()
    state = {k: v.requires_grad_() if v.is_floating_point() else v for k, v in model.initial_state(2).items()}
    names = [k for k, v in state.items() if v.requires_grad]
    parameters = list(model.parameters())

    def call(x: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        run = model.run(x, state=state | dict(zip(names, rest, strict=False)), record=["hid.v"])
        return run.output, run.records["hid.v"], *(run.state[n] for n in names)

    assert len(names) > 2 and len(parameters) == 5
    given = (x, *(state[n] for n in names))
    assert torch.autograd.gradcheck(call, given, fast_mode=True)
    assert torch.autograd.gradcheck(lambda *p: call(*given), parameters, fast_mode=True)


@pytest.mark.parametrize("target", TARGETS)
def test_backward_twice_over_a_retained_graph_adds_the_same(target):
    model = fresh(target)
    loss = model(drive()).pow(2).sum()
    loss.backward(retain_graph=True)
    once = named_gradients(model)
    loss.backward()
    assert_same({k: 2 * v for k, v in once.items()}, named_gradients(model))


@pytest.mark.parametrize("target", TARGETS)
def test_two_calls_before_their_backward_do_not_disturb_each_other(target):
    model = fresh(target)
    model(drive(seed=1)).pow(2).sum().backward()
    want = named_gradients(model)
    model.zero_grad()
    first = model(drive(seed=1)).pow(2).sum()
    second = model(drive(seed=2)).pow(2).sum()
    first.backward()
    assert_same(named_gradients(model), want)
    second.backward()
    assert not torch.equal(model.x_hid.weight.grad, want["x_hid.weight"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_second_derivative_is_refused(target):
    model = fresh(target)
    (gradient,) = torch.autograd.grad(model(drive()).pow(2).sum(), model.x_hid.weight, create_graph=True)
    with pytest.raises(gc.GraphcError, match="second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_requires_a_gradient_gets_one(target):
    model, plain = fresh(target), fresh(target)
    plain(drive()).pow(2).sum().backward()
    model.hid_hid.weight.requires_grad_(False)
    model.hid.tau_mem.requires_grad_(False)
    model(drive()).pow(2).sum().backward()
    want = named_gradients(plain)
    assert_same(named_gradients(model), {k: want[k] for k in ("x_hid.weight", "hid_out.weight")})


@pytest.mark.parametrize("target", TARGETS)
def test_a_frozen_model_gives_gradients_of_its_input(target):
    model, x = fresh(target), drive().requires_grad_()
    model(x).pow(2).sum().backward()
    want, x.grad = x.grad, None
    model.requires_grad_(False)
    model(x).pow(2).sum().backward()
    assert want.abs().max() > 0
    torch.testing.assert_close(x.grad, want)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_differentiated_records_nothing(target):
    model = fresh(target)
    want = model(drive())
    assert want.requires_grad
    with torch.no_grad():
        assert not model(drive()).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(model(drive()), want.detach())
    assert not gc.compile(network(), learn=None, target=target, dtype=torch.float64)(drive()).requires_grad


@pytest.mark.parametrize("target", TARGETS)
def test_a_first_call_in_inference_mode_leaves_a_model_that_trains(target):
    model, other = fresh(target), fresh(target)
    with torch.inference_mode():
        model(drive())
        state = model.initial_state(2)
        model.step(drive()[0], state)
    for each in (model, other):
        each(drive()).pow(2).sum().backward()
    assert_same(named_gradients(model), named_gradients(other))


@pytest.mark.parametrize("target", TARGETS)
def test_an_unused_output_counts_as_zero(target):
    model, plain = fresh(target), fresh(target)
    run = model.run(drive(), record=["hid.v", "hid.spike"])
    run.output.pow(2).sum().backward()
    plain(drive()).pow(2).sum().backward()
    assert_same(named_gradients(model), named_gradients(plain))
    run = model.run(drive(), record=["hid.v"])
    model.zero_grad()
    run.records["hid.v"].sum().backward()
    assert model.x_hid.weight.grad.abs().max() > 0
    assert model.hid_out.weight.grad is None or not model.hid_out.weight.grad.any()


@pytest.mark.parametrize("target", TARGETS)
def test_final_states_take_gradients_of_any_layout(target):
    model = fresh(target)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 2, generator=generator, dtype=torch.float64).t()
    assert not weight.is_contiguous()
    (model.run(drive()).state["hid.v"] * weight).sum().backward()
    strided = named_gradients(model)
    model.zero_grad()
    final = model.run(drive()).state["hid.v"]
    final.backward(weight.contiguous())
    assert_same(
        {k: v for k, v in strided.items() if v.any()}, {k: v for k, v in named_gradients(model).items() if v.any()}
    )
    assert strided["x_hid.weight"].abs().max() > 0


@pytest.mark.parametrize("target", TARGETS)
def test_a_learned_initial_state_gets_its_gradient(target):
    v, x = gc.state("v"), gc.input("x")
    start = gc.param("start", 0.5, learn=True, per="neuron")
    neuron = gc.Neuron("Leak", update={v: 0.9 * v + x}, init={v: start**2})
    net = gc.Network(dt=1.0)
    net.input("x", 2)
    net.population("n", neuron, 2)
    net.connect("x", "n", weight=np.eye(2))
    net.output("n")
    model = gc.compile(net, target=target, dtype=torch.float64)
    model(torch.zeros(3, 4, 2, dtype=torch.float64))[-1].sum().backward()
    torch.testing.assert_close(model.n.start.grad, torch.full((2,), 4 * 0.9**3 * 2 * 0.5, dtype=torch.float64))


def test_a_weight_changed_before_backward_is_noticed():
    model = fresh()
    loss = model(drive()).pow(2).sum()
    with torch.no_grad():
        model.hid_hid.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def arguments(model: gc.Model, x: torch.Tensor) -> tuple:
    """Return what `model(x)` calls the operator with."""
    from graphc.runtime.parameters import read_parameters

    parameters = read_parameters(model, model._program)
    build = model._build(model._key((), model._wrt([x], parameters, []), False))
    return build.name, x.shape[0], x.shape[1], [x], parameters, []


@pytest.mark.parametrize("needs", [True, False])
def test_opcheck_accepts_the_operator(needs):
    model, x = fresh(), drive(T=4).requires_grad_(needs)
    model.requires_grad_(needs)
    torch.library.opcheck(torch.ops.graphc.run.default, arguments(model, x))


def test_the_fake_implementation_tells_shapes_and_dtypes():
    model, x = fresh(dtype=torch.float32), drive(T=4).float()
    given = arguments(model, x)
    real = torch.ops.graphc.run(*given)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.ops.graphc.run(*given)
    assert len(real) > 3
    assert [(t.shape, t.dtype) for t in real] == [(t.shape, t.dtype) for t in fake]
    assert [t.stride() for t in real] == [t.stride() for t in fake]


class Classifier(nn.Module):
    """A model between other layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.model = nn.Linear(4, 4).double(), fresh()
        self.decode = nn.Linear(2, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.model(8 * torch.relu(self.encode(x))).mean(0))


def step(module: nn.Module, call: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    module.zero_grad()
    loss = nn.functional.cross_entropy(call(x), torch.tensor([0, 2]))
    loss.backward()
    return loss.detach(), named_gradients(module)


def test_compile_takes_the_whole_of_a_network_around_the_model():
    torch.compiler.reset()
    module = Classifier()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    want, gradients = step(module, module, drive())
    got, found = step(module, compiled, drive())
    torch.testing.assert_close(got, want)
    assert_same(found, gradients)
    with torch.no_grad():
        torch.testing.assert_close(compiled(drive()), module(drive()))


def test_compiled_code_takes_another_length():
    torch.compiler.reset()
    model = fresh()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for shape in ((12, 2), (9, 3), (7, 5)):
        torch.testing.assert_close(compiled(drive(*shape)), model(drive(*shape)))


def test_compile_takes_steps_and_runs():
    torch.compiler.reset()
    model, x = fresh(), drive()
    advance = torch.compile(lambda x, state: model.step(x, state), fullgraph=True, backend="aot_eager")
    whole = model.run(x, record=["hid.v"])
    state = model.initial_state(2)
    for t in range(4):
        y, state = advance(x[t], state)
        torch.testing.assert_close(y, whole.output[t])
    recorded = torch.compile(lambda x: model.run(x, record=["hid.v"]).records["hid.v"], fullgraph=True, backend="eager")
    torch.testing.assert_close(recorded(x), whole.records["hid.v"])


def test_an_operator_call_without_its_model_says_so():
    with pytest.raises(gc.GraphcError, match="model of this operator call is gone"):
        torch.ops.graphc.run("nothing", 1, 1, [torch.zeros(1, 1, 1)], [], [])
    assert "nothing" not in autograd.BUILDS
