"""Exit codes, and how errors become them."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from collections.abc import Iterable, Iterator

from grid.cli._output import CannotPrint, plain, say, say_error
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

__all__ = ["BadInput", "Code", "NotFound", "code_of", "exits", "say_hints"]


class Code(enum.IntEnum):
    """Exit codes of the command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


class BadInput(GridError):
    """An argument of the command cannot be used; the text says what would be right."""


class NotFound(GridError):
    """No entity of the given name is in the namespace."""


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

_LIBRARY_NOISE = "Value error, "  # of the validation of another package's values

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
    """Turn an error that ends a command into a line on stderr and an exit code.

    A bug keeps its traceback. A reader that closed the pipe has read enough,
    which is no failure.

    Raises:
        SystemExit: in the place of the error.
    """
    try:
        yield
        sys.stdout.flush()
    except GridError as error:
        _tell(error)
        sys.exit(code_of(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Code.OK)
    except KeyboardInterrupt:
        sys.exit(interrupted)
    except Exception as error:
        text = _usage_text(error)
        if text is None:
            raise
        say_error(text)
        sys.exit(Code.USAGE)


def _tell(error: GridError) -> None:
    say_error(plain(str(error)))
    if isinstance(error, CannotPrint):
        say("what was to be printed:", style="dim")
        sys.stderr.write(error.text)
    say_hints([error])


def say_hints(errors: Iterable[GridError]) -> None:
    """Say on stderr what to do about errors, each hint once."""
    hints = {_hint(error): None for error in errors}
    for hint in filter(None, hints):
        say(f"hint: {hint}", style="dim")


def _hint(error: GridError) -> str:
    hint = next((text for kind, text in _HINTS if isinstance(error, kind)), "")
    return "" if hint in str(error) else hint


def _usage_text(error: Exception) -> str | None:
    """The text of a wrong command line of another package; None for any other error.

    Recognised by its method: typer's classes are click's in some versions.
    """
    describe = getattr(error, "format_message", None)
    if describe is None:
        return None
    text = str(describe()).rstrip(".").replace(_LIBRARY_NOISE, "")
    return f"{text[:1].lower()}{text[1:]}{_see_help(error)}"


def _see_help(error: Exception) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "grid")
    return f"; see: {path} --help"
