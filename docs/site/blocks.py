"""The code blocks of a page, found, run in order in one namespace, and replaced by what a reader sees.

| fence | what happens to it |
|---|---|
| ``python`` | runs; what it prints and draws is put below it |
| ``{both}`` | the same, and `docs.site.record` runs it, too |
| ``{setup} TITLE`` | runs; shown folded, what it prints and draws below it |
| ``{draw} TEXT`` | runs; what it draws, described by the text, and below it the code, folded |
| ``{generate}`` | runs; what it prints is Markdown and takes its place |
| ``{peer} LIBRARY: NAMES`` | is shown; `docs.site.record` runs it where that library is and keeps these values |
| ``{skip} REASON`` | is shown, with the reason why it does not run here |
| anything else | stays |
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=ticks)[ ]*$", re.MULTILINE | re.DOTALL)
RUN = ("python", "both", "setup", "draw", "generate")
KINDS = (*RUN, "peer", "skip")
PLACES = {"peer": "library", "skip": "reason"}
"""What a fence of that kind has to name."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        kind: one of `KINDS`, else the language, such as "sh".
        title: what follows the kind.
        code: its lines.
        line: of the page on which the code begins.
        span: of the whole fence in the text.
    """

    kind: str
    title: str
    code: str
    line: int
    span: tuple[int, int]


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page in order.

    Raises:
        ValueError: a block that is not run says neither why nor with what.
    """
    for found in FENCE.finditer(text):
        name, _, title = found["info"].strip().partition(" ")
        kind = name[1:-1] if name[:1] == "{" and name[1:-1] in KINDS else name
        line = text.count("\n", 0, found.start("code")) + 1
        if kind in PLACES and not title:
            raise ValueError(f"line {line - 1}: a block that is not run here names no {PLACES[kind]}")
        yield Block(kind, title.strip(), found["code"], line, found.span())


@dataclass
class Session:
    """The namespace of one page.

    Attributes:
        page: its file, in which errors and the comments of kernels find their lines.
        figures: the folder that figures go to.
        few: leave figures blank, which saves most of the time that they take; blocks know it as FEW.
        names: what the blocks have defined.
    """

    page: Path
    figures: Path
    few: bool = False
    names: dict[str, Any] = field(default_factory=dict)
    drawn: int = 0

    def __post_init__(self) -> None:
        """Let blocks know where the documentation is; whoever asks for a line of the page finds its code alone."""
        self.names |= {"__name__": "__main__", "DOCS": self.page.parent, "FEW": self.few}
        text = self.page.read_text(encoding="utf-8")
        lines = ["\n"] * (text.count("\n") + 1)
        for block in blocks(text):
            if block.kind in RUN:
                code = block.code.splitlines(keepends=True)
                lines[block.line - 1 : block.line - 1 + len(code)] = code
        linecache.cache[str(self.page)] = (len(text), None, lines, str(self.page))

    def run(self, block: Block) -> tuple[str, list[str]]:
        """Run a block; return what it printed, and the names of the figures it left open."""
        code = compile("\n" * (block.line - 1) + block.code, str(self.page), "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)
        return printed.getvalue(), self._figures()

    def _figures(self) -> list[str]:
        """Save open figures, once with dark and once with light ink."""
        if "matplotlib.pyplot" not in sys.modules:
            return []
        from matplotlib import pyplot

        found = []
        for number in pyplot.get_fignums():
            self.drawn += 1
            name = f"{self.page.stem}-{self.drawn}"
            save(pyplot.figure(number), self.figures / name, blank=self.few)
            found.append(name)
        pyplot.close("all")
        return found


INK = ("#24292f", "#cfd6dd")
"""Of text and axes on light and on dark pages."""


def style() -> None:
    """Choose how figures of pages look; to be called before the first of them."""
    import matplotlib

    matplotlib.use("svg")
    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK[0])
    plain = {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "legend.frameon": False}
    matplotlib.rcParams.update(ink | plain)
    matplotlib.rcParams.update({"figure.figsize": (7, 2.6), "figure.constrained_layout.use": True, "font.size": 9})
    matplotlib.rcParams.update({"svg.hashsalt": "graphc", "savefig.transparent": True, "lines.linewidth": 1.3})


def save(figure: Any, path: Path, blank: bool) -> None:
    """Write a figure as ``path-light.svg`` and ``path-dark.svg``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = (72 * inches for inches in figure.get_size_inches())
    text = io.StringIO(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt"/>')
    if not blank:
        figure.savefig(text, format="svg", metadata={"Date": None})
    for theme, ink in zip(("light", "dark"), INK, strict=True):
        path.with_name(f"{path.name}-{theme}.svg").write_text(text.getvalue().replace(INK[0], ink))


def expand(text: str, session: Session, folder: str = "figures") -> str:
    """Return a page with every block run and replaced by what a reader sees."""
    import torch

    torch.set_default_dtype(torch.float32)  # whatever the page before has asked for
    torch.manual_seed(0)
    parts, end = [], 0
    for block in blocks(text):
        parts += [text[end : block.span[0]], _shown(block, text, session, folder)]
        end = block.span[1]
    return "".join([*parts, text[end:]])


def _shown(block: Block, text: str, session: Session, folder: str) -> str:
    if block.kind not in RUN:
        return _not_run(block, text)
    printed, figures = session.run(block)
    if block.kind == "generate":
        return printed
    code = [fenced("python", block.code)]
    if block.kind == "python" and "\n```{peer} " in text:
        code = [fenced("{code-block} python", f":class: peer\n:caption: graphc\n\n{block.code}")]
    if block.kind in ("setup", "draw"):
        title = block.title if block.kind == "setup" else "The code of this figure"
        code = [f'<details class="code"><summary>{title}</summary>', *code, "</details>"]
    output = [fenced("{code-block} text", f":class: output\n\n{printed}")] * bool(printed)
    output += [picture(f"{folder}/{name}", block.title) for name in figures]
    return "\n\n".join([*output, *code] if block.kind == "draw" else [*code, *output])


def _not_run(block: Block, text: str) -> str:
    if block.kind == "peer":
        library = block.title.partition(":")[0]
        return fenced("{code-block} python", f":class: peer\n:caption: {library}\n\n{block.code}")
    if block.kind == "skip":
        return fenced("{code-block} python", f":class: skipped\n:caption: Not run here: {block.title}\n\n{block.code}")
    return text[slice(*block.span)]


def fenced(info: str, code: str) -> str:
    """Return a fence around text that may hold fences."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"^`{3,}", code, re.MULTILINE))])
    return f"{ticks}{info}\n{code.rstrip()}\n{ticks}"


def picture(path: str, alt: str) -> str:
    """Return both versions of a figure, of which the theme shows one; a narrow screen scrolls it."""
    options = f":alt: {alt or 'what the code above draws'}"
    both = [fenced(f"{{image}} {path}-{theme}.svg", f":class: only-{theme}\n{options}") for theme in ("light", "dark")]
    return "\n\n".join([":::{container} scroll", *both, ":::"])
