"""How often a Triton schedule asks the device for something: kernels, products, and the parts of every step."""

from __future__ import annotations

from graphc.ir import Kernel, Schedule


def launch_count(schedule: Schedule, backward: bool, steps: int, batch: int = 1, cores: int = 0) -> int:
    """Return the launches of one call of one half; a product over all steps counts as one.

    Args:
        schedule: for the Triton target.
        backward: which half.
        steps: T, at least 1.
        batch: B.
        cores: multiprocessors, which say how many programs that wait for each other one launch may have; 0: any number.
    """
    return sum(per_step(kernel) * steps or _tiles_apart(kernel, batch, cores) for kernel in schedule.half(backward))


def per_step(kernel: Kernel) -> int:
    """Return the launches of every step of a stepwise kernel, its parts and the one that counts steps; 0 of others."""
    return len(kernel.parts) + 1 if kernel.strategy == "stepwise" else 0


def _tiles_apart(kernel: Kernel, batch: int, cores: int) -> int:
    """Return the launches of a kernel of one time loop: of a cooperative one as many as there is room for at once."""
    if kernel.strategy != "cooperative" or not cores:
        return 1
    tiles = -(-batch // kernel.options["rows"])
    return -(-tiles // max(cores // kernel.options["programs"], 1))


def launches_in_words(schedule: Schedule) -> str:
    """Return the launches of both halves, per call and per step."""
    halves = []
    for name, backward in (("forward", False), ("backward", True)):
        kernels = schedule.half(backward)
        steps = sum(per_step(k) for k in kernels)
        call = sum(not per_step(k) for k in kernels)
        if kernels:
            halves.append(f"{name} {call} per call" + (f" and {steps} per step" if steps else ""))
    return "launches: " + ", ".join(halves)
