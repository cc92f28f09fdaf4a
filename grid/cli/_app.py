"""The command as a whole: its own sub-commands, and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from grid import __version__
from grid.cli._catalog import COMMANDS
from grid.cli._exits import BadInput, Code
from grid.cli._guests import guests, run_guest
from grid.cli._help import root_help
from grid.cli._output import write

__all__ = ["command_of", "run", "split"]

# Options of a connection, which may also stand before the sub-command.
_CONNECTION = ("--etcd", "--namespace", "-n", "--timeout", "--etcd-ca", "--etcd-cert", "--etcd-key")
_BEFORE = frozenset({*_CONNECTION, "--etcd-user", "--etcd-password"})


def run(arguments: Sequence[str]) -> int:
    """Run the command line; its exit code."""
    moved, rest = split(arguments)
    if not rest:
        write(root_help(guests()))
        return Code.USAGE
    name, *words = rest
    # The options of the connection are the sub-command's. One that is given there, too,
    # comes later and wins.
    words = [*moved, *words]
    if name in COMMANDS:
        return int(command_of(name).run(words))
    match name:
        case "-h" | "--help":
            write(root_help(guests()))
            return Code.OK
        case "--version":
            write(f"grid {__version__}\n")
            return Code.OK
        case "--install-completion" | "--show-completion":
            from grid.cli._completion_scripts import give_script

            return give_script(name)
    if name.startswith("-"):
        _refuse(f"no such option: {name}")
    code = run_guest(name, words)
    if code is None:
        close = difflib.get_close_matches(name, [*COMMANDS, *guests()], n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        _refuse(f"no such command {name!r}{meant}")
    return code


def command_of(name: str) -> Any:
    """The sub-command of a name in `COMMANDS`."""
    from grid.cli._options import Command

    entry = COMMANDS[name]
    module = import_module(f"grid.cli.{entry.module}")
    return Command(getattr(module, name), name)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off the options of a connection that stand before the sub-command.

    Raises:
        BadInput: one of them has no value.
    """
    taken = 0
    while taken < len(words):
        flag, equals, _ = words[taken].partition("=")
        if flag not in _BEFORE:
            break
        if not equals and taken + 1 == len(words):
            _refuse(f"{flag} needs a value")
        taken += 1 if equals else 2
    return list(words[:taken]), list(words[taken:])


def _refuse(problem: str) -> NoReturn:
    raise BadInput(f"{problem}; see: grid --help")
