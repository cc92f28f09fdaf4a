"""The command `grid`: data on stdout, talk on stderr, exit codes as `grid --help` says.

Only `main` is meant for users; commands of other packages join through the
entry point group `grid.commands`.
"""

from __future__ import annotations

import os
import signal
import sys

# Before anything imports grpc: the classic poller answers a lone caller in 40 % less time,
# and grpc's own log says nothing that our errors do not say better.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments, and exit."""
    if os.getpid() == 1:
        # The kernel drops signals that the first process of a container does not handle, so
        # a stop during the imports would wait for the kill. A server handles it later itself.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        from grid.cli._app import build

        app = build()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    app(prog_name="grid")
