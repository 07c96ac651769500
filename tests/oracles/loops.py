"""Hand-written NumPy step loops of every zoo neuron.

float64, written from the step semantics alone, sharing no code with the library.

A `Loop` is one neuron: parameters in base units (ms, mV, nS, pA, pF), an initial state and one time step. `simulate`
runs a network of them. A step takes state and drive as arrays (B, N), parameters as numbers or arrays (N,), and
returns the new state and what can be recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy import cos, cosh, exp, tanh, where

Values = dict[str, np.ndarray]
Numbers = Mapping[str, float | np.ndarray]


@dataclass(frozen=True)
class Loop:
    """One neuron: defaults, initial states, one step, and what it sends before t = 0."""

    parameters: dict[str, float]
    init: Callable[[Numbers], dict[str, float | np.ndarray]]
    step: Callable[[Values, Values, Numbers, float], tuple[Values, Values]]
    inputs: tuple[str, ...] = ("x",)
    above: Callable[[Values], np.ndarray] | None = None
    """The condition of a rising edge, read on the initial state."""
    output: Callable[[Values], np.ndarray] | None = None
    """What a unit without spikes sends."""


def done(
    before: Values, after: Values, z: np.ndarray | None = None, output: np.ndarray | None = None, **hidden: np.ndarray
) -> tuple[Values, Values]:
    """Return (next state, record) from the states before and after the reset, the spike and the output."""
    record = dict(after) | {f"{name}@threshold": value for name, value in before.items()}
    if z is not None:
        record["spike"] = z.astype(float)
    record["output"] = record["spike"] if output is None else output
    return after | hidden, record


def steps_of(duration: float | np.ndarray, dt: float) -> np.ndarray:
    return np.rint(np.asarray(duration) / dt)


def count_down(count: np.ndarray, z: np.ndarray, duration: float | np.ndarray, dt: float) -> np.ndarray:
    return where(z, steps_of(duration, dt), np.maximum(count - 1, 0))


def towards(target: np.ndarray, s: np.ndarray, tau: float | np.ndarray, dt: float) -> np.ndarray:
    """Return the exact solution of tau s' = target - s after dt."""
    return target + (s - target) * exp(-dt / tau)


def ratio(y: np.ndarray) -> np.ndarray:
    """Return y / (1 - exp(-y)), 1 at 0."""
    small = np.abs(y) < 1e-9
    return where(small, 1 + y / 2, y / -np.expm1(-where(small, 1.0, y)))


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


# --- compartments -----------------------------------------------------------------------------------------------------
def passive_cable(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    names = [f"v[{k}]" for k in range(5)]
    v = np.stack([s[name] for name in names], -1)
    axial = np.broadcast_to(25 / p["L"] ** 2, v.shape[1:2])
    laplace = np.diag([-1.0, -2.0, -2.0, -2.0, -1.0]) + np.eye(5, k=1) + np.eye(5, k=-1)
    system = (1 + dt / p["tau_m"]) * np.eye(5) - dt / p["tau_m"] * axial[:, None, None] * laplace
    right = v + dt / p["tau_m"] * p["E_L"]
    right[..., 0] += dt * 5 * x["x"] / (p["g_L"] * p["tau_m"])
    v = np.linalg.solve(system, right[..., None])[..., 0]
    after = dict(zip(names, np.moveaxis(v, -1, 0), strict=True))
    return done(after, after, output=after["v[4]"])


def pinsky_rinzel(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    u, w = s["v_s"], s["v_d"]
    fast = 0.32 * 4 * ratio((u - 13.1) / 4), 0.28 * 5 * ratio((40.1 - u) / 5)
    opening = (fast[0] / (fast[0] + fast[1])) ** 2
    slow = 2 * exp((6.5 - w) / 27)
    quick = where(w <= 50, exp((w - 10) / 11 - (w - 6.5) / 27) / 18.975, slow)
    gates = {
        "h": (0.128 * exp((17 - u) / 18), 4 / (1 + exp((40 - u) / 5))),
        "n": (0.016 * 5 * ratio((u - 35.1) / 5), 0.25 * exp(0.5 - 0.025 * u)),
        "s": (1.6 / (1 + exp(-0.072 * (w - 65))), 0.02 * 5 * ratio((51.1 - w) / 5)),
        "c": (quick, where(w <= 50, slow - quick, 0.0)),
        "q": (np.minimum(2e-5 * s["Ca"], 0.01), np.full_like(u, 0.001)),
    }
    sodium, rectifier = p["g_Na"] * opening * s["h"], p["g_DR"] * s["n"]
    calcium = p["g_Ca"] * s["s"] ** 2
    potassium = p["g_AHP"] * s["q"] + p["g_C"] * s["c"] * np.minimum(s["Ca"] / 250, 1)
    soma = p["g_L"] + sodium + rectifier + p["g_c"] / p["p"]
    dendrite = p["g_L"] + calcium + potassium + p["g_c"] / (1 - p["p"])
    pull_s = sodium * p["E_Na"] + rectifier * p["E_K"] + (p["g_c"] * w + x["soma"]) / p["p"]
    pull_d = calcium * p["E_Ca"] + potassium * p["E_K"] + (p["g_c"] * u + x["dend"]) / (1 - p["p"])
    after = {
        "v_s": u + dt * (pull_s - soma * u) / p["C"],  # not linear in v_s: the sodium current opens at once
        "v_d": towards(pull_d / dendrite, w, p["C"] / dendrite, dt),
        "Ca": towards(-0.13 * calcium * (w - p["E_Ca"]) / 0.075, s["Ca"], 1 / 0.075, dt),
    }
    for gate, (alpha, beta) in gates.items():
        after[gate] = towards(alpha / (alpha + beta), s[gate], 1 / (alpha + beta), dt)
    above = after["v_s"] > 30
    return done(after, after, above & ~s["above"], above=above)


def somatic_rate(u: np.ndarray, p: Numbers) -> np.ndarray:
    return p["phi_max"] / (1 + p["k"] * exp(p["beta"] * (p["theta"] - u)))


def urbanczik_senn(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    i = s["i"] + x["x"] / p["tau_s"]
    total = p["g_L"] + p["g_D"] + x["exc"] + x["inh"]
    rest = (p["g_D"] * s["v"] + x["exc"] * p["E_E"] + x["inh"] * p["E_I"]) / total
    fall, rise = exp(-dt / p["tau_L"]), exp(-dt / p["tau_s"])
    after = {
        "u": towards(rest, s["u"], 1 / total, dt),
        "v": s["v"] * fall + i * p["tau_s"] / (p["tau_L"] - p["tau_s"]) * (fall - rise),
        "i": i * rise,
    }
    return done(after, after, output=somatic_rate(after["u"], p))


def nmda(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    held = s["refractory"] > 0
    fast, rising, slow, v = s["g_a"] + x["ampa"], s["r"] + x["nmda"], s["g_n"], s["v"]
    block = p["Mg"] / 3.57 * exp(-0.062 * v)
    share = 1 / (1 + block)
    a = fast / (1 + dt / p["tau_a"])
    r = rising / (1 + dt / p["tau_rise"])
    n = (slow + dt * r / p["tau_rise"]) / (1 + dt / p["tau_decay"])  # one after the other: nothing acts back on them
    rate = p["g_L"] * (p["E_L"] - v) + (fast + slow * share) * (p["E_e"] - v)
    slope = -p["g_L"] - fast - slow * share + slow * 0.062 * block * share**2 * (p["E_e"] - v)
    moved = (a - fast + (n - slow) * share) * (p["E_e"] - v)
    v = where(held, v, v + dt * (rate + moved) / (p["C"] - dt * slope))
    z = (v > p["V_T"]) & ~held
    count = count_down(s["refractory"], z, p["t_ref"], dt)
    gates = {"g_a": a, "g_n": n, "r": r}
    return done({"v": v} | gates, {"v": where(z, p["V_r"], v)} | gates, z, refractory=count)


def elm(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    branch = [s[f"s[{k}]"] * exp(-dt / p["tau_s"]) + x[f"x[{k}]"] for k in range(2)]
    kept = [s[f"m[{k}]"] * exp(-dt / p[f"tau_m{k}"]) for k in range(2)]
    given = [*branch, *kept]
    inside = [np.maximum(sum(p[f"A_{j}_{k}"] * given[k] for k in range(4)) + p[f"a_{j}"], 0) for j in range(2)]
    change = [tanh(sum(p[f"B_{i}_{j}"] * inside[j] for j in range(2)) + p[f"b_{i}"]) for i in range(2)]
    memory = [kept[i] + (1 - exp(-dt * p["lam"] / p[f"tau_m{i}"])) * change[i] for i in range(2)]
    after = {f"s[{k}]": branch[k] for k in range(2)} | {f"m[{k}]": memory[k] for k in range(2)}
    return done(after, after, output=p["y_0_0"] * memory[0] + p["y_0_1"] * memory[1])


def elm_parameters() -> dict[str, float]:
    found = {"tau_s": 5.0, "lam": 5.0, "tau_m0": 3.0, "tau_m1": 30.0}
    for name, rows, columns in (("A", 2, 4), ("B", 2, 2), ("y", 1, 2)):
        for r in range(rows):
            found |= {f"{name}_{r}_{c}": float(cos(1 + 2 * r + 3 * c)) / columns**0.5 for c in range(columns)}
    return found | {f"a_{r}": 0.1 for r in range(2)} | {f"b_{r}": 0.1 for r in range(2)}


def from_zero(*names: str) -> Callable[[Numbers], dict[str, float | np.ndarray]]:
    return lambda p: {name: p.get(name, 0.0) for name in names}


def izhikevich_init(p: Numbers) -> dict[str, float | np.ndarray]:
    return {"v": p.get("v", -65.0), "u": p["b"] * p.get("v", -65.0)}


LEAKY = {"tau_mem": 10.0, "theta": 1.0, "v_r": 0.0, "R": 10.0}
SQUID = {"C": 1.0, "g_Na": 120.0, "g_K": 36.0, "g_L": 0.3, "E_Na": 50.0, "E_K": -77.0, "E_L": -54.387}
COBA = {"C": 200.0, "g_L": 10.0, "E_L": -60.0, "E_e": 0.0, "E_i": -80.0, "tau_e": 5.0, "tau_i": 10.0}
ADEX = {"C": 281.0, "g_L": 30.0, "E_L": -70.6, "V_T": -50.4, "Delta_T": 2.0, "V_peak": 20.0, "V_r": -70.6}
FOURCAUD = {"C": 100.0, "g_L": 10.0, "E_L": -65.0, "V_T": -59.9, "Delta_T": 3.48, "V_peak": -30.0, "V_r": -68.0}
BARNACLE = {"C": 20.0, "g_Ca": 4.4, "g_K": 8.0, "g_L": 2.0, "E_Ca": 120.0, "E_K": -84.0, "E_L": -60.0}
REGULAR = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0}

PYRAMID = {"C": 3.0, "g_L": 0.1, "g_Na": 30.0, "g_DR": 15.0, "g_Ca": 10.0, "g_AHP": 0.8, "g_C": 15.0, "g_c": 2.1}
PYRAMID |= {"p": 0.5, "E_Na": 120.0, "E_Ca": 140.0, "E_K": -15.0}
DENDRITE = {"g_L": 0.1, "g_D": 2.0, "tau_L": 10.0, "tau_s": 3.0, "E_E": 14 / 3, "E_I": -1 / 3, "phi_max": 0.15}
DENDRITE |= {"k": 0.5, "beta": 5.0, "theta": 1.0}
BRUNEL = {"C": 500.0, "g_L": 25.0, "E_L": -70.0, "E_e": 0.0, "V_T": -50.0, "V_r": -55.0, "t_ref": 2.0}
BRUNEL |= {"tau_a": 2.0, "tau_rise": 2.0, "tau_decay": 100.0, "Mg": 1.0}

LOOPS: dict[str, Loop] = {
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
    "AdEx": Loop(ADEX | {"a": 4.0, "tau_w": 144.0, "b": 80.5}, lambda p: {"v": p.get("v", p["E_L"]), "w": 0.0}, adex),
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
    "PassiveCable": Loop(
        {"L": 1.0, "tau_m": 20.0, "g_L": 5.0, "E_L": -70.0},
        lambda p: {f"v[{k}]": p.get(f"v[{k}]", p["E_L"]) for k in range(5)},
        passive_cable,
        output=lambda s: s["v[4]"],
    ),
    "PinskyRinzel": Loop(
        PYRAMID,
        lambda p: {
            "v_s": p.get("v_s", -4.6),
            "v_d": -4.5,
            **{"h": 0.999, "n": 0.001, "s": 0.009, "c": 0.007, "q": 0.01, "Ca": 0.2},
        },
        pinsky_rinzel,
        inputs=("soma", "dend"),
        above=lambda s: s["v_s"] > 30,
    ),
    "UrbanczikSenn": Loop(
        DENDRITE,
        from_zero("u", "v", "i"),
        urbanczik_senn,
        inputs=("x", "exc", "inh"),
        output=lambda s: somatic_rate(s["u"], DENDRITE),
    ),
    "NMDA": Loop(
        BRUNEL,
        lambda p: {"v": p.get("v", p["E_L"]), "g_a": 0.0, "g_n": 0.0, "r": 0.0},
        nmda,
        inputs=("ampa", "nmda"),
    ),
    "ELM": Loop(
        elm_parameters(),
        from_zero("s[0]", "s[1]", "m[0]", "m[1]"),
        elm,
        inputs=("x[0]", "x[1]"),
        output=lambda s: (cos(1) * s["m[0]"] + cos(4) * s["m[1]"]) / 2**0.5,
    ),
}


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
