"""NumPy step loops of units without spikes that are not in loops.py, by the same rules."""

import numpy as np
from numpy import cos, exp, log, maximum, sin, sqrt, tanh

from .loop import Loop, Numbers, Values, done, from_zero, towards

Start = dict[str, float | np.ndarray]


def logistic(y: np.ndarray) -> np.ndarray:
    return 1 / (1 + exp(-y))


# --- rates ------------------------------------------------------------------------------------------------------------
def wilson_cowan(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    def response(y: np.ndarray, a: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return logistic(a * (y - theta)) - logistic(-a * theta), 1 - logistic(-a * theta)

    E, I = s["E"], s["I"]  # noqa: E741
    S_e, k_e = response(p["c_1"] * E - p["c_2"] * I + x["P"], p["a_e"], p["theta_e"])
    S_i, k_i = response(p["c_3"] * E - p["c_4"] * I + x["Q"], p["a_i"], p["theta_i"])
    after = {
        "E": E + dt * ((k_e - p["r_e"] * E) * S_e - E) / p["tau"],
        "I": I + dt * ((k_i - p["r_i"] * I) * S_i - I) / p["tau"],
    }
    return done(after, after, output=after["E"])


def ssn(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    after = {"r": towards(p["k"] * maximum(x["x"], 0) ** p["n"], s["r"], p["tau"], dt)}
    return done(after, after, output=after["r"])


def prospective(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    ratio = p["tau"] / p["tau_a"]
    end = ratio * x["x"]
    free = x["x"] + (s["v"] - x["x"]) * exp(-dt / p["tau"])  # of v, were a at its end
    pushed = (exp(-dt / p["tau"]) - exp(-dt / p["tau_a"])) / (1 / p["tau_a"] - 1 / p["tau"]) / p["tau"]
    after = {"v": free - pushed * (s["a"] - end), "a": towards(end, s["a"], p["tau_a"], dt)}
    return done(after, after, output=after["v"])


def ltc(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    f = logistic(x["x"] + p["bias"])
    rate = 1 / p["tau"] + f
    after = {"v": towards(f * p["A"] / rate, s["v"], 1 / rate, dt)}
    return done(after, after, output=after["v"])


def dale_rate(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    end = x["exc"] / (1 + x["shunt"]) - x["inh"] + p["bias"]
    after = {"v": towards(end, s["v"], p["tau"], dt)}
    return done(after, after, output=maximum(after["v"], 0))


# --- gates and diagonals ----------------------------------------------------------------------------------------------
def gru(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    r, z = logistic(x["r"] + p["b_r"]), logistic(x["z"] + p["b_z"])
    c = tanh(x["c"] + p["b_c"] + r * (x["c_rec"] + p["b_rec"]))
    after = {"h": (1 - z) * c + z * s["h"]}
    return done(after, after, output=after["h"])


def lru(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    size, turn = exp(-exp(p["nu"])), exp(p["theta"])
    gain = sqrt(1 - size**2)
    after = {
        "a": size * cos(turn) * s["a"] - size * sin(turn) * s["b"] + gain * x["x_re"],
        "b": size * sin(turn) * s["a"] + size * cos(turn) * s["b"] + gain * x["x_im"],
    }
    return done(after, after, output=after["a"])


# --- astrocytes -------------------------------------------------------------------------------------------------------
def calcium(s: Values, ip3: np.ndarray, p: Numbers, dt: float) -> Values:
    C, h = s["C"], s["h"]
    Q_2 = p["d_2"] * (ip3 + p["d_1"]) / (ip3 + p["d_3"])
    channel = (ip3 / (ip3 + p["d_1"]) * C / (C + p["d_5"]) * h) ** 3
    store = (p["c_0"] - C) / p["c_1"]
    flow = p["c_1"] * (p["v_1"] * channel + p["v_2"]) * (store - C) - p["v_3"] * C**2 / (C**2 + p["k_3"] ** 2)
    return {"C": C + dt * flow, "h": towards(Q_2 / (Q_2 + C), h, 1 / (p["a_2"] * (Q_2 + C)), dt)}


def li_rinzel(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    after = calcium(s, p["p_0"] + x["x"], p, dt)
    return done(after, after, output=after["C"])


def slow_current(s: Values) -> np.ndarray:
    return 2.11 * log(maximum(1000 * (s["C"] - 0.19669), 1))


def nadkarni_jung(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    ip3 = s["p"] + x["x"]
    after = calcium(s, ip3, p, dt) | {"p": towards(p["p_rest"], ip3, p["tau_p"], dt)}
    return done(after, after, output=slow_current(after))


def astrocyte_modulated(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    after = {
        "v": towards((1 + s["a"]) * x["x"] + p["bias"], s["v"], p["tau"], dt),
        "a": towards(p["w_a"] * tanh(s["v"]) + x["mod"], s["a"], p["tau_a"], dt),
    }
    return done(after, after, output=tanh(after["v"]))


STORE = {"v_1": 6e-3, "v_2": 0.11e-3, "v_3": 0.9e-3, "c_0": 2.0, "c_1": 0.185, "k_3": 0.1, "a_2": 0.2e-3}
AFFINITIES = {"d_1": 0.13, "d_2": 1.049, "d_3": 0.9434, "d_5": 0.08234}

UNITS: dict[str, Loop] = {
    "WilsonCowan": Loop(
        {"c_1": 16.0, "c_2": 12.0, "c_3": 15.0, "c_4": 3.0, "a_e": 1.3, "theta_e": 4.0, "a_i": 2.0, "theta_i": 3.7}
        | {"r_e": 1.0, "r_i": 1.0, "tau": 8.0},
        from_zero("E", "I"),
        wilson_cowan,
        inputs=("P", "Q"),
        output=lambda s: s["E"],
    ),
    "SSN": Loop({"k": 0.04, "n": 2.0, "tau": 20.0}, from_zero("r"), ssn, output=lambda s: s["r"]),
    "Prospective": Loop({"tau": 10.0, "tau_a": 1.0}, from_zero("v", "a"), prospective, output=lambda s: s["v"]),
    "LTC": Loop({"A": 1.0, "bias": 0.0, "tau": 10.0}, from_zero("v"), ltc, output=lambda s: s["v"]),
    "GRU": Loop(
        {"b_r": 0.0, "b_z": 0.0, "b_c": 0.0, "b_rec": 0.0},
        from_zero("h"),
        gru,
        inputs=("r", "z", "c", "c_rec"),
        output=lambda s: s["h"],
    ),
    "LRU": Loop({"nu": -3.0, "theta": -1.0}, from_zero("a", "b"), lru, ("x_re", "x_im"), output=lambda s: s["a"]),
    "DaleRate": Loop(
        {"tau": 10.0, "bias": 0.0},
        from_zero("v"),
        dale_rate,
        inputs=("exc", "inh", "shunt"),
        output=lambda s: maximum(s["v"], 0),
    ),
    "LiRinzel": Loop(
        STORE | AFFINITIES | {"p_0": 0.4},
        lambda p: {"C": p.get("C", 0.1), "h": 0.8},
        li_rinzel,
        output=lambda s: s["C"],
    ),
    "NadkarniJung": Loop(
        STORE | AFFINITIES | {"p_rest": 0.16, "tau_p": 7142.0, "I_s": 2.11, "C_th": 0.19669},
        lambda p: {"C": p.get("C", 0.0731), "h": 0.7863, "p": p["p_rest"]},
        nadkarni_jung,
        output=slow_current,
    ),
    "AstrocyteModulated": Loop(
        {"tau": 10.0, "tau_a": 500.0, "w_a": 1.0, "bias": 0.0},
        from_zero("v", "a"),
        astrocyte_modulated,
        inputs=("x", "mod"),
        output=lambda s: tanh(s["v"]),
    ),
}
