"""NumPy step loops of the zoo neurons with compartments, dendrites and memories."""

import numpy as np
from numpy import cos, exp, tanh, where

from .loop import Loop, Numbers, Values, count_down, done, from_zero, ratio, towards


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


PYRAMID = {"C": 3.0, "g_L": 0.1, "g_Na": 30.0, "g_DR": 15.0, "g_Ca": 10.0, "g_AHP": 0.8, "g_C": 15.0, "g_c": 2.1}
PYRAMID |= {"p": 0.5, "E_Na": 120.0, "E_Ca": 140.0, "E_K": -15.0}
DENDRITE = {"g_L": 0.1, "g_D": 2.0, "tau_L": 10.0, "tau_s": 3.0, "E_E": 14 / 3, "E_I": -1 / 3, "phi_max": 0.15}
DENDRITE |= {"k": 0.5, "beta": 5.0, "theta": 1.0}
BRUNEL = {"C": 500.0, "g_L": 25.0, "E_L": -70.0, "E_e": 0.0, "V_T": -50.0, "V_r": -55.0, "t_ref": 2.0}
BRUNEL |= {"tau_a": 2.0, "tau_rise": 2.0, "tau_decay": 100.0, "Mg": 1.0}

COMPARTMENTS: dict[str, Loop] = {
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
