"""Install into .venv what constraints.txt pins: `make setup` runs this.

``python3 install.py TORCH_INDEX``: graphc for development, with a CPU build of torch.
``python3 install.py --into FOLDER REQUIREMENT``: one package alone, beside those of .venv.

uv installs, with the settings that pip has on this machine, in a tenth of pip's time; where uv cannot, pip does.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PYTHON = ROOT / ".venv" / "bin" / "python"
PINNED = ROOT / "constraints.txt"

# What pip calls its settings, and how uv reads them: the variable and what stands between several values.
SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


def settings_of_pip(listed: str) -> dict[str, str]:
    """Return as variables of uv what ``pip config list`` prints; of two places that set one thing the later counts.

    pip prints files first; what is set for `install` alone and what is set in the environment come after them.
    """
    found: dict[str, str] = {}
    order = ("global", "install", ":env:")
    lines = [line.partition("=") for line in listed.splitlines() if line.count(".") and "=" in line]
    for section in order:
        for key, _, value in lines:
            place, _, name = key.rpartition(".")
            if place == section and name in SETTINGS:
                variable, between = SETTINGS[name]
                found[variable] = between.join(str(ast.literal_eval(value)).split())
    return found


def find_pip() -> list[str]:
    """Return the command of a pip that installs into .venv: this Python's own, or else one that is put there."""
    own = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if subprocess.run([*own, "--version"], capture_output=True).returncode == 0:
        return own
    subprocess.run([str(PYTHON), "-m", "ensurepip"], check=True)
    return [str(PYTHON), "-m", "pip"]


def installers() -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """Yield commands that install into .venv, with their environments: uv, where pip finds it, and pip."""
    pip = find_pip()
    # What pip does not compile, Python does as it is imported: a twentieth of it, and never again.
    with_pip = [*pip, "install", "-q", "--no-compile"]
    uv = PYTHON.with_name("uv")
    if uv.exists() or subprocess.run([*with_pip, "-c", str(PINNED), "uv"]).returncode == 0:
        listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
        as_pip = {"UV_INDEX_STRATEGY": "unsafe-best-match", **settings_of_pip(listed)}  # ask every index for the best
        yield [str(uv), "pip", "install", "-q", "--python", str(PYTHON)], {**as_pip, **os.environ}
    yield with_pip, os.environ


def install(*alternatives: list[str]) -> bool:
    """Install the first of `alternatives` that can be, with uv if that can; return whether any could."""
    for command, environment in installers():
        for requirements in alternatives:
            if subprocess.run([*command, *requirements], env=environment).returncode == 0:
                return True
    return False


def main(words: list[str]) -> bool:
    """Do what the command line asks for; return whether it is done."""
    if not PYTHON.exists():
        venv.create(ROOT / ".venv", with_pip=False)
    if words[0] == "--into":
        return install(["--no-deps", "--upgrade", "--target", words[1], words[2]])
    torch = next(line for line in PINNED.read_text().splitlines() if line.startswith("torch=="))
    graphc = ["-c", str(PINNED), "-e", f"{ROOT}[dev]", "pip"]
    # The CPU build first: plain `torch` from the registry may bring gigabytes of CUDA packages. In this order: one that
    # pip already knows, one from TORCH_INDEX, and where there is none for this machine, whatever the registry has.
    cpu = f"{torch}+cpu"
    return install([cpu, *graphc], ["--extra-index-url", words[0], cpu, *graphc], [torch, *graphc])


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
