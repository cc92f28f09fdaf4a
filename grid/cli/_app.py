"""The command as a whole: its own sub-commands, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from grid.cli import _actors, _dev, _doctor, _listing, _requests, _serve
from grid.cli._output import say

__all__ = ["build"]

_GROUP = "grid.commands"


def build() -> typer.Typer:
    """The command with all its sub-commands."""
    app = typer.Typer(
        name="grid",
        help=(
            "Actors and mailboxes with unique names, across processes.\n\n"
            "Data goes to stdout, talk to stderr. Exit codes: 0 ok, 1 failed, 2 usage, "
            "3 not found, 4 timed out."
        ),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for part in (_dev, _serve, _listing, _doctor, _requests, _actors):
        part.add_to(app)
    for entry in entry_points(group=_GROUP):
        _plug(app, entry)
    return app


def _plug(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        found: Any = entry.load()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's import raises
        say(f"warning: the command {entry.name!r} of {entry.value} is broken: {error!r}")
        return
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=entry.name)
    elif callable(found):
        app.command(entry.name)(found)
    else:
        say(f"warning: the command {entry.name!r} of {entry.value} is not a command: {found!r}")
