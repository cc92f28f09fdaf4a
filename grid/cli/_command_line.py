"""The parts of a command line: options of the connection, and the sub-command of a name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from grid.cli._catalog import COMMANDS
from grid.cli._exits import BadInput

__all__ = ["command_of", "refuse", "split"]

# Options of a connection, which may also stand before the sub-command.
_CONNECTION = ("--etcd", "--namespace", "-n", "--timeout", "--etcd-ca", "--etcd-cert", "--etcd-key")
_TLS = ("--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name")
_BEFORE = frozenset({*_CONNECTION, "--etcd-user", "--etcd-password", *_TLS})


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
            refuse(f"{flag} needs a value")
        taken += 1 if equals else 2
    return list(words[:taken]), list(words[taken:])


def refuse(problem: str) -> NoReturn:
    """Raise `BadInput`, with the way to the help."""
    raise BadInput(f"{problem}; see: grid --help")
