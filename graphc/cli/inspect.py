"""The command ``graphc inspect``: what a network becomes, from its equations to machine code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Command, refuse, show, wants
from .network import load
from .options import compiled_as, dtype_of, learning, network_argument

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.runtime import Model

FORMS = ("declared", "discretised", "adjoint", "traces")
HALVES = ("forward", "backward", "traces")
WHATS = ("c", "triton", "asm", "ttir", "ttgir", "llir", "ptx", "sass", "amdgcn")
HIGHLIGHT = {"c": "c", "triton": "python", "asm": "gas", "llir": "llvm", "ttir": "text", "ttgir": "text"}


HELP = """Show what NETWORK becomes on the way from its equations to kernels.

Without options: a summary. Nothing is run, and a GPU is not needed for any of it.

\b
graphc inspect zoo:AdEx --equations discretised
graphc inspect model.py:net --stage adjoint --diff
graphc inspect model.py:net --source forward --what ptx --arch sm_80
graphc inspect model.py:net --html net.html
"""


@click.command(
    name="inspect", cls=Command, help=HELP, short_help="Look at what a network becomes: equations, passes, kernels."
)
@network_argument
@compiled_as
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME",
    help="The program after a pass, 'lower' or 'schedule'; may be repeated.",
)
@click.option("--diff", is_flag=True, help="With --stage what the pass changed; without, what every pass changed.")
@click.option("--equations", "form", type=click.Choice(FORMS), help="The equations in one of their forms.")
@click.option("--latex", is_flag=True, help="Equations in LaTeX.")
@click.option("--source", "half", type=click.Choice(HALVES), help="A generated text.")
@click.option("--what", type=click.Choice(WHATS), help="That text for another target, or what a compiler makes of it.")
@click.option("--arch", default="sm_90", show_default=True, help="What Triton builds for: sm_80, gfx942 and so on.")
@click.option("--resources", is_flag=True, help="Bytes, operations, registers and the roofline of every kernel.")
@click.option(
    "--steps", type=click.IntRange(1), help="T of the call whose memory and time are predicted.  [default: 100]"
)
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="B of that call.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write one page of it all."
)
@click.option(
    "--override-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the generated texts where GRAPHC_OVERRIDE=DIR finds them after you edit them.",
)
def inspect(network: str, **options: Any) -> None:
    """Show what was asked for."""
    import graphc as gc

    loaded = load(network)
    model = gc.compile(
        loaded.network,
        learn=learning(options["learn"]),
        target=options["target"],
        dtype=dtype_of(options["dtype"]),
        precision=None if options["precision"] == "float32" else options["precision"],
    )
    if options["what"] and not options["half"]:
        refuse("--what needs --source", "graphc inspect NETWORK --source forward --what ptx")
    if options["half"]:
        return _source(model, options["half"], options["what"], options["arch"])
    if options["stages"] and not options["diff"]:
        return _stages(model, options["stages"])
    if options["override_dir"]:
        return _override(model, options["override_dir"])
    _report(model, loaded.name, options["steps"] or loaded.steps, options)


inspect.params.sort(key=lambda p: p.name in ("target", "learn", "dtype", "precision"))  # what it shows comes first


def _source(model: Model, half: str, what: str | None, arch: str) -> None:
    text = model.source(half, what, arch=arch)
    target = "triton" if text.startswith("#") and what is None else "c"
    lexer = HIGHLIGHT.get(what or target, "text")
    show({"half": half, "what": what or target, "text": text}, lambda console: _highlighted(console, text, lexer))


def _highlighted(console: Console, text: str, lexer: str) -> None:
    """Print a text, colored on a terminal alone."""
    if not console.is_terminal:
        console.out(text, highlight=False)
        return
    from rich.syntax import Syntax

    console.print(Syntax(text, lexer, theme="ansi_dark", background_color="default", word_wrap=True))


def _stages(model: Model, names: tuple[str, ...]) -> None:
    texts = {name: model.graph(name) for name in names}
    show({"stages": texts}, lambda console: console.out("\n\n".join(texts.values()), highlight=False))


def _override(model: Model, folder: Path) -> None:
    from graphc.inspection.collect import texts_of

    found = [s for s in texts_of(model.build()) if s.override]
    if not found:
        refuse("the reference target interprets the program: it has no texts", "use --target c or triton")
    folder.mkdir(parents=True, exist_ok=True)
    for source in found:
        (folder / source.override).write_text(source.text)
    paths = [str(folder / s.override) for s in found]

    def render(console: Console) -> None:
        for path in paths:
            console.out(path, highlight=False)
        console.out(f"edit them and run with GRAPHC_OVERRIDE={folder}", highlight=False)

    show({"written": paths}, render)


def _report(model: Model, name: str, steps: int, options: dict[str, Any]) -> None:
    from graphc.inspection.collect import collect
    from graphc.inspection.summary import diffs, equations, resources, summary

    html: Path | None = options["html"]
    whole = html is not None or wants("json")
    report = collect(
        model,
        name,
        arch=options["arch"],
        steps=steps,
        batch=options["batch"],
        resources=options["resources"] or whole,
        targets=("c", "triton") if html is not None else (),
    )
    if html is not None:
        return _page(report, html)
    if options["diff"]:
        found = diffs(report, options["stages"])
        show({"diffs": found}, lambda console: _highlighted(console, "\n".join(found.values()), "diff"))
    elif options["form"]:
        chosen = report.of_form(options["form"])
        document = {"equations": [e for e in report.document()["equations"] if e["form"] == options["form"]]}
        show(document, lambda console: equations(console, chosen, options["form"], options["latex"]))
    elif options["resources"]:
        document = {k: v for k, v in report.document().items() if k in ("costs", "machine", "resources", "missing")}
        show(document, lambda console: resources(console, report))
    else:
        show(report.document(), lambda console: summary(console, report))


def _page(report: Any, path: Path) -> None:
    try:
        from graphc.inspection.page import page

        text = page(report)
    except ImportError as absent:
        refuse(f"--html needs the package {absent.name}", 'pip install "graphc[html]"')
    path.write_text(text, encoding="utf-8")
    size = len(text.encode())
    show(
        {"html": str(path), "bytes": size}, lambda console: console.out(f"{path}: {size / 1e6:.2f} MB", highlight=False)
    )
