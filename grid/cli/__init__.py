"""The command `grid`: data on stdout, everything else on stderr, documented exit codes.

Only `main` is meant for users; commands of other packages join through the
entry point group `grid.commands`.

Theory of operation. A command that is typed at a prompt has to answer at once, so
nothing is imported before it is needed: `--help` and `--version` are answered
without the command library, a sub-command imports its own module alone (the table
is in `_catalog.py`), and gRPC is loaded by the commands that talk.
"""

from __future__ import annotations

import os
import signal
import sys

from grid.process import open_standard_streams, stoppable_as_first_process

# Before anything imports grpc: the classic poller answers a lone caller in 40 % less time,
# and grpc's own log says nothing that our errors do not say better.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__all__ = ["main"]

_COMPLETION = "_GRID_COMPLETE"  # set by the shell when it asks for completions


def main() -> None:
    """Run the command of this process's arguments, and exit."""
    stoppable_as_first_process()  # also during the imports; a server handles it later itself
    try:
        sys.exit(_run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _run(arguments: list[str]) -> int:
    from grid.cli._exits import exits

    open_standard_streams()
    with exits():
        if _COMPLETION not in os.environ:
            if arguments == ["--version"]:
                return _version()
            if arguments in ([], ["-h"], ["--help"]):
                return _help(missing=not arguments)
        from grid.cli._app import build

        code = build()(arguments, prog_name="grid", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _version() -> int:
    from grid import __version__
    from grid.cli._output import write

    write(f"grid {__version__}\n")
    return 0


def _help(*, missing: bool) -> int:
    from grid.cli._guests import guests
    from grid.cli._help import root_help
    from grid.cli._output import write

    write(root_help(guests()))
    return 2 if missing else 0
