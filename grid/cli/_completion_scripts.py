"""Completion in shells: their scripts, and answers to what they ask.

The scripts are typer's, and so is the protocol between a script and the command:
`_GRID_COMPLETE` names the shell, and further variables have what was typed.
"""

from __future__ import annotations

import os
import shlex
import sys

from grid.cli._catalog import COMMANDS
from grid.cli._command_line import command_of, split
from grid.cli._exits import Code
from grid.cli._output import write

__all__ = ["answer", "give_script"]

_VARIABLE = "_GRID_COMPLETE"


def give_script(flag: str) -> int:
    """Install or print the script for the shell that runs the command.

    Args:
        flag: `--install-completion` or `--show-completion`.
    """
    import typer

    app = typer.Typer(name="grid", pretty_exceptions_enable=False)
    app.command("grid")(_nothing)
    app([flag], prog_name="grid", standalone_mode=False)
    return Code.OK


def _nothing() -> None:
    """Actors and mailboxes with unique names, across processes."""


def answer() -> int:
    """Print the words to offer; silent about whatever goes wrong."""
    shell = os.environ[_VARIABLE].partition("_")[2]
    if shell == "bash":
        words = _words(os.environ.get("COMP_WORDS", ""))
        place = int(os.environ.get("COMP_CWORD", "0"))
        before, typed = words[1:place], words[place] if place < len(words) else ""
    else:
        line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
        words = _words(line)[1:]
        typed = words.pop() if words and not line.endswith(" ") else ""
        before = words
    return _print(shell, _offer(before, typed))


def _offer(before: list[str], typed: str) -> list[str]:
    from grid.errors import GridError

    try:
        moved, rest = split(before)
        if rest and rest[0] in COMMANDS:
            return list(command_of(rest[0]).complete([*moved, *rest[1:]], typed))
    except GridError:
        return []
    if rest:
        return []
    from grid.cli._guests import guests

    names = [*COMMANDS, *guests(), "--help", "--version", "--install-completion"]
    return [one for one in names if one.startswith(typed) and (typed or one[0] != "-")]


def _print(shell: str, offered: list[str]) -> int:
    if shell == "zsh":
        quoted = "\n".join(f'"{_escaped(one)}"' for one in offered)
        write(f"_arguments '*: :(({quoted}))'" if offered else "_files")
    elif shell == "fish" and os.environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return Code.OK if offered else Code.FAILED
    elif shell in ("powershell", "pwsh"):
        write("".join(f"{one}::: \n" for one in offered))
    elif offered:
        write("\n".join(offered) + "\n")
    sys.stdout.flush()
    return Code.OK


def _words(line: str) -> list[str]:
    """The words of a line that may end within quotes."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


def _escaped(text: str) -> str:
    pairs = (('"', '""'), ("'", "''"), ("$", "\\$"), ("`", "\\`"), (":", r"\\:"))
    for old, new in pairs:
        text = text.replace(old, new)
    return text
