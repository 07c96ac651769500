"""Peer: Brian2, C++ standalone: the binary is built once and timed by itself, without starting or writing results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from numpy.typing import NDArray

from benchmarks import cuba
from benchmarks.gpu_cells import CELLS
from benchmarks.peers.worker import serve
from benchmarks.works import Arrays, Work

THREADS = {"c6": 0, "c7": 2}  # 0: without OpenMP, which costs c6 more than a second thread brings
SQUID = """
dv/dt = (120*m**3*h*(50 - v) + 36*n**4*(-77 - v) + 0.3*(-54.387 - v) + current)/ms : 1
dm/dt = alpha_m*(1 - m) - beta_m*m : 1
dh/dt = alpha_h*(1 - h) - beta_h*h : 1
dn/dt = alpha_n*(1 - n) - beta_n*n : 1
alpha_m = 1/exprel(-(v + 40)/10)/ms : Hz
beta_m = 4*exp(-(v + 65)/18)/ms : Hz
alpha_h = 0.07*exp(-(v + 65)/20)/ms : Hz
beta_h = 1/(1 + exp(-(v + 35)/10))/ms : Hz
alpha_n = 0.1/exprel(-(v + 55)/10)/ms : Hz
beta_n = 0.125*exp(-(v + 65)/80)/ms : Hz
current : 1 (constant)
"""
CUBA = """
dv/dt = (ge + gi - (v - v_rest))/tau_m : 1 (unless refractory)
dge/dt = -ge/tau_e : 1
dgi/dt = -gi/tau_i : 1
"""

Declared = tuple[Any, Any, Any]
"""The network, its neurons, the monitor of their spikes."""


def declare_squid(work: Work, arrays: Arrays) -> Declared:
    """Declare c7; a neuron that stays above 0 mV counts as refractory, so that spikes are upward crossings."""
    cells = b2.NeuronGroup(work.neurons, SQUID, threshold="v > 0", refractory="v > 0", method="exponential_euler")
    for name, value in zip("vmhn", CELLS["HodgkinHuxley"].start, strict=True):
        setattr(cells, name, value)
    cells.current = arrays["current"]
    monitor = b2.SpikeMonitor(cells)
    return b2.Network(cells, monitor), cells, monitor


def declare_cuba(work: Work, arrays: Arrays) -> Declared:
    """Declare c6, its pairs given one by one; a spike acts from the next step on."""
    held = (cuba.HELD_STEPS + 1) * work.dt * b2.ms
    constants = {
        "v_rest": cuba.V_REST, "v_reset": cuba.V_RESET, "v_threshold": cuba.V_THRESHOLD,
        "tau_m": cuba.TAU_M * b2.ms, "tau_e": cuba.TAU_E * b2.ms, "tau_i": cuba.TAU_I * b2.ms,
    }  # fmt: skip
    cells = b2.NeuronGroup(
        work.neurons, CUBA, threshold="v > v_threshold", reset="v = v_reset", refractory=held, method="exact",
        namespace=constants,
    )  # fmt: skip
    cells.v = arrays["v"]
    exc = b2.Synapses(cells, cells, on_pre="ge += w_exc", namespace={"w_exc": cuba.W_EXC})
    inh = b2.Synapses(cells, cells, on_pre="gi += w_inh", namespace={"w_inh": cuba.W_INH})
    exc.connect(i=arrays["exc_pre"], j=arrays["exc_post"])
    inh.connect(i=arrays["inh_pre"], j=arrays["inh_post"])
    monitor = b2.SpikeMonitor(cells)
    return b2.Network(cells, exc, inh, monitor), cells, monitor


DECLARE: dict[str, Callable[[Work, Arrays], Declared]] = {"c6": declare_cuba, "c7": declare_squid}


def read_results(work: Work, cells: Any, monitor: Any) -> Arrays:
    """Return the spikes (T, B, N) and the potentials after the last step."""
    spikes = np.zeros((work.steps, 1, work.neurons), np.uint8)
    spikes[np.rint(np.asarray(monitor.t / b2.ms) / work.dt).astype(int), 0, np.asarray(monitor.i)] = 1
    return {"spikes": spikes, "v": np.asarray(cells.v, np.float32)}


def set_up(work: Work, arrays: Arrays) -> Any:
    """Declare the work, generate and compile its C++."""
    b2.prefs.devices.cpp_standalone.openmp_threads = THREADS[work.id]
    folder = str(Path("standalone").absolute())
    b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b2.defaultclock.dt = work.dt * b2.ms
    network, cells, monitor = DECLARE[work.id](work, arrays)
    network.run(work.steps * work.dt * b2.ms)
    b2.device.build(directory=folder, compile=True, run=False)

    def run() -> float:
        b2.device.run(with_output=False)
        return 1e3 * float(b2.device._last_run_time)

    def check(weight: NDArray[Any]) -> Arrays:
        return read_results(work, cells, monitor)

    return run, check


if __name__ == "__main__":
    serve({name: set_up for name in DECLARE}, measure=lambda run: run())
