"""The argument NETWORK: FILE.py:NAME, package.module:NAME or zoo:NAME."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from graphc.network import Network

FORMS = "FILE.py:NAME, package.module:NAME or zoo:NAME"


@dataclass(frozen=True)
class Loaded:
    """A network, how it was named, and for how many steps it is run where nobody says."""

    network: Network
    name: str
    steps: int = 100


class NetworkName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A network's name; completion knows files, the names in them, and the zoo."""

    name = "network"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what may follow `incomplete`."""
        place, colon, name = incomplete.rpartition(":")
        if place == "zoo":
            return [CompletionItem(f"zoo:{n}") for n in _zoo() if n.startswith(name)]
        if colon and place.endswith(".py") and Path(place).is_file():
            return [CompletionItem(f"{place}:{n}") for n in _assigned(Path(place)) if n.startswith(name)]
        return [CompletionItem("zoo:")] * "zoo:".startswith(incomplete) + [CompletionItem(incomplete, type="file")]


NETWORK = NetworkName()


def load(name: str) -> Loaded:
    """Return the network of that name.

    Raises:
        GraphcError: there is none, or its file cannot be imported.
    """
    from graphc.ir.errors import GraphcError
    from graphc.network import Network

    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise GraphcError(f"{name!r} names no network", hint=f"use {FORMS}")
    if place == "zoo":
        return _of_zoo(attribute)
    with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints is no part of our output
        module = _module(place)
        if not hasattr(module, attribute):
            raise GraphcError(f"{place} has no {attribute!r}", hint=_suggestion(module, attribute, place))
        value = found = getattr(module, attribute)
        if callable(found) and not isinstance(found, (type, Network)):
            _check_callable(found, f"{attribute}() of {place}")
            value = _call(found, f"{attribute}() of {place}")
    if not isinstance(value, Network):
        what = f"{attribute!r} of {place} " + ("returns" if value is not found else "is")
        raise GraphcError(f"{what} a {type(value).__name__}, no gc.Network", hint=_suggestion(module, attribute, place))
    return Loaded(value, name)


def _check_callable(function: Any, what: str) -> None:
    """Raise where `function` cannot be called without arguments."""
    from graphc.ir.errors import GraphcError

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built in: calling it tells
        return
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in stars]
    if needed:
        hint = "name a gc.Network, or a function without arguments that returns one"
        raise GraphcError(f"{what} needs arguments: {', '.join(needed)}", hint=hint)


def _of_zoo(name: str) -> Loaded:
    from graphc.ir.errors import GraphcError
    from graphc.names import did_you_mean
    from graphc.zoo.drives import DRIVES, network

    if name not in DRIVES:
        hint = did_you_mean(name, DRIVES) or f"neurons are {', '.join(DRIVES)}"
        raise GraphcError(f"the zoo has no neuron {name!r}", hint=hint)
    return Loaded(network(name), f"zoo:{name}", DRIVES[name].steps)


def _module(place: str) -> ModuleType:
    from graphc.ir.errors import GraphcError

    path = Path(place)
    if place.endswith(".py") or path.exists():
        if path.is_dir():
            raise GraphcError(f"{place} is a folder", hint=f"NETWORK is {FORMS}")
        if not path.is_file():
            raise GraphcError(f"there is no file {place}", hint=f"NETWORK is {FORMS}")
        if path.suffix != ".py":
            raise GraphcError(f"{place} is no Python file", hint=f"NETWORK is {FORMS}")
        found: ModuleType = _call(lambda: _import_file(path), place)
        return found
    _find_beside(Path.cwd())
    try:
        known = importlib.util.find_spec(place) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        raise GraphcError(f"there is no module {place!r}", hint=f"NETWORK is {FORMS}; a file ends in .py")
    imported: ModuleType = _call(lambda: importlib.import_module(place), place)
    return imported


def _find_beside(folder: Path) -> None:
    """Let imports find what lies in `folder`, as they do where Python runs a script there."""
    beside = str(folder.resolve())
    if beside not in sys.path:
        sys.path.insert(0, beside)


def _import_file(path: Path) -> ModuleType:
    """Return the module of a file; it may import what lies beside it, as a script may."""
    _find_beside(path.parent)
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _call(function: Any, what: str) -> Any:
    """Return what the user's code returns; its errors name the user's line."""
    from graphc.ir.errors import GraphcError
    from graphc.ir.loc import Loc, is_library

    try:
        return function()
    except GraphcError:
        raise
    except (Exception, SystemExit) as error:
        frames = [f for f, _ in traceback.walk_tb(error.__traceback__) if not is_library(f.f_globals["__name__"])]
        frames = [f for f in frames if not f.f_globals["__name__"].startswith("importlib")]
        if isinstance(error, SyntaxError) and error.filename:
            loc: Loc | None = Loc(error.filename, error.lineno or 1)
        else:
            loc = Loc(frames[-1].f_code.co_filename, _line(error, frames[-1])) if frames else None
        raise GraphcError(f"{what} raises {type(error).__name__}: {error}", loc) from error


def _line(error: BaseException, frame: Any) -> int:
    return next(line for f, line in traceback.walk_tb(error.__traceback__) if f is frame)


def _suggestion(module: ModuleType, attribute: str, place: str) -> str:
    from graphc.names import did_you_mean
    from graphc.network import Network

    networks = [n for n, value in vars(module).items() if isinstance(value, Network)]
    near = did_you_mean(attribute, networks)
    if near:
        return near
    if networks:
        return f"networks there: {', '.join(f'{place}:{n}' for n in networks)}"
    return "name a gc.Network, or a function without arguments that returns one"


def _zoo() -> list[str]:
    from graphc.zoo.drives import DRIVES

    return list(DRIVES)


def _assigned(path: Path) -> list[str]:
    """Return what a file assigns or defines at its top, without running it."""
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, OSError, UnicodeDecodeError):
        return []
    found = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    return [*(t.id for t in targets if isinstance(t, ast.Name)), *found]
