"""What a call on a GPU computes before its kernels, on tensors without data: nothing is waited for or copied over."""

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import graphc as gc
from graphc.ir.evaluate import scaled_series
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes
from graphc.runtime.prologue import Prologue, initial_state

from .oracles.networks import SCALES, build

CUDA = torch.device("cuda", 0)
WAITING = ("_local_scalar_dense", "linalg_matrix_exp", "nonzero", "equal.default")  # these read the device's memory


class Waits(TorchDispatchMode):
    """Collects what would wait for a GPU: copies between host and device, and operators that look at values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operator(*args, **(kwargs or {}))
        crosses = "_to_copy" in str(operator) and args[0].device != result.device
        on_device = any(isinstance(a, torch.Tensor) and a.device.type == "cuda" for a in args)
        if crosses or (on_device and any(name in str(operator) for name in WAITING)):
            self.found.append(str(operator))
        return result


def waits_of(network: gc.Network) -> tuple[list[str], set[str]]:
    """Return what the prologue of a call waits for, and the devices of what it hands to kernels.

    No gradient is asked for: autograd cannot record on a device that is not there. It would add no forward operator.
    """
    program = run_passes(lower(network), pipeline(Request()))
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), Waits() as seen:
        given = {
            p.name: torch.empty(tuple(program.sizes[a] for a in p.type.axes), device=CUDA) for p in program.parameters
        }
        made = Prologue(program, frozenset(), torch.float32, CUDA)(given)
        draws = {p.name: torch.empty(3, *(program.sizes[a] for a in p.type.axes), device=CUDA) for p in program.draws}
        tensors = {**made.given, **initial_state(program, given, draws, 3, torch.float32, CUDA)}
    return seen.found, {tensor.device.type for tensor in tensors.values()}


@pytest.fixture(autouse=True)
def contiguous_without_a_device(monkeypatch):
    """`contiguous` alone asks the driver for the device, which a build of torch for CPUs lacks; a clone does not."""
    monkeypatch.setattr(torch.Tensor, "contiguous", lambda x: x.clone(memory_format=torch.contiguous_format))


def test_what_noise_leaves_in_a_chain_waits_for_nothing():
    (v, i), xi, tau = gc.states("v i"), gc.noise("xi"), gc.param("tau", 5.0)
    net = gc.Network(dt=1.0)
    net.population("a", gc.Neuron("Chain", ode={v: (i - v) / 20.0, i: -i / tau + xi}, integrator="exact"), 4)
    net.output("a.v")
    found, devices = waits_of(net)
    assert not found and devices == {"cuda"}


@pytest.mark.parametrize("name", SCALES)
def test_coefficients_and_initial_state_wait_for_nothing(name):
    found, devices = waits_of(build(name, "recurrent").network)
    assert not found and devices == {"cuda"}


def test_numbers_alone_are_made_on_the_device():
    v, x = gc.state("v"), gc.input("x")
    plain = gc.Neuron("Plain", ode={v: -v / 10}, receive={v: v + x}, init={v: 0.5})
    net = gc.Network(dt=1.0)
    net.input("x", 4)
    net.population("hid", plain, 4)
    net.connect("x", "hid")
    net.output("hid")
    assert waits_of(net) == ([], {"cuda"})


def test_a_copy_to_the_device_is_seen():
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as seen:
        torch.tensor(3.0, device=CUDA)
        torch.full((), 3.0, device=CUDA)
        torch.linalg.matrix_exp(torch.empty(3, 3, device=CUDA))
    assert len(seen.found) == 2


@pytest.mark.parametrize("norm", [1e-8, 0.3, 5.0, 40.0])
def test_the_exponential_of_a_gpu_equals_torch(norm):
    rates = torch.rand(4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.7
    a = (rates * norm / torch.linalg.matrix_norm(rates, 1)[:, None, None]).requires_grad_()
    made, wanted = scaled_series(a), torch.linalg.matrix_exp(a)
    torch.testing.assert_close(made, wanted, rtol=1e-12, atol=1e-12)
    found = [torch.autograd.grad(result.sum(), a)[0] for result in (made, wanted)]
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)
