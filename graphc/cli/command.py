"""What every command has: --json, --debug, errors without tracebacks, and one place that prints."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

FAILED, WRONG, INTERRUPTED = 1, 2, 130
"""Exit statuses: a check failed; wrong usage or a model that cannot be compiled; ended by Ctrl-C."""


class Group(click.Group):
    """The group of all commands, in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class Command(click.Command):
    """A command with --json and --debug, whose errors are one message and an exit status."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name, about in (("--json", "Print one JSON document."), ("--debug", "Show the traceback of an error.")):
            self.params.append(
                click.Option([name], is_flag=True, expose_value=False, callback=_remember, is_eager=True, help=about)
            )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; with --json wrong usage is a document, too."""
        json_wanted = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if json_wanted:
                _print_error(error.format_message(), None)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what a user did wrong into a message and a status."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.ClickException as error:
            if wants("json"):
                _print_error(error.format_message(), None)
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            refuse("interrupted", status=INTERRUPTED)
        except BrokenPipeError:  # `graphc zoo | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            if not is_expected(error):
                raise
            if wants("debug"):
                traceback.print_exc()
            refuse(_message(error), getattr(error, "hint", None))


def _remember(context: click.Context, option: click.Parameter, given: bool) -> None:
    context.meta[f"graphc.{option.name}"] = given


def is_expected(error: Exception) -> bool:
    """Return whether an error is of the user's model, files or machine, and no defect of graphc."""
    from graphc.ir.errors import GraphcError, VerifyError

    return isinstance(error, OSError) or (isinstance(error, GraphcError) and not isinstance(error, VerifyError))


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if len(getattr(error, "errors", ())) > 1:
        return str(error)
    message, loc = getattr(error, "message", str(error)), getattr(error, "loc", None)
    if loc is None or os.path.basename(os.path.dirname(loc.file)) == "click":  # no line of the user's
        return str(message)
    return f"{loc}: {message}" + (f"\n    {loc.text}" if loc.text else "")


def wants(option: str) -> bool:
    """Return whether "json" or "debug" is asked for."""
    return bool(click.get_current_context().meta.get(f"graphc.{option}"))


def refuse(message: str, hint: str | None = None, status: int = WRONG) -> NoReturn:
    """End the command with a message on stderr, and with --json a document on stdout."""
    if wants("json"):
        _print_error(message, hint)
    click.echo(f"graphc: {message}" + (f"\n  hint: {hint}" if hint else ""), err=True)
    raise click.exceptions.Exit(status)


def _print_error(message: str, hint: str | None) -> None:
    click.echo(json.dumps({"error": message, "hint": hint}))


def show(document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
    """Print a result: as JSON where asked for, else by `render`.

    Args:
        document: what --json prints; numbers, texts, lists and mappings.
        render: prints for people.
    """
    if wants("json"):
        click.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        render(console())


def console(stderr: bool = False) -> Console:
    """Return where people read: as wide as the terminal, 100 characters in a file."""
    from rich.console import Console

    class Terminal(Console):
        """A console that leaves a closed pipe to the command."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    return Terminal(file=stream, width=None if stream.isatty() else 100, highlight=False, soft_wrap=not stream.isatty())


def version(context: click.Context, option: click.Parameter, given: bool) -> None:
    """Print the version and end."""
    if given and not context.resilient_parsing:
        from graphc import __version__

        click.echo(f"graphc {__version__}")
        context.exit()
