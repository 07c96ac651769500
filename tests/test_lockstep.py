"""The harness that runs the programs of an interpreted launch in lock step."""

import threading

import numpy as np
import pytest
import torch

from .models.kernels import cuba, draw, schedule_of
from .models.triton_kernels import for_triton, run_triton
from .models.triton_lockstep import lockstep

pytestmark = pytest.mark.interpret

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")


@triton.jit
def grid_barrier(count, first, arrivals):
    """Wait for `arrivals` programs: each turn of the barrier flips the sign of the count."""
    tl.debug_barrier()
    add = tl.where(first, 2147483647 - (arrivals - 2), 1)  # wraps for one program
    old = tl.atomic_add(count, add, sem="release")
    now = old
    while (now ^ old) >= 0:
        now = tl.atomic_add(count, 0, sem="acquire")
    tl.debug_barrier()


@triton.jit
def relay(
    out,
    exchange,
    count,
    steps,
    arrivals,
    WAIT: tl.constexpr,
    HALVES: tl.constexpr,
    BLOCK: tl.constexpr,
    ALL: tl.constexpr,
):
    program = tl.program_id(0)
    mine = program * BLOCK + tl.arange(0, BLOCK)
    x = (mine * mine + 1).to(tl.int32)
    for t in range(steps):
        half = exchange + (t % HALVES) * ALL
        tl.store(half + mine, x)
        if WAIT:
            grid_barrier(count, program == 0, arrivals)
        else:
            tl.atomic_add(count, 1)
        others = tl.load(half + tl.arange(0, ALL))
        x = (3 * x + program + tl.sum(others * (1 + tl.arange(0, ALL)), axis=0)) % 1009
        tl.store(out + t * ALL + mine, x)


@triton.jit
def tickets(out, count, each):
    for _ in range(each):
        ticket = tl.atomic_add(count, 1)
        tl.store(out + ticket, tl.program_id(0) * tl.num_programs(1) + tl.program_id(1))


@triton.jit
def deposit(total, lock, each, LOCKED: tl.constexpr):
    for _ in range(each):
        if LOCKED:
            while tl.atomic_cas(lock, 0, 1) != 0:
                pass
        old = tl.load(total)
        tl.atomic_xchg(lock + 1, 1)
        tl.store(total, old + 1)
        if LOCKED:
            tl.atomic_xchg(lock, 0)


@triton.jit
def faulty(count):
    assert tl.program_id(0) != 1, "the second program fails"
    while tl.atomic_add(count, 0) == 0:
        pass


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.int32)


def run_relay(programs, steps=9, block=4, arrivals=None, wait=True, halves=2):
    width = programs * block
    out, sizes = zeros(steps, width), {"BLOCK": block, "ALL": width, "HALVES": halves}
    relay[(programs,)](out, zeros(2, width), zeros(1), steps, arrivals or programs, WAIT=wait, **sizes)
    return out.numpy()


def expected_relay(programs, steps=9, block=4):
    place = np.arange(programs * block)
    x, rows = place**2 + 1, []
    for _ in range(steps):
        x = (3 * x + place // block + x @ (1 + place)) % 1009
        rows.append(x)
    return np.array(rows)


def run_tickets(grid, each, **options):
    out = zeros(grid[0] * grid[1] * each)
    with lockstep(**options):
        tickets[grid](out, zeros(1), each)
    return out.tolist()


@pytest.mark.parametrize("programs", [1, 2, 8])
@pytest.mark.parametrize("options", [{}, {"order": "random", "seed": 1}, {"order": "random", "seed": 2}])
def test_programs_that_wait_for_each_other_end_with_the_right_numbers(programs, options):
    with lockstep(**options) as launches:
        ours = run_relay(programs)
    assert (ours == expected_relay(programs)).all()
    assert launches[0].grid == (programs, 1, 1) and launches[0].switches >= 2 * 9 * programs


def test_a_single_buffer_is_overwritten_too_early():
    with lockstep():
        assert (run_relay(4, halves=1) != expected_relay(4)).any()


def test_a_random_order_finds_that_nobody_waits():
    with lockstep():
        assert (run_relay(4, wait=False) == expected_relay(4)).all()  # by turns no program is ever late
    for seed in range(4):
        with lockstep(order="random", seed=seed):
            assert (run_relay(4, wait=False) != expected_relay(4)).any()
            assert (run_relay(4) == expected_relay(4)).all()


def test_every_program_gets_its_turn_and_keeps_its_place_in_the_grid():
    assert run_tickets((2, 3), 4) == 4 * [0, 1, 2, 3, 4, 5]


def test_a_random_order_is_decided_by_its_seed():
    first, again, other = (run_tickets((2, 3), 4, order="random", seed=seed) for seed in (5, 5, 6))
    assert first == again != other
    assert sorted(first) == sorted(4 * [0, 1, 2, 3, 4, 5])


def test_locks_keep_programs_apart_and_without_them_deposits_are_lost():
    for seed in range(3):
        with lockstep(order="random", seed=seed):
            safe, lost = zeros(1), zeros(1)
            deposit[(4,)](safe, zeros(2), 5, LOCKED=True)
            deposit[(4,)](lost, zeros(2), 5, LOCKED=False)
        assert safe.item() == 20 > lost.item()


def test_programs_that_only_spin_are_a_failure_that_says_so():
    threads = threading.active_count()
    with lockstep(patience=50) as launches:
        with pytest.raises(Exception, match=r"programs \(0, 0, 0\), \(1, 0, 0\) of grid \(2, 1, 1\) only spin"):
            run_relay(2, arrivals=3)
        assert launches[0].switches < 60 and threading.active_count() == threads
        assert (run_relay(2) == expected_relay(2)).all()


@pytest.mark.parametrize("options", [{}, {"order": "random", "seed": 3}])
def test_the_failure_of_one_program_ends_the_launch(options):
    threads = threading.active_count()
    with lockstep(**options), pytest.raises(Exception, match="the second program fails"):
        faulty[(3,)](zeros(1))
    assert threading.active_count() == threads


def test_launches_of_two_threads_do_not_mix():
    found = {}
    with lockstep() as launches:
        callers = [threading.Thread(target=lambda p=p: found.update({p: run_relay(p)})) for p in (2, 4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(launches) == 2 and all((found[p] == expected_relay(p)).all() for p in (2, 4))


def test_generated_kernels_give_the_same_numbers_in_lock_step():
    plan = schedule_of(cuba(1), "steps", {"hid": 5}, "float32")
    given = draw(plan, 6, 33)
    alone = run_triton(for_triton(plan, "resident"), given, 6, 33)
    with lockstep(order="random") as launches:
        together = run_triton(for_triton(plan, "resident"), given, 6, 33)
    assert launches[0].grid[0] > 1 and alone["z"].any()
    assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_the_interpreter_is_left_as_it_was():
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    def state():
        return [*vars(GridExecutor).items(), *vars(InterpreterBuilder).items()]

    before = state()
    with lockstep():
        assert state() != before
        with pytest.raises(RuntimeError, match="already"), lockstep():
            pass
    with pytest.raises(ZeroDivisionError), lockstep():
        raise ZeroDivisionError
    assert state() == before
