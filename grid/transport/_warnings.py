"""Warnings that the other side of a session can cause, at a bounded rate.

A hostile client can begin and lose sessions as fast as it can connect; the log must not grow
with it. Warnings above the rate are counted, and the next one says how many were left out.
"""

from __future__ import annotations

import logging

from grid.deadline import now

__all__ = ["Warnings", "warnings"]

_BURST = 10
_SECONDS_EACH = 6.0  # one more is allowed after this time


class Warnings:
    """A logger with a rate: a burst, and then one warning for each period.

    Args:
        log: where they go.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._allowed = float(_BURST)
        self._at = now()
        self._left_out = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning, unless there were too many."""
        at = now()
        self._allowed = min(_BURST, self._allowed + (at - self._at) / _SECONDS_EACH)
        self._at = at
        if self._allowed < 1:
            self._left_out += 1
            return
        self._allowed -= 1
        if self._left_out:
            text += " (%d warnings like this were left out)"
            arguments = (*arguments, self._left_out)
            self._left_out = 0
        self._log.warning(text, *arguments)


warnings = Warnings(logging.getLogger("grid.transport"))
