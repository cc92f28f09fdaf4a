"""`grid machine NAME repl`: one remote machine, line by line, from the keyboard or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from grid.errors import GridError
from machine.draw import FORMATS, draw
from machine.errors import InvalidArgument, MachineError
from machine.waits.result import Result
from rpc.cli.arguments import arguments
from rpc.sync import Client, RemoteMachine

__all__ = ["HELP", "Interpreter", "completions", "repl"]

HELP = """\
add A B k=v       activate states, with arguments (JSON or a text)
remove A          deactivate states
set A B           activate these, deactivate all others
toggle A          remove them if all are active, else add them
when A B          wait until all are active; Ctrl-C ends the wait, in a pipe --timeout does
not A B           wait until none is active
show              the active states and their ticks
inspect [A]       relations and ticks
draw [mermaid]    a picture as text: mermaid or dot
get NAME k=v      call a function of the source
sync              wait until all that has changed is here
log TEXT          write into the log of the source
help, quit"""

_MUTATIONS = ("add", "remove", "set", "toggle")
_WITH_STATES = frozenset({*_MUTATIONS, "when", "not", "inspect"})
_WORDS = (*_MUTATIONS, "when", "not", "show", "inspect", "draw", "get", "sync", "log", "help")
_HISTORY = 1000  # lines


class _Quit(Exception):
    """No more lines."""


def completions(before: Sequence[str], typed: str, names: Iterable[str]) -> list[str]:
    """Words to offer for the one that is being typed.

    Args:
        before: the words of the line before it.
        typed: its beginning.
        names: the states of the machine.
    """
    if not before:
        offered: Iterable[str] = (*_WORDS, "quit")
    elif before[0] in _WITH_STATES:
        offered = (name for name in names if name not in before[1:])
    elif before[0] == "draw":
        offered = ("mermaid", "dot")
    else:
        offered = ()
    return [one for one in offered if one.startswith(typed)]


class Interpreter:
    """Carries lines out.

    Args:
        machine: the remote machine.
        timeout: seconds for a wait; None: as long as it takes.
    """

    def __init__(self, machine: RemoteMachine[Any], timeout: float | None = None) -> None:
        self._machine = machine
        self._timeout = timeout

    def line(self, text: str) -> str:
        """Carry one line out; what to print.

        Raises:
            MachineError, GridError: it cannot be done; the machine stays as it is, or as the
                error says.
        """
        word, *rest = text.split() or [""]
        if not word or word.startswith("#"):
            return ""
        if word in ("quit", "exit"):
            raise _Quit
        if word == "log":
            self._machine.log(text.partition("log")[2].strip())
            return ""
        done = self._words().get(word)
        if done is None:
            raise InvalidArgument(f"there is no {word!r}", hint="`help` lists all words.")
        return done(word, rest)

    def _words(self) -> dict[str, Callable[[str, list[str]], str]]:
        machine = self._machine
        return {
            **dict.fromkeys(_MUTATIONS, self._mutate),
            "when": self._wait,
            "not": self._wait,
            "show": lambda *_: str(machine),
            "inspect": lambda _, names: machine.inspect(*names).rstrip("\n"),
            "draw": self._draw,
            "get": self._get,
            "sync": lambda *_: str(machine.sync() and machine),
            "help": lambda *_: HELP,
        }

    def _mutate(self, word: str, rest: list[str]) -> str:
        states = [one for one in rest if "=" not in one]
        if not states:
            raise InvalidArgument(f"{word} needs the name of a state")
        args = arguments(tuple(one for one in rest if "=" in one))
        result: Result = getattr(self._machine, word)(*states, args=args)
        return f"{result}  {self._machine}"

    def _wait(self, word: str, states: list[str]) -> str:
        if not states:
            raise InvalidArgument(f"{word} needs the name of a state")
        wait = self._machine.when(*states) if word == "when" else self._machine.when_not(*states)
        try:
            wait.wait(self._timeout)
        except KeyboardInterrupt:
            wait.cancel()
            return "the wait was ended"
        return str(self._machine)

    def _draw(self, _: str, rest: list[str]) -> str:
        machine = self._machine
        picture = draw(machine.schema, *rest[:1], active=machine.active)
        if isinstance(picture, bytes):
            raise InvalidArgument(f"a {rest[0]} is no text", hint=f"Draw {', '.join(FORMATS)}.")
        return picture

    def _get(self, _: str, rest: list[str]) -> str:
        if not rest:
            raise InvalidArgument("get needs the name of a function")
        return repr(self._machine.get(rest[0], **(arguments(tuple(rest[1:])) or {})))


def repl(client: Client[Any], timeout: float) -> int:
    """Carry lines out until there are no more; the exit code: 1 if a line of a pipe failed.

    Args:
        client: of the machine.
        timeout: seconds for each wait of a pipe; at the keyboard Ctrl-C ends it.
    """
    interactive = sys.stdin.isatty()
    machine = client.machine
    interpreter = Interpreter(machine, None if interactive else timeout)
    failed = False
    for line in _typed(machine) if interactive else sys.stdin:
        try:
            text = interpreter.line(line.strip())
        except _Quit:
            break
        except (MachineError, GridError) as error:
            failed = True
            typer.echo(f"error: {error}", err=True)
        else:
            if text:
                typer.echo(text)
    return 1 if failed and not interactive else 0


def _typed(machine: RemoteMachine[Any]) -> Iterator[str]:
    """Lines from the keyboard, with a history and the Tab key where there is a readline."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            stack.enter_context(_editing(machine))
        typer.echo(f"{machine.id}: {len(machine.names)} states; help, quit")
        while True:
            mark = "" if machine.connected else " (not connected)"
            try:
                yield input(f"{machine}{mark}> ")
            except EOFError:
                typer.echo()
                return
            except KeyboardInterrupt:
                typer.echo()


@contextlib.contextmanager
def _editing(machine: RemoteMachine[Any]) -> Iterator[None]:
    import readline

    def complete(text: str, at: int) -> str | None:
        before = readline.get_line_buffer()[: readline.get_begidx()].split()
        found = completions(before, text, machine.names)
        return f"{found[at]} " if at < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_HISTORY)
    path = _history_file()
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)


def _history_file() -> Path:
    given = os.environ.get("GRID_MACHINE_HISTORY")
    if given:
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "actor-grid" / "machine_history"
