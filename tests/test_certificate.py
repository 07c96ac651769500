"""model.verify compares a target with the float64 reference, spike by spike, and fails where it must."""

import pytest
import torch

import graphc as gc
from graphc.certificate import Certificate, certify
from graphc.certificate.lockstep import distance
from graphc.certificate.reference import Traces
from graphc.certificate.rounding import measure_rounding

v, x = gc.state("v"), gc.input("x")
tau = gc.param("tau", 8.0, learn=True, per="neuron", min=1.0)


def compiled(delay=1, weight=1.0, dtype=None, **changes):
    parts = {"ode": {v: -v / tau}, "spike": gc.Spike(v > 1), "reset": {v: 0}, **changes}
    net = gc.Network(dt=1)
    net.input("x", 6)
    net.population("hid", gc.Neuron("N", receive={v: v + x}, **parts), 5)
    net.population("out", gc.zoo.LI, 2)
    net.connect("x", "hid", weight=gc.Uniform(0, weight))
    net.connect("hid", "hid", delay=delay)
    net.connect("hid", "out")
    net.output("out")
    torch.manual_seed(0)
    return gc.compile(net, target="c", dtype=dtype)


def spikes(dtype=torch.float32):
    return (torch.rand(30, 3, 6, generator=torch.Generator().manual_seed(1)) < 0.2).to(dtype)


def failed(certificate):
    return {(row.what, row.about) for row in certificate.rows if not row.ok}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_right_target_is_certified(dtype):
    certificate = compiled(dtype=dtype).verify(spikes(dtype))
    assert isinstance(certificate, Certificate) and certificate.ok, str(certificate)
    about = {(row.what, row.about) for row in certificate.rows}
    assert about >= {
        ("spikes", "hid"),
        ("values", "hid.v"),
        ("values", "out.output"),
        ("gradient", "x"),
        ("liveness", "hid"),
    }
    assert sum(row.what == "gradient" for row in certificate.rows) == 5
    assert str(certificate).endswith("certificate: ok")


def test_another_delay_is_not_certified():
    one, two = compiled(delay=1), compiled(delay=2)
    certificate = certify(one, two._compiler, spikes(), None, None)
    assert ("spikes", "hid") in failed(certificate) and str(certificate).endswith("certificate: FAILED")


def test_another_surrogate_fails_in_the_gradients_alone():
    other = compiled(spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=3.0)))
    certificate = certify(compiled(), other._compiler, spikes(), None, None)
    assert failed(certificate) and {what for what, _ in failed(certificate)} == {"gradient"}


def test_a_spike_on_the_threshold_may_differ_and_ends_the_comparison_of_its_sample():
    strict = compiled(ode={}, update={v: v})
    equal = compiled(ode={}, update={v: v}, spike=gc.Spike(v >= 1))
    exact = torch.zeros(8, 2, 6)
    exact[3, 0, 0] = 1.0
    for model in (strict, equal):
        with torch.no_grad():
            model.x_hid.weight.fill_(1.0)
    certificate = certify(strict, equal._compiler, exact, None, None)
    (row,) = (r for r in certificate.rows if r.what == "spikes")
    assert row.ok and row.found.startswith("1 samples part, first at step 3, |condition| 0.0e+00")
    (compared,) = (r for r in certificate.rows if r.about == "steps compared")
    assert compared.found.startswith("68.8 %")  # 3 steps of one sample, 8 of the other


def test_a_silent_network_certifies_nothing():
    certificate = compiled(weight=1e-6).verify(spikes() * 0)
    assert ("liveness", "hid") in failed(certificate) and not certificate.ok


def test_a_network_without_inputs_and_gradients_is_certified():
    net = gc.Network(dt=1)
    net.population("p", gc.zoo.Izhikevich, 3, v=gc.Uniform(-70, -60))
    net.output("p", "p.v")
    certificate = gc.compile(net, learn=None).verify(steps=20, batch_size=2)
    assert {row.what for row in certificate.rows} == {"spikes", "values", "liveness"}
    assert all(row.ok for row in certificate.rows if row.what != "liveness"), str(certificate)


def traces(**sequences):
    return Traces({n.replace("__", "."): y.reshape(-1, 1, 1) for n, y in sequences.items()}, {}, {})


def test_what_rounding_does_to_the_reference_is_allowed_near_there_alone():
    v = torch.linspace(0, 1, 20, dtype=torch.float64)
    rounded = v.clone()
    rounded[3] += 1e-3
    rounding = measure_rounding(traces(hid__v=rounded), traces(hid__v=v), [])
    same = torch.ones(20, 1, dtype=torch.bool)
    for step, ok in ((3, True), (6, True), (7, False), (19, False)):
        wrong = v.clone()
        wrong[step] += 5e-3
        pair = (y.reshape(-1, 1, 1) for y in (wrong, v))
        assert distance("hid.v", "values", *pair, same, 1e-4, rounding).ok is ok, step


def test_nothing_is_compared_after_the_reference_itself_parts_in_float32():
    z = torch.zeros(6, dtype=torch.float64)
    late = z.clone()
    late[4] = 1
    rounding = measure_rounding(traces(hid__spike=late), traces(hid__spike=z), ["hid"])
    assert rounding.same.flatten().tolist() == [True] * 4 + [False] * 2
