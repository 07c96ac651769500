"""The pages of the zoo, written from the declarations: equations, parameters, literature, figure."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import graphc.zoo
from graphc.zoo import ALL, RULES
from graphc.zoo.drives import DRIVES
from graphc.zoo.equations import Discretised, Equation, declared, discretised
from graphc.zoo.figure import BLUE, draw, unit_of
from graphc.zoo.texts import texts

from .blocks import INK, fenced, picture

FOLDER = Path(graphc.zoo.__file__).parent
ON_DARK = "#6aa9e9"
"""What is blue on light pages."""
DRAWN_ANYWAY = ("LIF", "PairSTDP")
"""What is drawn where the site should cost little: one of each kind."""


def pages(cache: Path, few: bool) -> Iterator[tuple[str, str | bytes]]:
    """Yield name and content of the page of every model, and of its figure in both themes.

    Args:
        cache: a folder of figures, named by what they show.
        few: the models of `names` alone, and figures of those that are in the cache or in `DRAWN_ANYWAY`.
    """
    for name in names(few):
        drawn = _drawn(name, cache, not few or name in DRAWN_ANYWAY)
        for theme, ink in zip(("light", "dark"), INK, strict=True):
            if drawn:
                lines = drawn.replace(INK[0], ink).replace("#000000", ink)
                yield f"zoo/{name}-{theme}.svg", lines.replace(BLUE, ON_DARK if theme == "dark" else BLUE).encode()
        yield f"zoo/{name}.md", "\n\n".join(_page(name, bool(drawn))) + "\n"


def names(few: bool) -> list[str]:
    """Return the models that have a page: all, or the first of each family."""
    return [name for family in families().values() for name in (family[:1] if few else family)]


@lru_cache
def families() -> dict[str, list[str]]:
    """Return the names of all models by the first sentence of the file that declares them."""
    found: dict[str, list[str]] = {}
    for name in (*ALL, *RULES):
        title = re.split(r"[.:;]|, in ", ast.get_docstring(_parsed(_file(name))) or "")[0]
        found.setdefault(title.replace("\n", " "), []).append(name)
    return found


def gallery(few: bool) -> str:
    """Return cards of models by family, in Markdown."""
    parts = []
    for family, members in families().items():
        parts += [f"### {family}", "::::{grid} 1 2 2 3", ":gutter: 2"]
        for name in members[:1] if few else members:
            text = texts()[name]
            parts += [f":::{{grid-item-card}} {name}", f":link: zoo/{name}", ":link-type: doc", f"{text.about}.\n"]
            parts += [f"*{text.cited}*", ":::"]
        parts += ["::::", ""]
    return "\n".join(parts)


def table(few: bool) -> str:
    """Return neurons side by side: states, inputs and what they are, integrators, and the step of their figures."""
    lines = ["| neuron | states | inputs | drive of the figure | integrator | its dt |", "|---|---|---|---|---|---|"]
    for name in (name for name in ALL if name in names(few)):
        neuron = ALL[name]
        both = [", ".join(f"`{s.name}`" for s in group) for group in (neuron.states, neuron.inputs)]
        unit = unit_of(neuron, neuron.inputs[0].name)
        driven = {"held": "held", "volley": "every 10 ms"}[DRIVES[name].kind] + (f", {unit}" if unit else "")
        how: dict[str, list[str]] = {}
        for state, integrator in _step(name).integrators.items():
            how.setdefault(integrator.partition(" (")[0].partition(",")[0], []).append(state)
        told = ", ".join(kind if len(how) == 1 else f"{kind}: {' '.join(states)}" for kind, states in how.items())
        lines.append(f"| [{name}](zoo/{name}.md) | {' | '.join(both)} | {driven} | {told} | {DRIVES[name].dt:g} ms |")
    return "\n".join(lines)


@lru_cache
def _step(name: str) -> Discretised:
    return discretised(ALL[name], DRIVES[name].dt)


@lru_cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@lru_cache
def _files() -> dict[str, tuple[Path, ast.stmt]]:
    """Return where every model is declared."""
    found: dict[str, tuple[Path, ast.stmt]] = {}
    for path in sorted(FOLDER.glob("*.py")):
        for node in _parsed(path).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = path, node
            elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("gc.Neuron("):
                found[ast.unparse(node.targets[0])] = path, node
    return found


def _file(name: str) -> Path:
    return _files()[name][0]


def _drawn(name: str, cache: Path, make: bool) -> str:
    """Return the figure of a model, from the cache where its declaration has not changed; nothing where it has none."""
    about = [p.read_text() for p in (_file(name), *(FOLDER / f"{m}.py" for m in ("figure", "characterise", "window")))]
    key = hashlib.sha256(repr((about, DRIVES.get(name))).encode()).hexdigest()[:16]
    path = cache / f"{name}-{key}.svg"
    if not path.exists():
        if not make:
            return ""
        cache.mkdir(parents=True, exist_ok=True)
        try:
            draw(name, path)
        except graphc.GraphcError:  # a rule that spike times alone do not decide has no window
            path.write_text("")
    return path.read_text()


def _page(name: str, drawn: bool) -> Iterator[str]:
    text = texts()[name]
    yield "---\norphan: true\n---"  # the gallery leads here: in the menu of every page they would cost
    yield "[The zoo](../zoo.md)"
    yield f"# {name}"
    yield re.sub(r"``(.+?)``", r"`\1`", text.body)
    yield f"*{text.source}*"
    if drawn:
        yield picture(name, f"What {name} does")
    if name in ALL:
        yield from _neuron(name)
    else:
        yield from _rule(name)
    yield f"Declared in `graphc/zoo/{_file(name).name}`."


def _neuron(name: str) -> Iterator[str]:
    neuron, dt = ALL[name], DRIVES[name].dt
    yield "## Equations"
    yield _formulas(declared(neuron))
    yield "## Parameters"
    yield _table([(p, unit_of(neuron, p.name)) for p in neuron.parameters])
    yield "## Use"
    target = f', target="{neuron.inputs[0].name}"' if len(neuron.inputs) > 1 else ""
    yield fenced("{code-block} python", f'net.population("hid", gc.zoo.{name}, 128)\nnet.connect("x", "hid"{target})')
    step = _step(name)
    yield f"## One step of {dt:g} ms"
    yield "| state | unit | how it is integrated |\n|---|---|---|\n" + "\n".join(
        f"| `{s.name}` | {unit_of(neuron, s.name)} | {step.integrators[s.name]} |" for s in neuron.states
    )
    yield fenced("{code-block} text", f":class: output alone\n\n{chr(10).join(map(str, step.equations))}")
    yield "## Declaration"
    yield fenced("{code-block} python", ast.get_source_segment(_file(name).read_text(), _files()[name][1]) or "")


def _rule(name: str) -> Iterator[str]:
    rule = RULES[name]()
    yield "## Equations"
    yield _formulas(declared(rule))
    if rule.parameters:
        yield "## Parameters"
        yield _table([(p, "" if p.dimension is None else p.dimension.unit) for p in rule.parameters])
    yield "## Use"
    yield fenced("{code-block} python", f'net.connect("x", "hid", plasticity=gc.zoo.{name}())')
    yield f"```{{eval-rst}}\n.. autofunction:: graphc.zoo.{name}\n   :no-index:\n```"


def _formulas(equations: list[Equation]) -> str:
    return "\n\n".join(f"$$\n{e.latex}\n$$" for e in equations)


def _table(rows: list[tuple[Any, str]]) -> str:
    cells = []
    for p, unit in rows:
        value = f"{p.default:g}" if isinstance(p.default, float) else f"`{p.default}`"
        bounds = [f"{sign} {bound:g}" for sign, bound in ((">", p.min), ("<", p.max)) if bound is not None]
        notes = ["learned"] * p.learn + [f"per {p.per}"] * (p.per != "population") + bounds
        cells.append((f"`{p.name}`", value, unit, ", ".join(notes)))
    columns = [k for k in range(4) if any(row[k] for row in cells)]
    lines = [("name", "value", "unit", ""), ("---",) * 4, *cells]
    return "\n".join(f"| {' | '.join(line[k] for k in columns)} |" for line in lines)
