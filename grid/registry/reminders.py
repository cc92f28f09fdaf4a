"""Reminders: messages that an actor has asked to be sent later, be it and its peer gone by then.

A reminder is a key in etcd without a lease, `<namespace>.reminder.<actor>.<name>`, outside of what
Go peers read. Its time is that of wall clocks, as no other outlives a machine. This module reads
and writes reminders and says which are due; it is pure.

The key `<namespace>.reminders` is there while reminders are: peers without any need not look for
them.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import math
from dataclasses import dataclass, replace
from typing import Any

from grid.errors import InvalidArgument
from grid.etcd import KeyValue
from grid.numbers import check_seconds
from grid.registry.names import check_name, check_namespace

__all__ = [
    "Reminder",
    "Schedule",
    "check_times",
    "decode_reminder",
    "encode_reminder",
    "marker_key",
    "reminder_key",
    "reminder_prefix",
]

_SHORTEST_PERIOD = 1.0  # seconds; timers are for shorter ones
_OUT_OF_DATE = 100  # entries of a schedule that may be, beside as many as wait


@dataclass(frozen=True, slots=True)
class Reminder:
    """A message that an actor has asked for.

    Attributes:
        actor: the actor's name.
        name: of the reminder; an actor has one of a name.
        type: the definition that the actor is started by if it does not run then.
        due: when it is sent next, in seconds since 1970 (`time.time`).
        every: seconds from one time to the next; 0 for once.
        message: the type name of the message.
        payload: the bytes of the message.
        data: the bytes that the actor is started with.
        error: of the last attempt to send it; empty after a success.
    """

    actor: str
    name: str
    type: str
    due: float
    every: float
    message: str
    payload: bytes = b""
    data: bytes = b""
    error: str = ""

    def after(self, now: float) -> Reminder | None:
        """The reminder once it was sent; None if that was all.

        Of the times that were missed, because no peer was there, one is made up for.
        """
        if not self.every:
            return None
        passed = max(1, math.floor((now - self.due) / self.every) + 1)
        return replace(self, due=self.due + passed * self.every, error="")


def check_times(after: float | None, every: float | None) -> tuple[float, float]:
    """The seconds until the first time, and from one to the next or 0.

    Raises:
        InvalidArgument: one is out of its range, or both are missing.
    """
    if after is None and every is None:
        raise InvalidArgument("after", after, "seconds until the reminder, or give every")
    period = 0.0
    if every is not None:
        period = check_seconds("every", every)
        if period < _SHORTEST_PERIOD:
            raise InvalidArgument("every", every, f"{_SHORTEST_PERIOD:g} s or more; see ctx.every")
    return (period if after is None else check_seconds("after", after)), period


def reminder_prefix(namespace: str, actor: str = "") -> str:
    """The prefix of the keys of all reminders, or of those of an actor."""
    start = f"{check_namespace(namespace)}.reminder."
    return f"{start}{check_name(actor)}." if actor else start


def reminder_key(namespace: str, actor: str, name: str) -> str:
    """The key of a reminder."""
    return reminder_prefix(namespace, actor) + check_name(name, "reminder")


def marker_key(namespace: str) -> str:
    """The key that is there while reminders are."""
    return f"{check_namespace(namespace)}.reminders"


def encode_reminder(reminder: Reminder) -> bytes:
    """The value to store for a reminder."""
    value = {
        "type": reminder.type,
        "due": round(reminder.due, 3),
        "every": reminder.every,
        "message": reminder.message,
        "payload": base64.b64encode(reminder.payload).decode(),
    }
    if reminder.data:
        value["data"] = base64.b64encode(reminder.data).decode()
    if reminder.error:
        value["error"] = reminder.error
    return json.dumps(value, separators=(",", ":")).encode()


def decode_reminder(stored: KeyValue) -> Reminder | None:
    """The reminder in a stored value; None if it is none."""
    parts = stored.key.split(".")
    try:
        value = json.loads(stored.value)
        return Reminder(
            actor=check_name(parts[2]),
            name=check_name(parts[3]),
            type=str(value["type"]),
            due=_finite(value["due"]),
            every=check_seconds("every", _finite(value["every"])),
            message=str(value["message"]),
            payload=base64.b64decode(value["payload"]),
            data=base64.b64decode(value.get("data", "")),
            error=str(value.get("error", "")),
        )
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        binascii.Error,
        InvalidArgument,
    ):
        return None


def _finite(number: Any) -> float:
    # JSON of Python has infinities, and integers that no float holds.
    seconds = float(number)
    if not math.isfinite(seconds):
        raise ValueError(number)
    return seconds


class Schedule:
    """Reminders in the order in which they are due.

    One that is being sent is not due again before `put`, `drop` or `later` is told of it.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Reminder, int]] = {}
        self._times: dict[str, float] = {}  # those that wait, and until when
        self._heap: list[tuple[float, str]] = []  # with entries that are out of date

    def __len__(self) -> int:
        return len(self._known)

    def put(self, key: str, reminder: Reminder, revision: int) -> None:
        """Add a reminder, or replace the one of that key.

        Args:
            key: its key in etcd.
            reminder: the reminder.
            revision: the revision of its last write.
        """
        self._known[key] = reminder, revision
        self._wait(key, reminder.due)

    def drop(self, key: str) -> None:
        """Forget a reminder."""
        self._known.pop(key, None)
        self._times.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._times.clear()
        self._heap.clear()

    def later(self, key: str, revision: int, at: float) -> None:
        """Let a reminder wait until `at`, if it still is the one of that revision."""
        known = self._known.get(key)
        if known is not None and known[1] == revision:
            self._wait(key, at)

    def next_at(self) -> float:
        """Time at which the next one is due; infinite if none waits."""
        heap, times = self._heap, self._times
        while heap and times.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def due(self, now: float) -> list[tuple[str, Reminder, int]]:
        """Take those that are due, each with its key and revision."""
        found = []
        while self.next_at() <= now:
            _, key = heapq.heappop(self._heap)
            del self._times[key]
            found.append((key, *self._known[key]))
        return found

    def _wait(self, key: str, at: float) -> None:
        self._times[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > _OUT_OF_DATE + 2 * len(self._times):
            self._heap = [(at, key) for key, at in self._times.items()]
            heapq.heapify(self._heap)
