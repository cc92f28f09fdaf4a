"""Exit codes, and how errors become them."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from collections.abc import Iterator

import typer

from grid.cli._output import plain, say, say_error
from grid.errors import (
    DeadlineExceeded,
    EmbeddedEtcdFailed,
    EtcdAuthFailed,
    EtcdUnavailable,
    GridError,
    InvalidAddress,
    InvalidArgument,
    InvalidName,
    LeaseTooShort,
    MessageTooLarge,
    UnknownActor,
    UnknownActorType,
    UnknownMailbox,
    UnsupportedMessage,
)

__all__ = ["BadInput", "Code", "NotFound", "code_of", "exits"]


class Code(enum.IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


class BadInput(GridError):
    """An argument of the command cannot be used; the text says what would be right."""


class NotFound(GridError):
    """What was asked for is not there."""


# The first row that fits counts; what is in no row has failed.
_CODES: tuple[tuple[type[GridError], Code], ...] = (
    (BadInput, Code.USAGE),
    (InvalidName, Code.USAGE),
    (InvalidAddress, Code.USAGE),
    (InvalidArgument, Code.USAGE),
    (LeaseTooShort, Code.USAGE),
    (MessageTooLarge, Code.USAGE),
    (UnsupportedMessage, Code.USAGE),
    (NotFound, Code.NOT_FOUND),
    (UnknownActor, Code.NOT_FOUND),
    (UnknownActorType, Code.NOT_FOUND),
    (UnknownMailbox, Code.NOT_FOUND),
    (DeadlineExceeded, Code.TIMED_OUT),
)

_HINTS: tuple[tuple[type[GridError], str], ...] = (
    (
        EtcdUnavailable,
        "name etcd with --etcd or GRID_ETCD, or start one with peers: grid dev module:server",
    ),
    (EtcdAuthFailed, "give --etcd-user and --etcd-password, or GRID_ETCD_USER and _PASSWORD"),
    (UnknownActor, "see what runs: grid actors"),
    (UnknownMailbox, "see which names there are: grid mailboxes"),
    (EmbeddedEtcdFailed, 'install etcd, or pip install "actor-grid[embedded]"'),
)


def code_of(error: GridError) -> Code:
    """The exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.FAILED)


@contextlib.contextmanager
def exits(*, interrupted: Code = Code.INTERRUPTED) -> Iterator[None]:
    """Turn what ends a command into a line on stderr and an exit code.

    A bug keeps its traceback. A reader who closed the pipe has had enough,
    which is no failure.
    """
    try:
        yield
        sys.stdout.flush()
    except GridError as error:
        say_error(plain(str(error)))
        hint = next((text for kind, text in _HINTS if isinstance(error, kind)), None)
        if hint is not None and hint not in str(error):
            say(f"hint: {hint}", style="dim")
        raise typer.Exit(code_of(error)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Code.OK) from None
    except KeyboardInterrupt:
        raise typer.Exit(interrupted) from None
