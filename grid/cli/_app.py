"""The command as a whole: its own sub-commands, and those of other packages."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from grid import __version__
from grid.cli._catalog import COMMANDS
from grid.cli._exits import BadInput
from grid.cli._guests import entry_points, guests
from grid.cli._help import root_help
from grid.cli._options import build_command
from grid.cli._output import say, write

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["build"]

# Options of a connection, which may also stand before the sub-command.
_FLAGS = ("--etcd", "--namespace", "-n", "--timeout", "--etcd-ca", "--etcd-cert", "--etcd-key")
_BEFORE = frozenset({*_FLAGS, "--etcd-user", "--etcd-password"})


class _Grid(TyperGroup):
    """The group of all sub-commands; one is imported when it is used."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        moved, rest = _split(args)
        if rest[:1] == ["--version"] and not ctx.resilient_parsing:
            write(f"grid {__version__}\n")
            ctx.exit()
        # They are the sub-command's options; one that is given there, too, comes later and wins.
        return super().parse_args(ctx, [*rest[:1], *moved, *rest[1:]])

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *guests()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is not None:
            module = import_module(f"grid.cli.{entry.module}")
            return build_command(getattr(module, entry.name), entry.name)
        # All of them, so that one which is broken says so where its command is missed.
        plugged = {point.name: _plugged(point) for point in entry_points()}
        return plugged.get(cmd_name)

    def get_help(self, ctx: Any) -> str:
        return root_help(guests()).rstrip()


def build() -> Any:
    """The command with all its sub-commands."""
    app = typer.Typer(
        name="grid",
        cls=_Grid,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def _root() -> None:
    """Actors and mailboxes with unique names, across processes."""


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    """Split off the options of a connection that stand before the sub-command."""
    taken = 0
    while taken < len(args):
        flag, equals, _ = args[taken].partition("=")
        if flag not in _BEFORE:
            break
        if not equals and taken + 1 == len(args):
            raise BadInput(f"{flag} needs a value; see: grid --help")
        taken += 1 if equals else 2
    return args[:taken], args[taken:]


def _plugged(point: EntryPoint) -> Any:
    try:
        found: Any = point.load()
    except Exception as error:  # noqa: BLE001 - an import of another package may raise anything
        say(f"warning: the command {point.name!r} of {point.value} is broken: {error!r}")
        return None
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    elif callable(found):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(point.name)(found)
        command = typer.main.get_command(app)
    else:
        say(f"warning: the command {point.name!r} of {point.value} is not a command: {found!r}")
        return None
    command.name = point.name
    return command
