"""Hand-written NumPy step loops of every zoo neuron.

float64, written from the step semantics alone, sharing no code with the library. `simulate` runs a network of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy import cos, cosh, exp, tanh, where

from .loop import Loop, Numbers, Values, count_down, done, from_zero, ratio, towards
from .loops_compartments import COMPARTMENTS
from .loops_spiking import SPIKING
from .loops_units import UNITS


@cache
def alpha_propagator(tau_m: float, tau_s: float, R: float, dt: float) -> np.ndarray:
    rates = [[-1 / tau_m, R / tau_m, 0.0], [0.0, -1 / tau_s, 1 / tau_s], [0.0, 0.0, -1 / tau_s]]
    from scipy.linalg import expm  # not on every machine with a GPU

    return expm(np.array(rates) * dt)


# --- leaky integrators ------------------------------------------------------------------------------------------------
def lif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    held = s["refractory"] > 0
    v = where(held, s["v"], towards(p["E"] + p["R"] * x["x"], s["v"], p["tau_mem"], dt))
    z = (v >= p["theta"]) & ~held
    count = count_down(s["refractory"], z, p["t_ref"], dt)
    return done({"v": v}, {"v": where(z, p["v_r"], v)}, z, refractory=count)


def cuba_lif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    tau_m, tau_s, i = p["tau_mem"], p["tau_syn"], s["i"] + x["x"]
    coupling = tau_s / (tau_s - tau_m) * (exp(-dt / tau_s) - exp(-dt / tau_m))
    v = s["v"] * exp(-dt / tau_m) + p["R"] * coupling * i
    i = i * exp(-dt / tau_s)
    z = v > p["theta"]
    return done({"v": v, "i": i}, {"v": where(z, p["v_r"], v), "i": i}, z)


def alpha_lif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    n = s["v"].shape[1]
    values = zip(*(np.broadcast_to(p[name], n).tolist() for name in ("tau_mem", "tau_syn", "R")), strict=True)
    propagators = np.stack([alpha_propagator(*value, dt) for value in values])
    v, i, y = np.einsum("nij,jbn->ibn", propagators, np.stack([s["v"], s["i"], s["y"] + x["x"]]))
    z = v > p["theta"]
    return done({"v": v, "i": i, "y": y}, {"v": where(z, p["v_r"], v), "i": i, "y": y}, z)


def li(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    after = {"v": (s["v"] + x["x"]) * exp(-dt / p["tau_mem"])}
    return done(after, after, output=after["v"])


def coba_lif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    held = s["refractory"] > 0
    g_e, g_i = s["g_e"] + x["exc"], s["g_i"] + x["inh"]
    total = p["g_L"] + g_e + g_i
    rest = (p["g_L"] * p["E_L"] + g_e * p["E_e"] + g_i * p["E_i"]) / total
    v = where(held, s["v"], towards(rest, s["v"], p["C"] / total, dt))
    gates = {"g_e": g_e * exp(-dt / p["tau_e"]), "g_i": g_i * exp(-dt / p["tau_i"])}
    z = (v > p["V_T"]) & ~held
    count = count_down(s["refractory"], z, p["t_ref"], dt)
    return done({"v": v} | gates, {"v": where(z, p["V_r"], v)} | gates, z, refractory=count)


# --- adaptive thresholds ----------------------------------------------------------------------------------------------
def alif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = exp(-dt / p["tau_mem"]) * s["v"] + x["x"] - p["theta"] * s["fired"]
    b = exp(-dt / p["tau_adapt"]) * s["b"] + s["fired"]
    z = v - p["theta"] - p["beta"] * b > 0
    return done({"v": v, "b": b}, {"v": v, "b": b}, z, fired=z.astype(float))


def adaptive_threshold(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = (s["v"] + x["x"]) * exp(-dt / p["tau_v"])
    theta = towards(p["theta_0"], s["theta"], p["tau_theta"], dt)
    z = v > theta
    return done({"v": v, "theta": theta}, {"v": where(z, 0.0, v), "theta": where(z, theta + p["jump"], theta)}, z)


# --- exponential and quadratic ----------------------------------------------------------------------------------------
def upstroke(v: np.ndarray, p: Numbers) -> np.ndarray:
    return p["g_L"] * p["Delta_T"] * exp(np.minimum((v - p["V_T"]) / p["Delta_T"], 15.0))


def adex(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = s["v"] + dt * (p["g_L"] * (p["E_L"] - s["v"]) + upstroke(s["v"], p) + x["x"] - s["w"]) / p["C"]
    w = towards(p["a"] * (s["v"] - p["E_L"]), s["w"], p["tau_w"], dt)
    z = v > p["V_peak"]
    return done({"v": v, "w": w}, {"v": where(z, p["V_r"], v), "w": where(z, w + p["b"], w)}, z)


def eif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    held = s["refractory"] > 0
    slope = (p["g_L"] * (p["E_L"] - s["v"]) + upstroke(s["v"], p) + x["x"]) / p["C"]
    v = where(held, s["v"], s["v"] + dt * slope)
    z = (v > p["V_peak"]) & ~held
    count = count_down(s["refractory"], z, p["t_ref"], dt)
    return done({"v": v}, {"v": where(z, p["V_r"], v)}, z, refractory=count)


def qif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = s["v"] + dt * (s["v"] ** 2 + x["x"]) / p["tau"]
    z = v >= p["v_peak"]
    return done({"v": v}, {"v": where(z, p["v_r"], v)}, z)


def theta_neuron(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    phase = s["theta"] + dt * ((1 - cos(s["theta"])) + (1 + cos(s["theta"])) * x["x"]) / p["tau"]
    z = phase >= np.pi
    return done({"theta": phase}, {"theta": where(z, phase - 2 * np.pi, phase)}, z)


# --- Izhikevich -------------------------------------------------------------------------------------------------------
def izhikevich_jump(v: np.ndarray, u: np.ndarray, p: Numbers) -> tuple[Values, Values]:
    z = v >= 30
    return done({"v": v, "u": u}, {"v": where(z, p["c"], v), "u": where(z, u + p["d"], u)}, z)


def izhikevich(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    def slope(v: np.ndarray, u: np.ndarray) -> np.ndarray:
        return np.stack([0.04 * v**2 + 5 * v + 140 - u + x["x"], p["a"] * (p["b"] * v - u)])

    y = np.stack([s["v"], s["u"]])
    k1 = slope(*y)
    k2 = slope(*(y + dt / 2 * k1))
    k3 = slope(*(y + dt / 2 * k2))
    k4 = slope(*(y + dt * k3))
    v, u = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return izhikevich_jump(v, u, p)


def izhikevich_published(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v, u = s["v"], s["u"]
    for _ in range(2):
        v = v + dt / 2 * (0.04 * v**2 + 5 * v + 140 - u + x["x"])
    return izhikevich_jump(v, u + dt * p["a"] * (p["b"] * v - u), p)


# --- conductances without a reset -------------------------------------------------------------------------------------
def hodgkin_huxley_rates(v: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        "m": (ratio((v + 40) / 10), 4 * exp(-(v + 65) / 18)),
        "h": (0.07 * exp(-(v + 65) / 20), 1 / (1 + exp(-(v + 35) / 10))),
        "n": (0.1 * ratio((v + 55) / 10), 0.125 * exp(-(v + 65) / 80)),
    }


def hodgkin_huxley_init(p: Numbers) -> dict[str, float | np.ndarray]:
    v = p.get("v", np.array(-65.0))
    return {"v": v} | {gate: alpha / (alpha + beta) for gate, (alpha, beta) in hodgkin_huxley_rates(v).items()}


def hodgkin_huxley(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    sodium, potassium = p["g_Na"] * s["m"] ** 3 * s["h"], p["g_K"] * s["n"] ** 4
    total = sodium + potassium + p["g_L"]
    rest = (sodium * p["E_Na"] + potassium * p["E_K"] + p["g_L"] * p["E_L"] + x["x"]) / total
    after = {"v": towards(rest, s["v"], p["C"] / total, dt)}
    for gate, (alpha, beta) in hodgkin_huxley_rates(s["v"]).items():
        after[gate] = towards(alpha / (alpha + beta), s[gate], 1 / (alpha + beta), dt)
    above = after["v"] > 0
    return done(after, after, above & ~s["above"], above=above)


def morris_lecar_init(p: Numbers) -> dict[str, float | np.ndarray]:
    v = p.get("v", p["E_L"])
    return {"v": v, "w": (1 + tanh((v - p["V_3"]) / p["V_4"])) / 2}


def morris_lecar(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v, w = s["v"], s["w"]
    m_inf, w_inf = (1 + tanh((v - p["V_1"]) / p["V_2"])) / 2, (1 + tanh((v - p["V_3"]) / p["V_4"])) / 2
    current = p["g_Ca"] * m_inf * (p["E_Ca"] - v) + p["g_K"] * w * (p["E_K"] - v) + p["g_L"] * (p["E_L"] - v) + x["x"]
    tau = 1 / (p["phi"] * cosh((v - p["V_3"]) / (2 * p["V_4"])))
    after = {"v": v + dt * current / p["C"], "w": towards(w_inf, w, tau, dt)}
    above = after["v"] > 0
    return done(after, after, above & ~s["above"], above=above)


def fitzhugh_nagumo(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = s["v"] + dt * (s["v"] - s["v"] ** 3 / 3 - s["w"] + x["x"])
    after = {"v": v, "w": towards((s["v"] + p["a"]) / p["b"], s["w"], p["tau"] / p["b"], dt)}
    above = v > 1
    return done(after, after, above & ~s["above"], above=above)


def ctrnn(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    after = {"v": towards(x["x"] + p["bias"], s["v"], p["tau"], dt)}
    return done(after, after, output=tanh(after["v"]))


def izhikevich_init(p: Numbers) -> dict[str, float | np.ndarray]:
    return {"v": p.get("v", -65.0), "u": p["b"] * p.get("v", -65.0)}


LEAKY = {"tau_mem": 10.0, "theta": 1.0, "v_r": 0.0, "R": 10.0}
SQUID = {"C": 1.0, "g_Na": 120.0, "g_K": 36.0, "g_L": 0.3, "E_Na": 50.0, "E_K": -77.0, "E_L": -54.387}
COBA = {"C": 200.0, "g_L": 10.0, "E_L": -60.0, "E_e": 0.0, "E_i": -80.0, "tau_e": 5.0, "tau_i": 10.0}
ADEX = {"C": 281.0, "g_L": 30.0, "E_L": -70.6, "V_T": -50.4, "Delta_T": 2.0, "V_peak": 20.0, "V_r": -70.6}
FOURCAUD = {"C": 100.0, "g_L": 10.0, "E_L": -65.0, "V_T": -59.9, "Delta_T": 3.48, "V_peak": -30.0, "V_r": -68.0}
BARNACLE = {"C": 20.0, "g_Ca": 4.4, "g_K": 8.0, "g_L": 2.0, "E_Ca": 120.0, "E_K": -84.0, "E_L": -60.0}
REGULAR = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0}

LOOPS: dict[str, Loop] = (
    {
        "LIF": Loop(LEAKY | {"E": 0.0, "t_ref": 0.0}, from_zero("v"), lif),
        "CuBaLIF": Loop(LEAKY | {"tau_syn": 5.0}, from_zero("v", "i"), cuba_lif),
        "AlphaLIF": Loop(LEAKY | {"tau_syn": 5.0}, from_zero("v", "i", "y"), alpha_lif),
        "CoBaLIF": Loop(
            COBA | {"V_T": -50.0, "V_r": -60.0, "t_ref": 5.0},
            lambda p: {"v": p.get("v", p["E_L"]), "g_e": 0.0, "g_i": 0.0},
            coba_lif,
            inputs=("exc", "inh"),
        ),
        "ALIF": Loop({"tau_mem": 20.0, "tau_adapt": 200.0, "theta": 1.0, "beta": 0.17}, from_zero("v", "b"), alif),
        "AdaptiveThreshold": Loop(
            {"tau_v": 10.0, "tau_theta": 15.0, "theta_0": 10.0, "jump": 3.0},
            lambda p: {"v": p.get("v", 0.0), "theta": p["theta_0"]},
            adaptive_threshold,
        ),
        "LI": Loop({"tau_mem": 20.0}, from_zero("v"), li, output=lambda s: s["v"]),
        "AdEx": Loop(
            ADEX | {"a": 4.0, "tau_w": 144.0, "b": 80.5}, lambda p: {"v": p.get("v", p["E_L"]), "w": 0.0}, adex
        ),
        "EIF": Loop(FOURCAUD | {"t_ref": 1.7}, lambda p: {"v": p.get("v", p["E_L"])}, eif),
        "QIF": Loop({"tau": 10.0, "v_peak": 10.0, "v_r": -10.0}, lambda p: {"v": p.get("v", -1.0)}, qif),
        "Theta": Loop({"tau": 10.0}, from_zero("theta"), theta_neuron),
        "Izhikevich": Loop(REGULAR, izhikevich_init, izhikevich),
        "IzhikevichPublished": Loop(REGULAR, izhikevich_init, izhikevich_published),
        "HodgkinHuxley": Loop(SQUID, hodgkin_huxley_init, hodgkin_huxley, above=lambda s: s["v"] > 0),
        "MorrisLecar": Loop(
            BARNACLE | {"V_1": -1.2, "V_2": 18.0, "V_3": 2.0, "V_4": 30.0, "phi": 0.04},
            morris_lecar_init,
            morris_lecar,
            above=lambda s: s["v"] > 0,
        ),
        "FitzHughNagumo": Loop(
            {"a": 0.7, "b": 0.8, "tau": 12.5},
            lambda p: {"v": p.get("v", -1.1994), "w": -0.6243},
            fitzhugh_nagumo,
            above=lambda s: s["v"] > 1,
        ),
        "CTRNN": Loop({"tau": 10.0, "bias": 0.0}, from_zero("v"), ctrnn, output=lambda s: tanh(s["v"])),
    }
    | SPIKING
    | UNITS
    | COMPARTMENTS
)


@dataclass(frozen=True)
class Population:
    """A population in plain data; `values` overrides parameters and initial states, each () or (N,)."""

    neuron: str
    size: int
    values: Numbers


def initial_state(population: Population, batch: int) -> Values:
    """Return the state before step 0, every entry (B, N)."""
    loop, shape = LOOPS[population.neuron], (batch, population.size)
    state = {
        k: np.broadcast_to(np.asarray(v, float), shape)
        for k, v in loop.init(loop.parameters | population.values).items()
    }
    above = np.zeros(shape, bool) if loop.above is None else loop.above(state)
    return state | {"refractory": np.zeros(shape), "fired": np.zeros(shape), "above": above}


def order(populations: Sequence[str], connections: Sequence[tuple]) -> list[str]:
    """Return the populations so that every zero-delay connection points forward."""
    done_, rest = [], list(populations)
    while rest:
        waiting = {post for pre, post, _, _, delay in connections if delay == 0 and pre in rest}
        ready = [p for p in rest if p not in waiting]
        assert ready, "zero-delay cycle"
        done_ += ready
        rest = [p for p in rest if p in waiting]
    return done_


def simulate(
    populations: Mapping[str, Population],
    connections: Sequence[tuple[str, str, str, np.ndarray, int]],
    inputs: Mapping[str, np.ndarray],
    dt: float,
) -> dict[str, dict[str, np.ndarray]]:
    """Run a network and return population -> signal -> array (T, B, N).

    Args:
        populations: by name.
        connections: (pre, post, target, weight, delay in steps); weight (pre, post) is dense, (N,) one to one.
        inputs: name -> array (T, B, N).
        dt: step length in ms.
    """
    total, batch = next(iter(inputs.values())).shape[:2]
    states = {name: initial_state(p, batch) for name, p in populations.items()}
    before: dict[str, np.ndarray] = {}  # what a source sent before t = 0
    for name, p in populations.items():
        send = LOOPS[p.neuron].output
        before[name] = np.zeros((batch, p.size)) if send is None else send(states[name])
    records: dict[str, list[Values]] = {name: [] for name in populations}

    def sent(source: str, t: int) -> np.ndarray:
        if source in inputs:
            return inputs[source][t] if t >= 0 else np.zeros(inputs[source].shape[1:])
        return records[source][t]["output"] if t >= 0 else before[source]

    for t in range(total):
        for name in order(list(populations), connections):
            p = populations[name]
            loop = LOOPS[p.neuron]
            drive = {target: np.zeros((batch, p.size)) for target in loop.inputs}
            for pre, post, target, weight, delay in connections:
                if post == name:
                    signal = sent(pre, t - delay)
                    drive[target] = drive[target] + (signal * weight if weight.ndim == 1 else signal @ weight)
            hidden = {k: states[name][k] for k in ("refractory", "fired", "above")}
            new, record = loop.step(states[name], drive, loop.parameters | dict(p.values), dt)
            states[name] = hidden | new
            records[name].append(record | drive)
    return {name: {k: np.stack([r[k] for r in rows]) for k in rows[0]} for name, rows in records.items()}
