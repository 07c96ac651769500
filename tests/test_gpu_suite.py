"""What the GPU suite does can be checked without a GPU: its works, its peers on the CPU, its predictions, its rows."""

import json
import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import graphc as gc
from benchmarks import gpu, gpu_cells, gpu_g1, gpu_g2, gpu_g4, gpu_g5, gpu_g6, gpu_g7, gpu_jax, gpu_suite
from benchmarks.gpu_peers import cuba_step, lif_step, loop_over, recording_loop, trained
from benchmarks.gpu_predict import Loop, count_loop, loops_of, moved_bytes, plan_of, step_microseconds
from benchmarks.gpu_suite import Bench, Job, LeftOut, Peers, assert_equal_work, relative_error, run_job, timed_row
from benchmarks.layers import make_network
from benchmarks.report import Row, write
from benchmarks.works import Work

SMALL = Work("g2", "small", 40, 3, 20)


def ours(net: gc.Network, leaves: list[torch.Tensor], gy: torch.Tensor) -> tuple:
    """Return spikes and gradients of the C target; a second leaf is the recurrent weight."""
    model = gc.compile(net, target="c")
    given = leaves[:1]
    if len(leaves) > 1:
        with torch.no_grad():
            model.hid_hid.weight.copy_(leaves[1])
        given = [leaves[0], model.hid_hid.weight]
    y = model(leaves[0])
    return y.detach(), torch.autograd.grad(y, given, gy)


def drawn(work: Work) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    arrays = gpu_g2.make_arrays(work)
    x, gy = (torch.from_numpy(arrays[n]).float() * gpu_g2.DRIVE for n in ("x", "gy"))
    return x.requires_grad_(), gy, (torch.from_numpy(arrays["w"]).float() * gpu_g2.WEIGHT).requires_grad_()


def test_the_torch_loops_of_g2_and_g6_do_our_work():
    x, gy, w = drawn(SMALL)
    wanted, wanted_gradients = ours(make_network(SMALL, recurrent=True), [x, w], gy)
    assert 0.02 < wanted.mean() < 0.3
    for peer in (loop_over(cuba_step(SMALL), recurrent=True), recording_loop(SMALL)):
        y, gradients = trained(peer, [x, w], gy)()
        assert torch.equal(y, wanted)
        assert max(map(relative_error, gradients, wanted_gradients)) < 1e-5


def test_the_torch_loop_of_g1_does_our_work():
    work = Work("g1", "small", 50, 3, 20)
    torch.manual_seed(0)
    x, gy = (0.1 + 0.45 * torch.randn(50, 3, 20)).requires_grad_(), torch.randn(50, 3, 20)
    y, gradients = trained(loop_over(lif_step(work), recurrent=False), [x], gy)()
    wanted, wanted_gradients = ours(gpu_g1.make_network(work), [x], gy)
    assert 0.02 < wanted.mean() < 0.3 and torch.equal(y, wanted)
    assert relative_error(gradients[0], wanted_gradients[0]) < 1e-5


@pytest.mark.parametrize("name", gpu_cells.CELLS)
def test_the_cells_of_g5_fire_when_ours_do(name, monkeypatch):
    monkeypatch.setattr(gpu_g5, "NEURONS", 32)
    x = torch.from_numpy(gpu_g5.columns(name)[:, :, :32]).contiguous()
    wanted = gc.compile(gpu_g5.make_network(name), learn=None, target="c")(x)
    spikes = gpu_g5.loop(name)(x)
    assert 0.005 < wanted.mean() < 0.2
    assert ((spikes > 0) == (wanted > 0)).float().mean() > 0.999


def test_the_factors_of_g2_fit_bfloat16_and_their_sums_float32():
    for neurons in (128, 2048):
        arrays = gpu_g2.make_arrays(Work("g2", "", 2, 2, neurons))
        for name, grid in (("x", gpu_g2.DRIVE), ("gy", gpu_g2.DRIVE), ("w", gpu_g2.WEIGHT)):
            numbers = torch.from_numpy(arrays[name]).float() * grid
            assert numbers.any() and torch.equal(numbers.bfloat16().float(), numbers)
        assert neurons * 255 < 2**24


def test_predictions_count_the_budget_bytes():
    work = gpu_g1.make_work("1 M", 100, "bfloat16")
    plan = plan_of(gpu_g1.make_network(work), frozenset({"x"}), "bfloat16")
    moved = sum(moved_bytes(plan, backward) for backward in (False, True))
    assert moved * work.steps * work.batch == gpu_g1.budget_bytes(work, "bfloat16")
    times = [step_microseconds(plan, False, work.batch, copy_gb_s=rate) for rate in (1000.0, 2000.0)]
    assert times[0] == 2 * times[1] > 0


SASS = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   LDG.E R2, [R4] ;
        /*0020*/                   MUFU.EX2 R3, R2 ;
        /*0030*/                   FADD R3, R3, R2 ;
        /*0040*/              @P0  BRA `(.L_x_0) ;
.L_x_1:
        /*0050*/                   NOP ;
        /*0060*/                   BRA `(.L_x_1);
"""


def test_instructions_of_the_longest_loop_are_counted_per_neuron_and_step():
    assert count_loop(SASS, neurons=2, steps=2) == Loop(instructions=1.0, special=0.25)
    assert count_loop("", 1, 1) == Loop(0.0, 0.0)
    one = Loop(instructions=4.0, special=1.0)  # eight cycles of the special functions hide the four of the others
    assert math.isclose(one.floor_ms(128e6, cores=1, clock_mhz=1000.0), 8.0)


@pytest.mark.ahead
def test_a_dry_run_builds_the_kernels(capsys, monkeypatch):
    monkeypatch.setattr(gpu_g5, "NEURONS", 512)
    (job,) = (job for job in gpu_g5.jobs() if job.title.startswith("AdEx"))
    assert gpu.dry_run([job]) == 0
    told = capsys.readouterr().out
    assert "0 bytes spilt" in told and "instructions per step" in told
    (loop,) = loops_of(plan_of(gpu_g5.make_network("AdEx"), frozenset())).values()
    assert 20 < loop.instructions < 200 and 1 <= loop.special < 10


def test_every_row_has_a_title_of_its_own_and_a_target():
    jobs = [job for module in (gpu_g1, gpu_g2, gpu_g4, gpu_g5, gpu_g6, gpu_g7) for job in module.jobs()]
    assert len({job.title for job in jobs}) == len(jobs) == 31
    assert all(job.target for job in jobs)


def failing(_: Bench) -> Row:
    raise RuntimeError("no room\nfor more")


def test_a_row_that_fails_says_so_and_is_valid_json(tmp_path):
    row = run_job(Job("g1", "a work", "2x", failing, list), Bench(1.0, 1, False))
    write(tmp_path / "gpu.json", [row], {}, gpu="a GPU")
    (found,) = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert not found["reached"] and found["notes"]["failed"] == "RuntimeError: no room"
    assert "failed" in gpu.describe_row(row)[0] and "no room" in gpu.describe_row(row)[1]


def lacking(_: Bench) -> Row:
    raise LeftOut("its sequences take 103 GB")


def test_a_row_that_a_device_cannot_have_is_no_failure():
    row = run_job(Job("g1", "a work", "2x", lacking, list), Bench(1.0, 1, False))
    assert "left out" in gpu.describe_row(row)[0] and "103 GB" in gpu.describe_row(row)[1]
    assert "failed" not in row.notes and not row.reached


def test_a_peer_that_fails_while_it_is_timed_takes_no_row_with_it(monkeypatch):
    monkeypatch.setattr(gpu_suite, "replayed", lambda run: run)
    monkeypatch.setattr(gpu_suite, "median", lambda run, runs: 9.0)
    monkeypatch.setattr(gpu_suite, "timer", lambda run: lambda runs: [run()] * runs)
    peers = Peers({"good": lambda runs: [4.0] * runs, "broken": lambda runs: [failing(Bench(1.0, 1, False))]})
    row = timed_row("g1", "a work", lambda: 2.0, peers, Bench(1.0, 2, False), runs=2)
    assert row.ours_ms == 2.0 and row.peers == {"good": 4.0} and row.notes["eager_ms"] == 9.0
    assert row.notes["broken"] == "failed: no room"


def test_a_peer_that_fails_or_has_no_time_left_is_noted():
    peers = Peers()
    peers.add("slow", Bench(5.0, 1, False), 60.0, lambda: lambda runs: [1.0] * runs)
    peers.add("broken", Bench(1e6, 1, False), 60.0, lambda: failing(Bench(1.0, 1, False)))
    peers.add("good", Bench(1e6, 1, False), 60.0, lambda: lambda runs: [1.0] * runs)
    assert peers.notes["slow"] == "left out: no time left" and peers.notes["broken"] == "failed: no room"
    assert list(peers.runs) == ["good"]


def test_another_work_is_no_peer():
    assert "99.950 % spikes" in assert_equal_work("it", {"spikes": 0.9995, "gradient": 1e-3}, 0.999, 1e-2)
    for found in ({"spikes": 0.99, "gradient": 0.0}, {"spikes": 1.0, "gradient": math.nan}):
        with pytest.raises(AssertionError, match="does not do the same work"):
            assert_equal_work("it", found, 0.999, 1e-2)


def test_the_jax_process_answers_times_and_results(tmp_path):
    held = {"run": lambda: 3, "check": lambda result: {"spikes": np.full(2, result)}}
    assert len(gpu_jax.answer(["time", "4"], held)["ms"]) == 4
    gpu_jax.answer(["check", str(tmp_path / "found.npz")], held)
    assert np.load(tmp_path / "found.npz")["spikes"].tolist() == [3, 3]


def test_a_jax_process_that_is_silent_is_ended():
    jax = gpu_jax.Jax()
    try:
        jax._process.send_signal(signal.SIGSTOP)
        with pytest.raises(RuntimeError, match="gave no answer in 0 s"):
            jax._ask("time 1", seconds=0.1)
        assert jax._process.wait(10) != 0
    finally:
        jax.close()


def test_without_jax_or_a_gpu_its_process_says_what_is_missing():
    jax = gpu_jax.Jax()
    try:
        with pytest.raises(RuntimeError, match=r"jax|JAX"):
            jax.set_up("g2", SMALL, {"x": np.zeros(1)})
    finally:
        jax.close()
    assert SimpleNamespace(**vars(jax))._process.returncode == 0
