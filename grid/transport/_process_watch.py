"""The end of another process of this host, reported by the kernel at once (Linux).

A socket does not show it when a child that the process had forked keeps the socket open: the
connection of a killed process then looks like one that is merely silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["ProcessWatch"]


class ProcessWatch:
    """Watches one process.

    Args:
        process: its number; 0 if it is not known.
        ended: called once, when it has ended.
    """

    def __init__(self, process: int, ended: Callable[[], None]) -> None:
        self._process = process
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        if not process or not hasattr(os, "pidfd_open"):
            return
        try:
            self._descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            self._loop.call_soon(ended)
        except OSError:
            return  # not allowed, or no descriptor is left
        else:
            self._loop.add_reader(self._descriptor, self._readable)

    def is_stopped(self) -> bool:
        """True if the process is there but does not run (SIGSTOP)."""
        if not self._process:
            return False
        try:
            stat = Path(f"/proc/{self._process}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in "Tt"

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _readable(self) -> None:
        self.close()
        self._ended()
