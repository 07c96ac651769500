"""NumPy step loops of the spiking neurons that are not in loops.py, by the same rules."""

import numpy as np
from numpy import cos, exp, sin, sqrt, where

from .loop import Loop, Numbers, Values, count_down, done, from_zero, ratio, towards

Start = dict[str, float | np.ndarray]
Gates = dict[str, tuple[np.ndarray, np.ndarray]]


# --- sodium and potassium ---------------------------------------------------------------------------------------------
def settled(v: float | np.ndarray, gates: Gates) -> Start:
    return {"v": v} | {name: opening / (opening + closing) for name, (opening, closing) in gates.items()}


def relaxed(gates: Gates, s: Values, dt: float) -> Values:
    return {n: towards(up / (up + down), s[n], 1 / (up + down), dt) for n, (up, down) in gates.items()}


def traub_miles_rates(v: np.ndarray, p: Numbers) -> Gates:
    u = v - p["V_T"]
    return {
        "m": (1.28 * ratio((u - 13) / 4), 1.4 * ratio(-(u - 40) / 5)),
        "h": (0.128 * exp((17 - u) / 18), 4 / (1 + exp((40 - u) / 5))),
        "n": (0.16 * ratio((u - 15) / 5), 0.5 * exp((10 - u) / 40)),
    }


def traub_miles_init(p: Numbers) -> Start:
    v = np.asarray(p.get("v", p["E_L"]), float)
    return settled(v, traub_miles_rates(v, p))


def traub_miles(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    sodium, potassium = p["g_Na"] * s["m"] ** 3 * s["h"], p["g_K"] * s["n"] ** 4
    total = sodium + potassium + p["g_L"]
    rest = (sodium * p["E_Na"] + potassium * p["E_K"] + p["g_L"] * p["E_L"] + x["x"]) / total
    after = {"v": towards(rest, s["v"], p["C"] / total, dt)} | relaxed(traub_miles_rates(s["v"], p), s, dt)
    above = after["v"] > -20
    return done(after, after, above & ~s["above"], above=above)


def wang_buzsaki_rates(v: np.ndarray, phi: float | np.ndarray) -> Gates:
    return {
        "h": (phi * 0.07 * exp(-(v + 58) / 20), phi / (1 + exp(-(v + 28) / 10))),
        "n": (phi * 0.1 * ratio((v + 34) / 10), phi * 0.125 * exp(-(v + 44) / 80)),
    }


def wang_buzsaki_init(p: Numbers) -> Start:
    v = np.asarray(p.get("v", -64.0), float)
    return settled(v, wang_buzsaki_rates(v, 1.0))


def wang_buzsaki(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = s["v"]
    opening, closing = ratio((v + 35) / 10), 4 * exp(-(v + 60) / 18)
    sodium = p["g_Na"] * (opening / (opening + closing)) ** 3 * s["h"]
    current = sodium * (p["E_Na"] - v) + p["g_K"] * s["n"] ** 4 * (p["E_K"] - v) + p["g_L"] * (p["E_L"] - v) + x["x"]
    after = {"v": v + dt * current / p["C"]} | relaxed(wang_buzsaki_rates(v, p["phi"]), s, dt)
    above = after["v"] > 0
    return done(after, after, above & ~s["above"], above=above)


def hindmarsh_rose(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    def slope(state: np.ndarray) -> np.ndarray:
        v, y, z = state
        return np.stack(
            [
                y - p["a"] * v**3 + p["b"] * v**2 - z + x["x"],
                p["c"] - p["d"] * v**2 - y,
                p["r"] * (p["s"] * (v - p["v_r"]) - z),
            ]
        )

    now = np.stack([s["v"], s["y"], s["z"]])
    k1 = slope(now)
    k2 = slope(now + dt / 2 * k1)
    k3 = slope(now + dt / 2 * k2)
    k4 = slope(now + dt * k3)
    after = dict(zip("vyz", now + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), strict=True))
    above = after["v"] > 1
    return done(after, after, above & ~s["above"], above=above)


def hindmarsh_rose_init(p: Numbers) -> Start:
    return {"v": p.get("v", -1.6), "y": p["c"] - p["d"] * 1.6**2, "z": 0.0}


# --- adaptation -------------------------------------------------------------------------------------------------------
def mat2(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v = towards(p["E_L"] + p["R"] * x["x"], s["v"], p["tau_m"], dt)
    one, two = (s[f"theta_{j}"] * exp(-dt / p[f"tau_{j}"]) for j in (1, 2))
    z = (v > p["omega"] + one + two) & (s["refractory"] == 0)
    after = {"v": v, "theta_1": where(z, one + p["alpha_1"], one), "theta_2": where(z, two + p["alpha_2"], two)}
    count = count_down(s["refractory"], z, p["t_ref"], dt)
    return done({"v": v, "theta_1": one, "theta_2": two}, after, z, refractory=count)


def adlif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    alpha, rho = exp(-dt / p["tau_u"]), exp(-dt / p["tau_w"])
    w = rho * s["w"] + p["a"] * s["v"] + p["b"] * s["fired"]
    v = alpha * (s["v"] - p["theta"] * s["fired"]) + (1 - alpha) * (x["x"] - w)
    z = v > p["theta"]
    return done({"v": v, "w": w}, {"v": v, "w": w}, z, fired=z.astype(float))


def se_adlif(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    alpha, rho = exp(-dt / p["tau_u"]), exp(-dt / p["tau_w"])
    w = rho * s["w"] + (1 - rho) * p["q"] * (p["a"] * s["v"] + p["b"] * s["fired"])
    v = alpha * s["v"] + (1 - alpha) * (x["x"] - w)
    z = v > p["theta"]
    return done({"v": v, "w": w}, {"v": where(z, 0.0, v), "w": w}, z, fired=z.astype(float))


# --- resonators -------------------------------------------------------------------------------------------------------
def resonate_and_fire(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    i, turn, shrink = s["i"] + x["x"], p["omega"] * dt, exp(p["b"] * dt)
    v, i = shrink * (cos(turn) * s["v"] + sin(turn) * i), shrink * (cos(turn) * i - sin(turn) * s["v"])
    z = v >= p["theta"]
    return done({"v": v, "i": i}, {"v": where(z, p["theta"], v), "i": where(z, 0.0, i)}, z)


def balanced_rf(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v, u, q = s["v"], s["u"], p["gamma"] * s["q"] + s["fired"]
    b = (-1 + sqrt(1 - (dt * p["omega"]) ** 2)) / dt - p["b"] - p["kappa"] * q
    after = {
        "v": v + dt * (b * v - p["omega"] * u + x["x"]),
        "u": u + dt * (p["omega"] * v + b * u),
        "q": q,
    }
    z = after["v"] > p["theta"] + q
    return done(after, after, z, fired=z.astype(float))


def balanced_harmonic_rf(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    q = p["gamma"] * s["q"] + s["fired"]
    b = p["omega"] ** 2 * dt / 2 + p["b"] + p["kappa"] * q
    u = s["u"] + s["v"] * dt
    v = s["v"] + x["x"] * dt - 2 * dt * b * s["v"] - p["omega"] ** 2 * u * dt
    z = v > p["theta"] + q
    return done({"v": v, "u": u, "q": q}, {"v": v, "u": u, "q": q}, z, fired=z.astype(float))


# --- generalised leaky integrate-and-fire -----------------------------------------------------------------------------
def between(start: np.ndarray, rate: float | np.ndarray, g: np.ndarray, dt: float) -> np.ndarray:
    """Return what an exponential that decays with `rate` leaves in a low-pass of rate `g` after dt."""
    return start * (exp(-rate * dt) - exp(-g * dt)) / (g - rate)


def glif(level: int):
    currents, thresholds = level >= 3, level in (2, 4, 5)

    def step(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
        held, leak = s["refractory"] > 0, p["g"] / p["C"]
        target = x["x"] / p["g"]
        u = target + (s["v"] - p["E_L"] - target) * exp(-leak * dt)
        before, jumps = {}, {}
        for j in (1, 2) if currents else ():
            u = u + between(s[f"I_{j}"] / p["C"], p[f"k_{j}"], leak, dt)
            before[f"I_{j}"] = s[f"I_{j}"] * exp(-p[f"k_{j}"] * dt)
            jumps[f"I_{j}"] = before[f"I_{j}"] + p[f"dI_{j}"]
        before["v"] = where(held, s["v"], p["E_L"] + u)
        limit = p["theta"]
        if thresholds:
            before["theta_s"] = s["theta_s"] * exp(-p["b_s"] * dt)
            jumps["theta_s"] = before["theta_s"] + p["d_theta"]
            limit = limit + before["theta_s"]
        if level == 5:
            before["theta_v"] = follow(s, x, p, dt, held)
            limit = limit + before["theta_v"]
        z = (before["v"] > limit) & ~held
        kept = p["E_L"] + p["f_v"] * (before["v"] - p["E_L"]) + p["dv"] if thresholds else p["v_r"]
        after = before | {n: where(z, value, before[n]) for n, value in (jumps | {"v": kept}).items()}
        return done(before, after, z, refractory=count_down(s["refractory"], z, p["t_ref"], dt))

    return step


def follow(s: Values, x: Values, p: Numbers, dt: float, held: np.ndarray) -> np.ndarray:
    """Return the threshold that follows the potential, integrated by Gauss's rule of 8 points."""
    places, weights = np.polynomial.legendre.leggauss(8)
    leak, total = p["g"] / p["C"], s["theta_v"] * exp(-p["b_v"] * dt)
    for place, weight in zip((places + 1) / 2 * dt, weights / 2 * dt, strict=True):
        target = x["x"] / p["g"]
        u = target + (s["v"] - p["E_L"] - target) * exp(-leak * place)
        for j in (1, 2):
            u = u + between(s[f"I_{j}"] / p["C"], p[f"k_{j}"], leak, place)
        u = where(held, s["v"] - p["E_L"], u)
        total = total + weight * p["a_v"] * u * exp(-p["b_v"] * (dt - place))
    return total


# --- a map ------------------------------------------------------------------------------------------------------------
def rulkov(s: Values, x: Values, p: Numbers, dt: float) -> tuple[Values, Values]:
    v, u = s["v"], s["y"] + p["beta"] * x["x"]
    peak = (v < p["alpha"] + u) & (s["earlier"] <= 0)
    new = where(v <= 0, p["alpha"] / (1 - np.minimum(v, 0)) + u, where(peak, p["alpha"] + u, -1.0))
    after = {"v": new, "y": s["y"] - p["mu"] * (v + 1 - p["sigma"] - x["x"])}
    above = new > 0
    return done(after, after, above & ~s["above"], above=above, earlier=v)


def rulkov_init(p: Numbers) -> Start:
    return {"v": p.get("v", -1.0), "y": -3.25, "earlier": p.get("v", -1.0)}


CELL = {"C": 58.72, "g": 9.43, "E_L": -78.85, "theta": -51.68, "t_ref": 3.75}
RESETS = {"f_v": 0.2, "dv": 18.51, "b_s": 0.009, "d_theta": 0.37}
CURRENTS = {"k_1": 0.003, "k_2": 0.1, "dI_1": -9.18, "dI_2": -198.94}
BALANCED = {"omega": 0.1, "b": 0.01, "gamma": 0.9, "kappa": 0.01, "theta": 1.0}


def glif_loop(level: int, more: dict[str, float], *states: str) -> Loop:
    def init(p: Numbers) -> Start:
        return {"v": p.get("v", p["E_L"])} | {name: 0.0 for name in states}

    return Loop(CELL | more, init, glif(level))


SPIKING: dict[str, Loop] = {
    "TraubMiles": Loop(
        {
            "C": 200.0,
            "g_Na": 20000.0,
            "g_K": 6000.0,
            "g_L": 10.0,
            "E_Na": 50.0,
            "E_K": -90.0,
            "E_L": -65.0,
            "V_T": -63.0,
        },
        traub_miles_init,
        traub_miles,
        above=lambda s: s["v"] > -20,
    ),
    "WangBuzsaki": Loop(
        {"C": 1.0, "g_Na": 35.0, "g_K": 9.0, "g_L": 0.1, "E_Na": 55.0, "E_K": -90.0, "E_L": -65.0, "phi": 5.0},
        wang_buzsaki_init,
        wang_buzsaki,
        above=lambda s: s["v"] > 0,
    ),
    "HindmarshRose": Loop(
        {"a": 1.0, "b": 3.0, "c": 1.0, "d": 5.0, "r": 0.006, "s": 4.0, "v_r": -1.6},
        hindmarsh_rose_init,
        hindmarsh_rose,
        above=lambda s: s["v"] > 1,
    ),
    "MAT2": Loop(
        {"tau_m": 5.0, "R": 0.05, "E_L": -65.0, "omega": -45.0, "alpha_1": 30.0, "alpha_2": 2.0}
        | {"tau_1": 10.0, "tau_2": 200.0, "t_ref": 2.0},
        lambda p: {"v": p.get("v", p["E_L"]), "theta_1": 0.0, "theta_2": 0.0},
        mat2,
    ),
    "ResonateAndFire": Loop({"b": -0.1, "omega": 1.0, "theta": 1.0}, from_zero("v", "i"), resonate_and_fire),
    "BalancedRF": Loop(BALANCED, from_zero("v", "u", "q"), balanced_rf),
    "BalancedHarmonicRF": Loop(BALANCED, from_zero("v", "u", "q"), balanced_harmonic_rf),
    "AdLIF": Loop({"tau_u": 15.0, "tau_w": 60.0, "a": 0.1, "b": 1.0, "theta": 1.0}, from_zero("v", "w"), adlif),
    "SEAdLIF": Loop(
        {"tau_u": 15.0, "tau_w": 180.0, "a": 0.5, "b": 1.0, "q": 120.0, "theta": 1.0}, from_zero("v", "w"), se_adlif
    ),
    "GLIF1": glif_loop(1, {"v_r": -78.85}),
    "GLIF2": glif_loop(2, RESETS, "theta_s"),
    "GLIF3": glif_loop(3, CURRENTS | {"v_r": -78.85}, "I_1", "I_2"),
    "GLIF4": glif_loop(4, CURRENTS | RESETS, "I_1", "I_2", "theta_s"),
    "GLIF5": glif_loop(5, CURRENTS | RESETS | {"a_v": 0.005, "b_v": 0.09}, "I_1", "I_2", "theta_s", "theta_v"),
    "Rulkov": Loop(
        {"alpha": 4.5, "mu": 0.001, "sigma": 0.05, "beta": 0.133}, rulkov_init, rulkov, above=lambda s: s["v"] > 0
    ),
}
