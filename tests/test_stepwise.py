"""Stepwise kernels under Triton's interpreter: numbers, launches, and what is recorded and replayed."""

import os
from itertools import count

import pytest
import torch

import graphc as gc
from graphc.ir.errors import NonFiniteError
from graphc.passes.launches import launch_count
from graphc.runtime import stepwise

from .oracles.networks import SCALES, Case, build

pytestmark = pytest.mark.interpret

STEPWISE = {"strategy": "stepwise"}
EVERY = bool(os.environ.get("GRAPHC_EVERY_CASE"))
SAMPLE = {  # the others run with GRAPHC_EVERY_CASE=1
    ("recurrent", "AlphaLIF"),
    ("delays", "ALIF"),
    ("delays", "CTRNN"),
    ("layers", "LIF"),
    ("layers", "CoBaLIF"),
}
CASES = [(t, n) for t in ("recurrent", "delays", "layers") for n in SCALES if EVERY or (t, n) in SAMPLE]


def compiled(network: gc.Network, target: str = "triton", **chosen) -> gc.runtime.Model:
    torch.manual_seed(0)
    options = {"schedule": STEPWISE} if target == "triton" else {}
    return gc.compile(network, target=target, **{"dtype": torch.float64, **options, **chosen})


def stimulus(case: Case, steps: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.as_tensor(case.inputs["stim"][:steps].copy()).to(dtype)


def small_network(size: int = 6) -> gc.Network:
    """Return 8 inputs into a recurrent population with delay 2."""
    network = gc.Network(dt=1.0)
    network.input("x", 8)
    network.population("hid", gc.zoo.CuBaLIF, size)
    network.connect("x", "hid")
    network.connect("hid", "hid", delay=2)
    network.output("hid")
    return network


def trained(model: gc.runtime.Model, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return outputs, final states and all gradients of one run."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    run = model.run(x)
    found = dict(run.output) if isinstance(run.output, dict) else {"output": run.output}
    found |= {name: v for name, v in run.state.items() if v.is_floating_point()}
    generator = torch.Generator().manual_seed(1)
    sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in found.values()).backward()
    grads = {name: p.grad for name, p in model.named_parameters()} | {"x": x.grad}
    return {name: v.detach().clone() for name, v in (found | grads).items() if v is not None}


def assert_close(ours: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float = 1e-9) -> None:
    assert ours.keys() == wanted.keys()
    for key, tensor in wanted.items():
        scale = float(tensor.abs().max()) + 1e-30
        torch.testing.assert_close(ours[key] / scale, tensor / scale, rtol=0, atol=tolerance, msg=key)


@pytest.mark.parametrize(("topology", "name"), CASES)
def test_every_neuron_equals_the_reference(topology, name):
    case = build(name, topology)
    x = stimulus(case, 8)
    wanted, ours = trained(compiled(case.network, "reference"), x), trained(compiled(case.network), x)
    assert_close(ours, wanted)
    assert wanted["x"].any()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_rows_older_than_the_run_come_from_the_state(steps):
    case = build("LIF", "delays")
    before, x = stimulus(case, 12), stimulus(case, 12 + steps)[12:]
    found = []
    for target in ("reference", "triton"):
        model = compiled(case.network, target)
        with torch.no_grad():
            run = model.run(x, state=model.run(before).state)
        found.append({**run.output, **{k: v.double() for k, v in run.state.items()}})
    assert_close(found[1], found[0])


def test_streaming_equals_one_run():
    case = build("ALIF", "layers")
    model, x = compiled(case.network), stimulus(case, 12)
    with torch.no_grad():
        whole = model.run(x)
        state = model.initial_state(batch_size=case.B)
        for t in range(len(x)):
            y, state = model.step(x[t], state)
            assert all(torch.equal(y[name], whole.output[name][t]) for name in y)
    assert whole.output["top"].any()
    assert all(torch.equal(v, whole.state[name]) for name, v in state.items())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_the_earliest_value_that_is_not_finite_is_reported():
    case = build("ALIF", "layers")
    x = stimulus(case, 12)
    x[7, 1, 3] = torch.nan
    with pytest.raises(NonFiniteError, match=r"'hid' is not finite from step 7 on \(sample 1, neuron 0\)"):
        compiled(case.network)(x)
    model = compiled(case.network)
    state = model.initial_state(batch_size=case.B)
    state["top.v"][0, 2] = torch.inf
    with pytest.raises(NonFiniteError, match=r"'v' of population 'top' is not finite from step 0 on \(sample 0"):
        model.run(x, state=state)


def test_a_batch_and_neurons_that_fill_no_tile():
    network, x = small_network(20), torch.rand(3, 3, 8, dtype=torch.float64)
    tiles = {**STEPWISE, "block": 16}
    assert_close(trained(compiled(network, schedule=tiles), x), trained(compiled(network, "reference"), x))


CLOSE = {"bfloat16": 0.05, "float16": 1e-6, "tf32": 1e-6}  # the interpreter cuts digits off for bfloat16, torch rounds


@pytest.mark.parametrize("precision", CLOSE)
def test_factors_of_less_digits_multiply_as_in_the_other_strategies(precision):
    network = small_network()
    dtype = torch.float32 if precision == "tf32" else getattr(torch, precision)
    x = torch.randint(0, 2, (8, 2, 8), generator=torch.Generator().manual_seed(3)).to(dtype)
    runs = [
        trained(compiled(network, dtype=None, precision=precision, schedule={"strategy": strategy}), x)
        for strategy in ("stepwise", "resident")
    ]
    assert torch.equal(runs[0]["output"], runs[1]["output"]) and runs[0]["output"].any()
    assert_close(*({k: v.double() for k, v in run.items()} for run in runs), tolerance=CLOSE[precision])


# What is launched, recorded and replayed.


def test_the_launches_of_a_train_step_are_those_predicted():
    case = build("LIF", "layers")
    model = compiled(case.network)
    predicted = total = 0
    for steps in (1, 6):
        trained(model, stimulus(case, steps))
        made = model.last_build()
        predicted += sum(launch_count(made.schedule, backward, steps) for backward in (False, True))
        total = sum(made.library().launched.values())
        assert total == predicted
    parts = [len(k.parts) for k in made.schedule.kernels if k.parts]
    assert parts == [4, 5] and launch_count(made.schedule, True, 9) - launch_count(made.schedule, True, 8) == 6
    assert "launches: forward 2 per call and 5 per step, backward" in model.explain()


class Recorder:
    """Stands in for a GPU: records a step by keeping it, and runs nothing before it is asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recorded, self.replayed, self.stream = 0, 0, 7
        monkeypatch.setattr(stepwise, "recordable", lambda device: True)
        monkeypatch.setattr(stepwise, "stream_of", lambda device: self.stream)
        monkeypatch.setattr(stepwise, "record", self.record)

    def record(self, device, first, step):
        first()
        self.recorded += 1
        return type("Recording", (), {"replay": lambda _: (step(), self.count())})()

    def count(self) -> None:
        self.replayed += 1


def test_replayed_steps_give_the_same_numbers(monkeypatch):
    case = build("LIF", "recurrent")
    x = stimulus(case, 6)
    plain = trained(compiled(case.network), x)
    recorder, model = Recorder(monkeypatch), compiled(case.network)
    for _ in range(2):
        assert_close(trained(model, x), plain, 0)
    assert recorder.replayed >= 4 * (len(x) - 1) and recorder.recorded >= 2


def launcher_and_call(steps: int) -> tuple:
    """Return a forward launcher with the tensors of one call."""
    made = compiled(small_network(), dtype=torch.float32).build(gradients=False)
    schedule, library = made.schedule, made.library()
    library.prepare(False)
    (kernel,) = [k for k in schedule.kernels if k.strategy == "stepwise"]
    tensors = []
    for name in kernel.arguments:
        buffer = schedule.buffers[name]
        lead = {"sequence": (steps,), "history": (buffer.depth,)}.get(buffer.kind, ())
        shape = (*lead, *((3,) if buffer.type.batched else ()), *(schedule.sizes[a] for a in buffer.type.axes))
        tensors.append(torch.full(shape, 0.25))
    return library._launchers[kernel.name], tensors


def test_a_step_is_recorded_once_per_tensors_batch_and_stream(monkeypatch):
    launcher, tensors = launcher_and_call(8)
    recorder = Recorder(monkeypatch)

    def call(tensors, steps=8) -> int:
        before = recorder.recorded
        launcher(tensors, steps, 3, 0, None)
        return recorder.recorded - before

    assert [call(tensors), call(tensors), call(tensors, 5)] == [1, 0, 0]
    assert recorder.replayed == 7 + 8 + 5
    named = dict(zip(launcher.kernel.arguments, tensors, strict=True))
    states = {name: t.clone() for name, t in named.items() if "@initial" in name or "@final" in name}
    assert call([*(named | states).values()]) == 0  # read and written before and after the steps
    assert call([*(named | {"x_hid_drive": named["x_hid_drive"].clone()}).values()]) == 1
    recorder.stream = 8
    assert [call(tensors), call(tensors)] == [1, 0]
    assert call(tensors, stepwise.WORTH - 1) == 0 and len(launcher._kept) == 3


def test_few_recordings_are_kept(monkeypatch):
    launcher, tensors = launcher_and_call(4)
    recorder = Recorder(monkeypatch)
    for recorder.stream in (*range(stepwise.KEPT + 1), 0, stepwise.KEPT):
        launcher(tensors, 4, 3, 0, None)
    assert recorder.recorded == stepwise.KEPT + 2 and len(launcher._kept) == stepwise.KEPT


def test_a_recording_knows_tensors_that_stay(monkeypatch):
    launcher, tensors = launcher_and_call(4)
    seen, number = [], count()
    inner = launcher.step

    def step(scratch, given, batch):
        seen.append((next(number), scratch.clock.data_ptr(), *(b.data_ptr() for b in scratch.buffers.values())))
        return inner(scratch, given, batch)

    monkeypatch.setattr(launcher, "step", step)
    Recorder(monkeypatch)
    for _ in range(3):
        launcher(tensors, 4, 3, 0, None)
    assert [s[0] for s in seen] == [0, 1, 2] and len({s[1:] for s in seen}) == 1


def test_a_step_is_the_same_list_of_launches_every_time():
    launcher, tensors = launcher_and_call(4)
    given = dict(zip(launcher.kernel.arguments, tensors, strict=True))
    scratch = launcher._allocate(given, 3, torch.device("cpu"), True)
    launcher._begin(scratch, given, 4, 10)
    assert scratch.clock.tolist() == [0, 4, 10]
    launches = launcher.step(scratch, given, 3)
    assert len(launches) == len(launcher.kernel.parts) + 1
    for k in range(3):
        for launch in launches:
            assert scratch.clock[0] == k
            launch()
    assert scratch.clock.tolist() == [3, 4, 10]
