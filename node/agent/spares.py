"""Spare processes: started ahead, with the worker's code imported, until a worker is needed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.agent.child import ChildWorker

__all__ = ["Spares"]

_Stamp = tuple[int, int]  # when a file was changed, and its bytes


class Spares:
    """The spare processes of an agent.

    Args:
        function: that their jobs run. A spare is not used once the file of this function has
            changed: a worker that starts then has the new code, and so must all of them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._file: str | None = None
        with contextlib.suppress(TypeError, OSError):  # it is not written in Python
            self._file = inspect.getsourcefile(inspect.unwrap(function))
        self._waiting: dict[str, tuple[ChildWorker, _Stamp | None]] = {}

    def add(self, spare: ChildWorker) -> None:
        """Keep a process that was just started."""
        self._waiting[spare.name] = (spare, self._stamp())

    def take(self) -> ChildWorker | None:
        """A process that can become a worker; None if there is none."""
        stamp = self._stamp()
        for spare, made in [*self._waiting.values()]:
            if made != stamp:
                spare.kill("its code has changed")
            elif not spare.ending:
                del self._waiting[spare.name]
                return spare
        return None

    def kill(self, reason: str) -> list[ChildWorker]:
        """End all of them; those that are about to end."""
        for spare, _ in self._waiting.values():
            spare.kill(reason)
        return [spare for spare, _ in self._waiting.values()]

    def ended(self, name: str) -> bool:
        """Forget a process that has ended; False if it is no spare."""
        return self._waiting.pop(name, None) is not None

    def _stamp(self) -> _Stamp | None:
        if self._file is None:
            return None
        try:
            found = Path(self._file).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
