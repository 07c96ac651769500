"""The command ``graphc`` and its commands."""

from __future__ import annotations

from typing import Any

import click

from .bench import bench
from .command import Group, version
from .data import data
from .doctor import doctor
from .inspect import inspect
from .tune import tune
from .verify import verify
from .zoo import zoo

COMMANDS: tuple[click.Command, ...] = (tune, inspect, verify, bench, doctor, zoo, data)

HELP = """Compile neuron models, look at what they become, and tune them.

NETWORK is FILE.py:NAME, package.module:NAME or zoo:NAME, where NAME is a gc.Network or a function that returns one.
Exit status: 0 done, 1 a check failed, 2 wrong usage or a model that cannot be compiled.

\b
Completion of commands, files and networks in bash (zsh and fish likewise):
  eval "$(_GRAPHC_COMPLETE=bash_source graphc)"
"""


@click.group(cls=Group, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=version, help="Show the version.")
def graphc() -> None:
    """Run the command that was named."""


for _command in COMMANDS:
    graphc.add_command(_command)


def main(**options: Any) -> None:
    """Run the command of this process."""
    graphc(prog_name="graphc", **options)
