"""One stream inside a session: numbers and credit of both directions.

Items are numbered from 1 in each direction. A sender has credit, a total that
its reader grants and raises as it reads; an item costs 1 and 1 more for each
16 KiB. An item may be sent while any credit is left, so that one item of any
size fits; the reader holds no more than the credit and one item.
"""

from __future__ import annotations

__all__ = ["Flow", "FlowError", "cost"]

_UNIT_SHIFT = 14


class FlowError(ValueError):
    """The other side broke the order or overdrew its credit."""


def cost(size: int) -> int:
    """The credit that an item of `size` bytes costs."""
    return 1 + (size >> _UNIT_SHIFT)


class Flow:
    """The state of one stream at one end.

    Args:
        token: the name of the stream for the owner of the session.
        sendable: the credit granted by the other side at the start.
        window: the credit granted to the other side at the start.

    Attributes:
        sending: False once this side has ended its direction.
        receiving: False once the other side has ended its direction.
    """

    __slots__ = (
        "_consumed",
        "_granted_in",
        "_granted_out",
        "_in",
        "_out",
        "_spent_in",
        "_spent_out",
        "_window",
        "receiving",
        "sending",
        "token",
    )

    def __init__(self, token: object, sendable: int, window: int) -> None:
        self.token = token
        self.sending = True
        self.receiving = True
        self._window = window
        self._granted_out = sendable
        self._spent_out = 0
        self._out = 0
        self._granted_in = window
        self._spent_in = 0
        self._consumed = 0
        self._in = 0

    @property
    def credit(self) -> int:
        """The credit that is left; an item may go while it is above 0."""
        return self._granted_out - self._spent_out

    def sent(self, size: int) -> int:
        """Account for an item that goes out; its number."""
        self._spent_out += cost(size)
        self._out += 1
        return self._out

    def granted(self, total: int) -> bool:
        """The other side raised its grant; True if sending was stopped and may go on."""
        stopped = self.credit <= 0
        self._granted_out = max(self._granted_out, total)
        return stopped and self.credit > 0

    def received(self, number: int, size: int) -> None:
        """Account for an item that came in.

        Raises:
            FlowError: it is not the next one, or it was not paid for.
        """
        if not self.receiving:
            raise FlowError(f"item {number} came after the end")
        if number != self._in + 1:
            raise FlowError(f"item {number} came after item {self._in}")
        if self._spent_in >= self._granted_in:
            raise FlowError(f"item {number} came without credit")
        self._in = number
        self._spent_in += cost(size)

    def consumed(self, size: int) -> int:
        """Note that the owner read an item; the new total to grant, 0 for no grant yet."""
        self._consumed += cost(size)
        total = self._consumed + self._window
        if total - self._granted_in < (self._window + 1) >> 1:
            return 0
        self._granted_in = total
        return total
