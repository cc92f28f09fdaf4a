"""Standard streams that were closed when the command began.

Sockets would take the numbers of closed streams, and libraries that write to
stderr would then write into them. A closed stdin is an empty file. A closed stdout
fails on the first write, so that no data is lost unnoticed; commands whose output
is not data call `discard_output`.
"""

from __future__ import annotations

import os
import sys

__all__ = ["discard_output", "open_closed_streams"]


def open_closed_streams() -> None:
    """Open the null device under the number of each standard stream that is closed."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, flags), True)
    # Python sets the objects of closed streams to None.
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def discard_output() -> None:
    """Let writes to a stdout that was closed succeed and go nowhere."""
    try:
        os.write(1, b"")
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
