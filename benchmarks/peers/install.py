"""Create the environments of the peers under `.peers`; what is there already is left alone.

``python -m benchmarks.peers.install [NAME ...]``: jax, snn, brian. An environment that cannot be made is reported and
left out: the suite then runs without its peers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Each environment: its requirements, then what is installed beside them without dependencies (they would pull
# torchvision and other versions of torch).
ENVIRONMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "jax": (("jax==0.10.2", "numpy", "braintrace==0.2.6"), ()),
    "brian": (("brian2==2.9.0", "numpy<2", "cython", "setuptools<81"), ()),
    "snn": (
        ("torch==2.13.0", "numpy", "h5py", "loguru", "SciencePlots", "tensorboard", "scipy", "matplotlib", "tqdm"),
        ("snntorch==1.0.0", "norse==1.1.0", "spikingjelly==2.0.0", "nir==1.0.8", "nirtorch"),
    ),
}


def install(name: str) -> bool:
    """Create one environment; return whether it is there."""
    folder = ROOT / ".peers" / name
    if (folder / ".ready").exists():
        return True
    print(f"{name}: installing into {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    requirements, alone = ENVIRONMENTS[name]
    # The CPU build of torch first, where an index has it: the plain one may bring gigabytes of CUDA packages.
    commands = [[*pip, f"{requirement}+cpu"] for requirement in requirements if requirement.startswith("torch==")]
    for command in commands:
        subprocess.run(command, check=False)
    commands = [[*pip, *requirements]] + ([[*pip, "--no-deps", *alone]] if alone else [])
    for command in commands:
        if subprocess.run(command, check=False).returncode != 0:
            print(f"{name}: not installed; its peers will be missing from the tables")
            return False
    (folder / ".ready").touch()
    return True


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list(ENVIRONMENTS):
        install(wanted)
