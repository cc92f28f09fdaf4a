"""Idleness of actors: one whose mailboxes have had nothing to do for a while is ended.

Requests cost nothing more for it: the counters of the mailboxes are looked at from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from grid.mailbox.mailbox import Mailbox

__all__ = ["Idleness"]

_LOOKS = 4  # within the time that an actor may be idle


class Idleness:
    """Ends an actor that is idle: no request came, none is open, and no stream.

    Args:
        mailboxes: of the actor; those that it opens later, too.
        seconds: time without work.
        end: called once, when they are over.
    """

    def __init__(
        self, mailboxes: Sequence[Mailbox], seconds: float, end: Callable[[], None]
    ) -> None:
        self._mailboxes = mailboxes
        self._seconds = seconds
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._received = -1
        self._since = self._loop.time()
        self._timer = self._loop.call_later(seconds / _LOOKS, self._look)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        at = self._loop.time()
        received = sum(one._received for one in self._mailboxes)
        if received != self._received or any(one._busy for one in self._mailboxes):
            self._received, self._since = received, at
        elif at - self._since >= self._seconds:
            self._end()
            return
        self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)
