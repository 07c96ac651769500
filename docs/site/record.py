"""Record what other libraries compute on the pages that lead from them to graphc: ``python -m docs.site.record``.

It runs the blocks ``{both}`` and ``{peer}`` of each page in the environment that ``make peers`` makes for the library,
and writes the values named there to ``docs/recorded/<page>.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ENVIRONMENTS = {"from-snntorch": "snn", "from-norse": "snn", "from-spikingjelly": "snn", "from-brian2": "brian"}
FIRST = """
import json as _json
import numpy as _np
_kept = {}
def _keep(**values):
    for name, value in values.items():
        array = _np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=float)
        _kept[name] = [float(f"{v:.10g}") for v in array.ravel()]
"""


def python_of(page: str) -> Path:
    """Return the interpreter that has the library of a page."""
    return ROOT / ".peers" / ENVIRONMENTS[page] / "bin" / "python"


def record(page: str) -> dict[str, object]:
    """Return the values of a page, from the library that it starts from."""
    code = [FIRST]
    for block in blocks((DOCS / f"{page}.md").read_text(encoding="utf-8")):
        if block.kind in ("both", "peer"):
            code.append(block.code)
        if block.kind == "peer":
            names = block.title.partition(":")[2].replace(",", " ").split()
            code.append(f"_keep({', '.join(f'{name}={name}' for name in names)})")
    script = "\n".join([*code, "print(_json.dumps(_kept))"])
    done = subprocess.run([python_of(page), "-c", script], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{page}: {done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Write the files of all pages, or of those that are named."""
    (DOCS / "recorded").mkdir(exist_ok=True)
    for page in sys.argv[1:] or ENVIRONMENTS:
        text = json.dumps(record(page), separators=(",", ":"))
        (DOCS / "recorded" / f"{page}.json").write_text(text.replace('],"', '],\n"') + "\n")
        print(page, len(text), "bytes")


if __name__ == "__main__":
    main()
