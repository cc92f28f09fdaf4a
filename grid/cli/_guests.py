"""Commands of other packages, found by their entry points and run by typer."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grid.cli._catalog import ENTRY_POINTS
from grid.cli._output import say

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["guests", "run_guest"]

# Options that all commands have and guests need not declare: they reach clients as variables.
_ETCD = tuple(f"--etcd-{one}" for one in ("ca", "cert", "key", "user", "password"))
_TLS = tuple(f"--tls-{one}" for one in ("ca", "cert", "key", "server-name"))
_ALSO = f"Also, as for all commands: {', '.join((*_ETCD, *_TLS))}."


def guests() -> list[str]:
    """Names of the commands of other packages."""
    return [point.name for point in _entry_points()]


def run_guest(name: str, words: Sequence[str]) -> int | None:
    """Run the command of another package; its exit code, None if there is no such command.

    Its output in the place of completions is asked for in the same way.

    Raises:
        BrokenPipeError: the reader of stdout has gone.
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
            app.add_typer(part, name=one, epilog=_ALSO)
        elif part is not None:
            app.command(one, help=_unwrapped(part), epilog=_ALSO)(part)
    app.callback()(_root)
    streams = sys.stdout, sys.stderr
    try:
        code = app([name, *_without_security(words)], prog_name="grid", standalone_mode=False)
    except typer.Abort:  # its word for an interruption
        raise KeyboardInterrupt from None
    except SystemExit:
        if sys.stdout is streams[0]:
            raise
        # It takes a reader that has gone for a failure, with streams of its own.
        sys.stdout, sys.stderr = streams
        raise BrokenPipeError from None
    return code if isinstance(code, int) else 0


def _unwrapped(command: Any) -> str:
    """The docstring of a command with each paragraph on one line, examples as they are."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(
        one if one.lstrip().startswith("$") else " ".join(one.split()) for one in paragraphs
    )


def _without_security(words: Sequence[str]) -> list[str]:
    """Take the options of TLS and of etcd's users out, and set their variables."""
    kept: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*kept, word, *left]
        flag, equals, value = word.partition("=")
        if flag not in (*_ETCD, *_TLS) or not (equals or left):
            kept.append(word)
            continue
        os.environ["GRID_" + flag[2:].upper().replace("-", "_")] = value if equals else left.pop(0)
    return kept


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
