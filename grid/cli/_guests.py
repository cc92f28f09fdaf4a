"""Commands of other packages, found by their entry points and run by typer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grid.cli._catalog import ENTRY_POINTS
from grid.cli._output import say

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["guests", "run_guest"]


def guests() -> list[str]:
    """Names of the commands of other packages."""
    return [point.name for point in _entry_points()]


def run_guest(name: str, words: Sequence[str]) -> int | None:
    """Run the command of another package; its exit code, None if there is no such command.

    Its output in the place of completions is asked for in the same way.
    """
    points = list(_entry_points())
    if not points:
        return None
    # All of them are loaded, so that one which is broken says so where its command is missed.
    found = {point.name: _load(point) for point in points}
    if found.get(name) is None:
        return None
    import typer

    app = typer.Typer(name="grid", add_completion=False, pretty_exceptions_enable=False)
    for one, part in found.items():
        if isinstance(part, typer.Typer):
            app.add_typer(part, name=one)
        elif part is not None:
            app.command(one)(part)
    app.callback()(_root)
    code = app([name, *words], prog_name="grid", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _root() -> None:
    """Actors and mailboxes with unique names, across processes."""


def _load(point: EntryPoint) -> Any:
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001 - an import of another package may raise anything
        say(f"warning: the command {point.name!r} of {point.value} is broken: {error!r}")
        return None
    if callable(found):  # a typer app is callable, too
        return found
    say(f"warning: the command {point.name!r} of {point.value} is not a command: {found!r}")
    return None


def _entry_points() -> Iterator[EntryPoint]:
    if not any(map(_names_commands, sys.path)):
        return  # importing the metadata module takes longer than all of this one
    from importlib import metadata

    yield from metadata.entry_points(group=ENTRY_POINTS)


def _names_commands(folder: str) -> bool:
    """True if a distribution in a folder of the search path may have commands."""
    try:
        found = list(Path(folder or ".").glob("*.*-info/entry_points.txt"))
        return any(ENTRY_POINTS in one.read_text(errors="replace") for one in found)
    except OSError:
        return False
