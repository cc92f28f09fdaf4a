"""The tells of a session on their way into frames: to be written is all that becomes of them."""

from __future__ import annotations

from collections import deque

from grid.transport._outbox import Outbox

__all__ = ["Tells"]


class Tells:
    """The numbers of tells that are not written yet.

    Attributes:
        queued: those in no frame yet, in order.
        being_written: those in the frame that is on its way.
    """

    __slots__ = ("_out", "being_written", "queued")

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self.queued: deque[int] = deque()
        self.being_written: list[int] = []

    def take(self) -> None:
        """Move the tells that the last frame took to those being written."""
        queued, out, in_chunks = self.queued, self._out, []
        while queued and queued[0] <= out.written_up_to:
            number = queued.popleft()
            if out.is_written(number):
                self.being_written.append(number)
            else:
                in_chunks.append(number)
        queued.extendleft(reversed(in_chunks))
