"""Large messages: cut into chunks on their way out, put together on their way in.

Chunks of one message are in order; other traffic goes between them. What is
put together is bounded before it is kept: by the announced size of each
message, and by what all unfinished ones of a session may take.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

__all__ = ["Assemblies", "AssemblyError", "LargeMessage"]


_MOST_REFUSED = 10_000


class AssemblyError(ValueError):
    """Chunks came against the rules."""


class LargeMessage:
    """A message that goes out in chunks, and what must follow it in order.

    Attributes:
        exchange: whose message it is.
        delivery: the delivery as it would be if it were small.
        followers: deliveries of the same exchange that wait for its end.
    """

    __slots__ = ("_data", "_offset", "delivery", "exchange", "followers")

    def __init__(self, exchange: int, data: bytes, delivery: Any) -> None:
        self.exchange = exchange
        self.delivery = delivery
        self.followers: deque[Any] = deque()
        self._data = data
        self._offset = 0

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self._data)

    @property
    def begun(self) -> bool:
        """True once a chunk was taken."""
        return self._offset > 0

    def next_chunk(self, size: int) -> tuple[bytes, bool]:
        """The next so many bytes, and whether they are the last."""
        start = self._offset
        self._offset = start + size
        return self._data[start : start + size], self._offset >= len(self._data)


class _Assembly:
    __slots__ = ("at", "left", "parts", "size")

    def __init__(self, size: int, at: float) -> None:
        self.size = size
        self.at = at
        self.left = size
        self.parts: list[bytes] = []


class Assemblies:
    """Messages that have begun to arrive.

    Args:
        largest: the largest message taken, in bytes.
        most: what all of them together may announce, in bytes.
    """

    __slots__ = ("_largest", "_most", "_refused", "_unfinished", "reserved")

    def __init__(self, largest: int, most: int) -> None:
        self._largest = largest
        self._most = most
        self._unfinished: dict[int, _Assembly] = {}
        self._refused: set[int] = set()
        self.reserved = 0  # bytes that the unfinished ones will take

    def __len__(self) -> int:
        return len(self._unfinished)

    def __contains__(self, exchange: int) -> bool:
        return exchange in self._unfinished or exchange in self._refused

    def refuse(self, exchange: int) -> None:
        """Ignore a message until its last part, or until it is dropped.

        Raises:
            AssemblyError: too many are ignored already.
        """
        if len(self._refused) >= _MOST_REFUSED:
            raise AssemblyError("too many messages that cannot be taken were begun")
        self._refused.add(exchange)

    def first(self, exchange: int, size: int, part: bytes, at: float) -> bool:
        """Begin a message; False if there is no room for it, and then the rest is ignored.

        Args:
            exchange: whose message it is.
            size: bytes of the whole, as announced.
            part: the first of them.
            at: when it is forgotten if it is not whole.

        Raises:
            AssemblyError: the part alone is more than was announced.
        """
        if size > self._largest or self.reserved + size > self._most:
            self.refuse(exchange)
            return False
        self._unfinished[exchange] = _Assembly(size, at)
        self.reserved += size
        self.more(exchange, part)
        return True

    def more(self, exchange: int, part: bytes) -> None:
        """Take a further part.

        Raises:
            AssemblyError: there is more than was announced.
        """
        if exchange in self._refused:
            return
        assembly = self._unfinished[exchange]
        assembly.left -= len(part)
        if assembly.left < 0:
            raise AssemblyError(f"exchange {exchange} brings more than it announced")
        assembly.parts.append(part)

    def last(self, exchange: int, part: bytes) -> bytes | None:
        """The whole message; None if it was refused.

        Raises:
            AssemblyError: it is not as long as was announced.
        """
        if exchange in self._refused:
            self._refused.discard(exchange)
            return None
        self.more(exchange, part)
        assembly = self._unfinished[exchange]
        if assembly.left:
            raise AssemblyError(f"exchange {exchange} brings less than it announced")
        self.drop(exchange)
        return b"".join(assembly.parts)

    def next_overdue(self) -> float:
        """When the next unfinished message is to be forgotten."""
        return min((one.at for one in self._unfinished.values()), default=math.inf)

    def expire(self, now: float) -> None:
        """Forget the messages whose time is over; the rest of them will be ignored."""
        for exchange in [key for key, one in self._unfinished.items() if one.at <= now]:
            self.drop(exchange)
            self.refuse(exchange)

    def drop(self, exchange: int) -> bool:
        """Forget a message that will not be finished; False if there was none."""
        self._refused.discard(exchange)
        assembly = self._unfinished.pop(exchange, None)
        if assembly is None:
            return False
        self.reserved -= assembly.size
        return True
