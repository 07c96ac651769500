"""What stands beside every model of the zoo: the text under a neuron, the docstring of a rule, and the literature."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Text:
    """What is said of one model.

    Attributes:
        about: in one line.
        body: in whole.
        source: the literature, in one line.
    """

    about: str
    body: str
    source: str

    @property
    def cited(self) -> str:
        """Authors and year of the literature; of more than two authors the first."""
        found = re.match(r"([^;]*?) (\(\d{4}\))", self.source)
        if found is None:
            return self.source
        first, comma, _ = found[1].partition(",")
        return f"{first}{' et al.' * bool(comma)} {found[2]}"


@lru_cache(maxsize=1)
def texts() -> dict[str, Text]:
    """Return the text of every neuron and rule by name, read from the files of the zoo, which are not imported."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.FunctionDef) and node.name[0].isupper():
                found[node.name] = _text(ast.get_docstring(node) or "")
            elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("gc.Neuron("):
                (name,) = (t.id for t in node.targets if isinstance(t, ast.Name))
                if written := _constant(after):
                    found[name] = _text(written)
    return found


def _constant(node: ast.stmt | None) -> str:
    written = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return inspect.cleandoc(node.value.value) if written else ""  # type: ignore[union-attr]


def _text(doc: str) -> Text:
    """Return a docstring in parts: what comes before "Args" or "Source", and the literature."""
    body, _, source = doc.partition("Source:")
    body = body.partition("Args:")[0].strip()
    body = body.removeprefix("Return ")
    body = body[:1].upper() + body[1:] if not re.match(r"[a-z]-", body) else body  # e-prop keeps its letter
    about = re.split(r"\n\n|: ``|, ``", body)[0].replace("\n", " ").replace("`", "").rstrip(".")
    return Text(about, body, " ".join(source.split()))
