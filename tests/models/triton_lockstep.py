"""Programs of one interpreted launch in lock step, so that kernels whose programs wait for each other end.

Triton's interpreter runs the programs of a grid one after the other; the first one that waits for a second would wait
for ever. Inside `lockstep` each program has a thread of its own. Exactly one of them runs, the one with the baton, and
after every atomic operation it passes the baton on. Between two atomic operations a program runs alone.
"""

from __future__ import annotations

import contextvars
import itertools
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import update_wrapper
from inspect import signature
from typing import Any, Literal
from unittest.mock import patch

Index = tuple[int, ...]


@dataclass
class Launch:
    """A launch as it went: its grid, and how often the baton was passed."""

    grid: Index
    switches: int = 0


@contextmanager
def lockstep(
    order: Literal["turns", "random"] = "turns", seed: int = 0, patience: int = 2000
) -> Iterator[list[Launch]]:
    """Run the programs of every interpreted launch in lock step; yield the list of the launches so far.

    Args:
        order: who gets the baton: the next living program, or any living one.
        seed: makes "random" the same every time.
        patience: how often in a row the baton may be passed by programs that only spin, that is, repeat their last
            atomic operation with the same result and without a store in between.

    Raises:
        RuntimeError: kernels are not interpreted in this process, or the caller is in lock step already.
        InterpreterError: a program failed, or all of them only spin (raised by the launch).
    """
    import triton
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    if not triton.knobs.runtime.interpret:
        raise RuntimeError("lock step needs Triton's interpreter: set TRITON_INTERPRET=1 before triton is imported")
    if isinstance(getattr(GridExecutor.__call__, "harness", None), _Harness):
        raise RuntimeError("these launches are in lock step already")
    harness = _Harness(random.Random(seed) if order == "random" else None, patience)
    with ExitStack() as patches:
        patches.enter_context(patch.object(GridExecutor, "__call__", harness.launching(GridExecutor.__call__)))
        for name, wrap in (
            ("create_atomic_rmw", harness.switching),
            ("create_atomic_cas", harness.switching),
            ("create_masked_store", harness.storing),
        ):
            patches.enter_context(patch.object(InterpreterBuilder, name, wrap(getattr(InterpreterBuilder, name))))
        yield harness.launches


class _Harness:
    """What stands in for parts of the interpreter, and the launch that runs."""

    def __init__(self, chance: random.Random | None, patience: int) -> None:
        self.chance, self.patience = chance, patience
        self.launches: list[Launch] = []
        self.baton: _Baton | None = None
        self.alone = threading.Lock()  # the interpreter's grid is global: one launch at a time

    def launching(self, original: Callable[..., None]) -> Callable[..., None]:
        def call(executor: Any, *args: Any, **options: Any) -> None:
            together = copy(executor)
            together.fn = _Together(executor.fn, self)
            with self.alone:
                original(together, *args, **options)

        call.harness = self  # type: ignore[attr-defined]
        return call

    def switching(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def atomic(builder: Any, *args: Any) -> Any:
            result = original(builder, *args)
            if self.baton is not None:
                self.baton.switch((original.__name__, *map(_seen, args), _seen(result)))
            return result

        return atomic

    def storing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def store(builder: Any, *args: Any) -> Any:
            if self.baton is not None:
                self.baton.living[0].last = None
            return original(builder, *args)

        return store


class _Together:
    """A kernel that the interpreter calls for one program after the other: the last call runs them all."""

    def __init__(self, kernel: Callable[..., None], harness: _Harness) -> None:
        update_wrapper(self, kernel)
        self.kernel, self.harness = kernel, harness
        # What the interpreter reads of a kernel.
        self.__signature__ = signature(kernel)
        self.__globals__ = kernel.__globals__

    def __call__(self, **arguments: Any) -> None:
        from triton.runtime.interpreter import interpreter_builder as builder

        grid, harness = builder.grid_dim, self.harness
        if builder.grid_idx != tuple(extent - 1 for extent in grid):
            return
        harness.launches.append(Launch(grid))
        harness.baton = _Baton(lambda: self.kernel(**arguments), builder, harness)
        try:
            harness.baton.run()
        finally:
            harness.baton = None


class _Ended(BaseException):
    """Unwinds the programs of a launch in which one has failed; no kernel catches it."""


class _Baton:
    """One launch: its living programs, of which the first has the baton."""

    def __init__(self, body: Callable[[], None], builder: Any, harness: _Harness) -> None:
        self.body, self.builder = body, builder
        self.chance, self.patience, self.launch = harness.chance, harness.patience, harness.launches[-1]
        self.programs = [_Program(self, index) for index in itertools.product(*map(range, self.launch.grid))]
        self.living = deque(self.programs)
        self.spins = 0
        self.error: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        """Run the programs to their ends; raise what the first that failed has raised."""
        self.pass_on(0)
        self.over.wait()
        for program in self.programs:
            program.thread.join()
        if self.error is not None:
            raise self.error

    def work(self) -> None:
        """Run the program that has the baton; its thread starts here."""
        try:
            if self.error is None:
                self.body()
        except _Ended:
            pass
        except BaseException as error:
            self.error = self.error or error
        finally:
            self.spins = 0
            self.living.popleft()
            if self.living:
                self.pass_on(0)
            else:
                self.over.set()

    def switch(self, done: tuple[object, ...]) -> None:
        """Pass the baton on after the atomic operation `done`, and return when it comes back."""
        program = self.living[0]
        self.launch.switches += 1
        self.spins = self.spins + 1 if done == program.last else 0
        program.last = done
        if self.spins > self.patience:
            waiting = ", ".join(str(p.index) for p in sorted(self.living, key=lambda p: p.index))
            self.error = RuntimeError(
                f"programs {waiting} of grid {self.launch.grid} only spin: each waits for another"
            )
            raise _Ended
        self.pass_on(1)
        program.turn.acquire()
        if self.error is not None:
            raise _Ended

    def pass_on(self, steps: int) -> None:
        """Give the baton to the program that is `steps` further, or to any."""
        self.living.rotate(-(self.chance.randrange(len(self.living)) if self.chance else steps))
        self.builder.set_grid_idx(*self.living[0].index)
        self.living[0].resume()


class _Program:
    """One program: its place in the grid, its thread and its last atomic operation unless a store followed."""

    def __init__(self, baton: _Baton, index: Index) -> None:
        # NumPy keeps in the context what it warns of.
        self.thread = threading.Thread(target=contextvars.copy_context().run, args=(baton.work,), daemon=True)
        self.turn = threading.Semaphore(0)
        self.index = index
        self.last: tuple[object, ...] | None = None

    def resume(self) -> None:
        """Let the program run; it starts with its first turn, so few threads live at a time where none waits."""
        if self.thread.ident is None:
            self.thread.start()
        else:
            self.turn.release()


def _seen(value: Any) -> object:
    """Return what can be compared of an operand or result of an atomic operation."""
    return value.data.tobytes() if hasattr(value, "data") else value
