"""The command `grid`: data on stdout, everything else on stderr, documented exit codes.

Only `main` is meant for users; commands of other packages join through the
entry point group `grid.commands`.

Theory of operation. A command that is typed at a prompt has to answer at once, so
nothing is imported before it is needed: a sub-command imports its own module alone
(the table is in `_catalog.py`), the command line is read without a library
(`_parser.py`), and gRPC is loaded by the commands that talk. Typer runs the commands of
other packages.
"""

from __future__ import annotations

import os
import signal
import sys

from grid.process import lost_interrupts_end, open_standard_streams, stoppable_as_first_process

# Before anything imports grpc: the classic poller answers a lone caller in 40 % less time,
# and grpc's own log says nothing that our errors do not say better.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__all__ = ["main"]

_COMPLETION = "_GRID_COMPLETE"  # set by the shell when it asks for completions

# The options of commands that go on until Ctrl-C.
_WATCH = frozenset({"--watch", "-w"})
_FOLLOW = frozenset({"--follow", "-f"})


def main() -> None:
    """Run the command of this process's arguments, and exit."""
    stoppable_as_first_process()  # also during the imports; a server handles it later itself
    interrupted = 0 if _watches(sys.argv[1:]) else 128 + signal.SIGINT
    lost_interrupts_end(interrupted)
    try:
        sys.exit(_run(sys.argv[1:], interrupted))
    except KeyboardInterrupt:
        sys.exit(interrupted)


def _run(arguments: list[str], interrupted: int) -> int:
    from grid.cli._exits import Code, exits

    open_standard_streams()
    with exits(interrupted=Code(interrupted)):
        if _COMPLETION in os.environ:
            from grid.cli._completion_scripts import answer

            return answer()
        from grid.cli._app import run

        return run(arguments)


def _watches(arguments: list[str]) -> bool:
    """True for a command that Ctrl-C usually ends, also before it has read its options."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    follows = "worker" in before and not _FOLLOW.isdisjoint(before)
    return follows or not _WATCH.isdisjoint(before)
