"""The bound of the answers that wait for the other side to read them, in bytes.

Answers are made by actors at their own pace, so that stopping to read from a side that does
not read does not stop them. A session holds its share of the peer's budget in steps, so that
nothing is counted for each answer as long as few bytes wait.
"""

from __future__ import annotations

from grid.errors import OutcomeUnknown
from grid.transport._outbox import Outbox
from grid.transport.budget import Budget
from grid.transport.failures import encode_failure
from grid.wire_pb2 import Failure

__all__ = ["Unsent"]

_FREE = 1024 * 1024  # bytes that each session may hold without asking
_STEP = 4 * 1024 * 1024
_LEAST = 256 * 1024 * 1024


class Unsent:
    """The share of one session.

    Args:
        out: the queue of the session.
        most: bytes that may wait in it at most, or 256 MiB if that is less.
        budget: shared with other sessions; None for no such bound.

    Attributes:
        taken: bytes of the budget that it holds.
        allowed: bytes that may wait now; above it, ask `fits`.
    """

    __slots__ = ("_budget", "_most", "_out", "allowed", "taken")

    def __init__(self, out: Outbox, most: int, budget: Budget | None) -> None:
        self._out = out
        self._budget = budget
        self.taken = 0
        self._most = max(most, _LEAST)
        self.allowed = _FREE

    def fits(self, size: int) -> bool:
        """True if an answer of this size may wait, too."""
        needed = self._out.bytes + size - self.allowed
        if needed <= 0:
            return True
        step = min(max(needed, _STEP), self._most - self.allowed)
        if step < needed or not (self._budget is None or self._budget.take(step)):
            return False
        self.taken += step
        self.allowed += step
        return True

    def settle(self) -> None:
        """Give back all that is not needed: nothing much waits any more."""
        if self.taken:
            if self._budget is not None:
                self._budget.give(self.taken)
            self.taken = 0
            self.allowed = _FREE

    @staticmethod
    def refusal() -> Failure:
        """The error in place of an answer that does not fit."""
        return encode_failure(
            OutcomeUnknown("the answer was dropped: too many bytes of answers wait to be read")
        )
