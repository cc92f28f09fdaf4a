"""Large messages: cut into chunks on their way out, put together on their way in.

Chunks of one message are in order; other traffic goes between them. Memory
is bounded before anything is kept: by the announced size of each
message, by what all unfinished ones of a session may take, and by their number.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, cast

from grid.transport.budget import Budget

__all__ = ["Assemblies", "AssemblyError", "LargeMessage"]

_MOST_REFUSED = 10_000
_PATIENCE = 120.0  # seconds without a further part
_MOST_UNFINISHED = 64  # a sender has two under way


class AssemblyError(ValueError):
    """Chunks came against the rules."""


class LargeMessage:
    """A message that goes out in chunks, and the deliveries that must follow it.

    Attributes:
        exchange: whose message it is.
        delivery: the delivery as it would be if it were small.
        after: how many small deliveries must have left before its first chunk.
        followers: deliveries of the same exchange that wait for its end.
    """

    __slots__ = ("_data", "_offset", "after", "delivery", "exchange", "followers")

    def __init__(self, exchange: int, data: bytes, delivery: Any, after: int) -> None:
        self.exchange = exchange
        self.delivery = delivery
        self.after = after
        self.followers: deque[Any] = deque()
        self._data = memoryview(data)
        self._offset = 0

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self._data)

    @property
    def begun(self) -> bool:
        """True once a chunk was taken."""
        return self._offset > 0

    def next_chunk(self, size: int) -> tuple[memoryview, bool]:
        """The next `size` bytes, and whether they are the last."""
        start = self._offset
        self._offset = start + size
        return self._data[start : start + size], self._offset >= len(self._data)


class _Assembly:
    __slots__ = ("at", "data", "deadline", "size")

    def __init__(self, size: int, deadline: float) -> None:
        self.size = size
        self.deadline = deadline
        self.at = deadline  # when it is forgotten
        # Not a list of parts: many small ones would take many times their size.
        self.data = bytearray()


class Assemblies:
    """Messages that have begun to arrive.

    Args:
        largest: the largest message taken, in bytes.
        most: bytes that all of them together may announce.
        budget: shared with other sessions; None for no such bound.

    Attributes:
        pending: the unfinished ones by exchange; None for one that is ignored until its end.
        reserved: bytes that the unfinished ones will take.
    """

    __slots__ = ("_budget", "_largest", "_most", "_refused", "pending", "reserved")

    def __init__(self, largest: int, most: int, budget: Budget | None = None) -> None:
        self._largest = largest
        self._most = most
        self._budget = budget
        self._refused = 0
        self.pending: dict[int, _Assembly | None] = {}
        self.reserved = 0

    def refuse(self, exchange: int) -> None:
        """Ignore a message that begins, until its last part or until it is dropped.

        Raises:
            AssemblyError: too many are ignored already.
        """
        if self._refused >= _MOST_REFUSED:
            raise AssemblyError("too many messages that cannot be taken were begun")
        self._refused += 1
        self.pending[exchange] = None

    def first(
        self, exchange: int, size: int, part: bytes, at: float, now: float = math.inf
    ) -> bool:
        """Begin a message; False if there is no room for it, and then the rest is ignored.

        Args:
            exchange: whose message it is.
            size: bytes of the whole, as announced.
            part: the first of them.
            at: the time to forget it if it is not whole.
            now: the present time; it is also forgotten if it does not go on.

        Raises:
            AssemblyError: the part alone is more than was announced.
        """
        full = len(self.pending) - self._refused >= _MOST_UNFINISHED
        if full or size > self._largest or self.reserved + size > self._most:
            self.refuse(exchange)
            return False
        if self._budget is not None and not self._budget.take(size):
            self.refuse(exchange)
            return False
        self.pending[exchange] = _Assembly(size, at)
        self.reserved += size
        self.more(exchange, part, now)
        return True

    def more(self, exchange: int, part: bytes, now: float = math.inf) -> None:
        """Take a further part.

        Raises:
            AssemblyError: there is more than was announced.
        """
        assembly = self.pending[exchange]
        if assembly is None:
            return
        if len(assembly.data) + len(part) > assembly.size:
            raise AssemblyError(f"exchange {exchange} brings more than it announced")
        assembly.data += part
        assembly.at = min(assembly.deadline, now + _PATIENCE)

    def last(self, exchange: int, part: bytes) -> bytes | None:
        """The whole message; None if it was refused.

        Raises:
            AssemblyError: it is not as long as was announced.
        """
        self.more(exchange, part)
        assembly = self.pending[exchange]
        if assembly is not None and len(assembly.data) < assembly.size:
            raise AssemblyError(f"exchange {exchange} brings less than it announced")
        self.drop(exchange)
        # A bytearray does what bytes do here, and copying it would be expensive.
        return None if assembly is None else cast("bytes", assembly.data)

    def next_overdue(self) -> float:
        """The time to forget the next unfinished message."""
        return min((one.at for one in self.pending.values() if one is not None), default=math.inf)

    def expire(self, now: float) -> None:
        """Forget the messages whose time is over; the rest of them will be ignored."""
        pending = self.pending.items()
        for exchange in [key for key, one in pending if one is not None and one.at <= now]:
            self.abandon(exchange)

    def abandon(self, exchange: int) -> None:
        """Forget a message that is not wanted any more, but whose rest is on the way."""
        if self.pending.get(exchange) is not None:
            self.drop(exchange)
            self.pending[exchange] = None
            self._refused += 1

    def clear(self) -> None:
        """Forget all messages; nothing more will come."""
        for exchange in tuple(self.pending):
            self.drop(exchange)

    def drop(self, exchange: int) -> None:
        """Forget a message of which nothing more will come, if there is one."""
        assembly = self.pending.pop(exchange, self)
        if assembly is None:
            self._refused -= 1
        elif isinstance(assembly, _Assembly):
            self.reserved -= assembly.size
            if self._budget is not None:
                self._budget.give(assembly.size)
