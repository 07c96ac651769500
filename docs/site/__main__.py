"""Build the site: ``python -m docs.site [--few] [--to build/docs]``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from . import links
from .stage import ROOT, cpu, stage


def main() -> int:
    """Stage the pages, call Sphinx on them, follow every link; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", type=Path, default=ROOT / "build" / "docs")
    arguments.add_argument("--few", action="store_true", help="what CI builds: a model per family, blank figures")
    arguments.add_argument("--page", action="append", help="run the code of these pages alone, to look at them")
    options = arguments.parse_args()
    to = options.to.resolve()
    source = to.with_name(to.name + "-source")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # files that blocks write
        seconds = stage(source, options.few, options.page)
        os.chdir(here)
    started = cpu()
    from sphinx.cmd.build import build_main

    doctrees = to.with_name(to.name + "-doctrees")
    flags = ["-q", "-W", "--keep-going", "-n", "-c", str(Path(__file__).parent), "-d", str(doctrees)]
    status = build_main([*flags, str(source), str(to)])
    seconds["sphinx"] = cpu() - started
    wrong = links.broken(to)
    print("\n".join(wrong), file=sys.stderr)
    slowest = sorted(seconds.items(), key=lambda pair: -pair[1])[:16]
    print(f"{to}: {sum(seconds.values()):.1f} s; " + ", ".join(f"{name} {s:.1f}" for name, s in slowest))
    return status or bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
