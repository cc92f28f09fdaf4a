"""The command as a whole: its own sub-commands, and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from grid import __version__
from grid.cli._catalog import COMMANDS
from grid.cli._command_line import command_of, refuse, split
from grid.cli._exits import Code
from grid.cli._guests import guests, run_guest
from grid.cli._help import root_help
from grid.cli._output import write

__all__ = ["run"]


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
        refuse(f"no such option: {name}")
    code = run_guest(name, words)
    if code is None:
        close = difflib.get_close_matches(name, [*COMMANDS, *guests()], n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        refuse(f"no such command {name!r}{meant}")
    return code
