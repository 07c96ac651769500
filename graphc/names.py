"""Which names a declaration may use."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

SIGNALS = frozenset({"output", "refractory", "spike"})  # of every population, beside its own states, inputs and lets
RESERVED = SIGNALS | {"dt", "t", "weight"}

C_KEYWORDS = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true
    false""".split()  # noqa: SIM905
)
# Names of functions and modules that generated code calls; a value of the same name would hide them.
EMITTED = frozenset(
    """abs acos asin atan atan2 ceil clip cos cosh erf exp expm1 exprel exprel_prime fabs floor fmax fmin fmod libdevice
    log log1p max min pow relu sigmoid sign sin sinh softplus sqrt tan tanh tl torch triton where""".split()  # noqa: SIM905
)
# Public attributes of torch.nn.Module, written out so that a declaration does not import torch; a test compares.
MODULE_ATTRIBUTES = frozenset(
    """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters parameters parametrizations
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty
    train training type xpu zero_grad""".split()  # noqa: SIM905
)
MODEL_ATTRIBUTES = frozenset(
    """anneal_delays build check dtype explain graph initial_state io_dtype last_build network program prune record
    rewire round_delays run source state step target verify""".split()  # noqa: SIM905
)


def check_name(name: object, what: str, loc: Loc) -> str:
    """Return `name`, or raise when it is no name that generated code can use."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        hint = "a name is a letter, then letters, digits and underscores; a leading _ is kept for generated names"
        raise DeclarationError(f"{name!r} is no valid name for {what}", loc, hint)
    if keyword.iskeyword(name) or name in C_KEYWORDS:
        raise DeclarationError(f"{what} cannot be named {name!r}, a keyword of Python or C", loc, f"try {name + '_'!r}")
    return name


def check_symbol_name(name: object, what: str, loc: Loc) -> str:
    """Return `name`, or raise when a symbol of an equation cannot have it."""
    checked = check_name(name, what, loc)
    if checked in RESERVED:
        raise DeclarationError(f"{what} cannot be named {name!r}: the name is reserved", loc, f"try {checked + '_'!r}")
    if checked in EMITTED:
        hint = f"try {checked + '_'!r}"
        raise DeclarationError(f"{what} named {name!r} would hide a function of the generated code", loc, hint)
    return checked


def check_attribute_name(name: str, what: str, loc: Loc, taken: frozenset[str] = MODULE_ATTRIBUTES) -> None:
    """Raise when `name` cannot become an attribute of a torch module."""
    if name in taken:
        owner = "torch.nn.Module" if name in MODULE_ATTRIBUTES else "graphc.Model"
        raise DeclarationError(f"{what} named {name!r} would hide the attribute {name!r} of {owner}", loc)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean 'x'?`` for the nearest of `known`, or None."""
    names = sorted(set(known))
    close = [n for n in names if n.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None
