"""Calls that run once: numbering and pending calls at a mirror, kept outcomes at a source.

Theory of operation
-------------------

A mirror numbers its calls from 1, over reconnects. A call is kept until its
outcome is there; after a reconnect all that are still pending are sent again, in
order. The source keeps the outcome of each call until the mirror says that it
has arrived (`done`, with any later call), so a call that was carried out before
the connection broke is answered from what is kept, and not carried out again. A
source that was restarted has another epoch and has kept nothing: what was sent to
the one before it ends with an unknown outcome, and what was not is sent.

Both objects are pure: they know no time and no network.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["KeptOutcomes", "PendingCalls", "Sources"]

M = TypeVar("M")  # a message to the source
W = TypeVar("W")  # what waits for the outcome
O = TypeVar("O")  # noqa: E741 - an outcome


class PendingCalls(Generic[M, W]):
    """The calls of one mirror that have no outcome yet, in order."""

    __slots__ = ("_calls", "_next", "_sent")

    def __init__(self) -> None:
        self._next = 1
        self._calls: dict[int, tuple[M, W]] = {}
        self._sent: dict[int, int] = {}  # by call: the epoch of the source it was sent to

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def done(self) -> int:
        """All calls up to this number have their outcome."""
        return next(iter(self._calls), self._next) - 1

    def number(self) -> int:
        """A number for the next call."""
        number, self._next = self._next, self._next + 1
        return number

    def add(self, number: int, message: M, waiting: W, epoch: int | None = None) -> int:
        """Keep a call until it is taken.

        Args:
            number: of the call.
            message: of the call.
            waiting: for its outcome.
            epoch: of the source that it is about to be sent to; None: it is not yet sent.

        Returns:
            As `done`.
        """
        calls = self._calls
        calls[number] = message, waiting
        if epoch is not None:
            self._sent[number] = epoch
        return next(iter(calls)) - 1

    def sent(self, number: int, epoch: int) -> None:
        """Note that a call is on its way to the source of an epoch."""
        if number in self._calls:
            self._sent[number] = epoch

    def was_sent(self, number: int) -> bool:
        """True if a call may have reached a source."""
        return number in self._sent

    def take(self, number: int) -> W | None:
        """Forget a call and return its waiter; None if it is unknown."""
        self._sent.pop(number, None)
        call = self._calls.pop(number, None)
        return None if call is None else call[1]

    def get(self, number: int) -> W | None:
        """The waiter of a call, which is kept; None if it is unknown."""
        call = self._calls.get(number)
        return None if call is None else call[1]

    def replace(self, number: int, waiting: W) -> None:
        """Let something else wait for a call."""
        self._calls[number] = self._calls[number][0], waiting

    def connected(self, epoch: int) -> tuple[list[tuple[int, M]], list[W]]:
        """The calls to send to a source, and those waiting for an outcome that stays unknown.

        The latter were sent to a source of another epoch; they are kept no longer.
        """
        lost = [number for number, sent in self._sent.items() if sent != epoch]
        waiting = [one for one in map(self.take, lost) if one is not None]
        return [(number, call[0]) for number, call in self._calls.items()], waiting

    def clear(self) -> list[W]:
        """Forget all calls; return what waited for them."""
        waiting = [call[1] for call in self._calls.values()]
        self._calls.clear()
        self._sent.clear()
        return waiting


class KeptOutcomes(Generic[O]):
    """The outcomes of one mirror's calls that it has not acknowledged."""

    __slots__ = ("_done", "_kept", "_running")

    def __init__(self) -> None:
        self._kept: dict[int, O] = {}
        self._running: set[int] = set()
        self._done = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, number: int) -> bool:
        """Note that a call begins; False if it has begun before and must not run again."""
        if number <= self._done or number in self._kept or number in self._running:
            return False
        self._running.add(number)
        return True

    def end(self, number: int, outcome: O) -> None:
        """Keep the outcome of a call."""
        self._running.discard(number)
        self._kept[number] = outcome

    def get(self, number: int) -> O | None:
        """The outcome of a call that was carried out."""
        return self._kept.get(number)

    def forget(self, done: int) -> None:
        """Forget the outcomes of all calls up to this number: the mirror has received them."""
        if done <= self._done:
            return
        self._done = done
        kept = self._kept
        while kept and (first := next(iter(kept))) <= done:  # they are nearly in order
            del kept[first]


class Sources(Generic[O]):
    """The kept outcomes of all mirrors of a source; those longest away are forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_mirror: OrderedDict[str, KeptOutcomes[O]] = OrderedDict()

    def of(self, mirror: str) -> KeptOutcomes[O]:
        """The outcomes kept for a mirror."""
        kept = self._by_mirror.get(mirror)
        if kept is None:
            kept = self._by_mirror[mirror] = KeptOutcomes()
            if len(self._by_mirror) > self._most:
                self._by_mirror.popitem(last=False)
        self._by_mirror.move_to_end(mirror)
        return kept
