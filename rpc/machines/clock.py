"""Clocks on the wire: building, checking and applying the increments of ticks.

Theory of operation
-------------------

A clock is the ticks of a list of states, with the queue tick and the machine
tick. It never changes; a transition of the source makes another one. The source
sends the difference between the clock it last sent and the present one, and
with it a check: the CRC-32 of the present one, its epoch and its number. The mirror
adds the difference and compares, so that any loss, repetition or damage shows at
once, in whichever state it happened and also if two errors cancel each other in
a sum. The CRC of the ticks is computed once for all mirrors; `sealed` adds the
epoch and number of one stream to it.

All functions here are pure. The messages are those of `machine.proto`.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from struct import Struct
from zlib import crc32

from rpc.machine_pb2 import ClockMsg, Snapshot

__all__ = [
    "Clock",
    "ClockDamaged",
    "advance",
    "check_of",
    "difference",
    "fill_difference",
    "from_snapshot",
    "sealed",
    "whole",
]

_LIMIT = 1 << 64
_two = Struct("<QQ").pack
_MOST_SIGNIFICANT_FIRST = sys.byteorder == "big"


class ClockDamaged(Exception):
    """A message does not lead to the clock that its sender had."""


class Clock:
    """The ticks of some states at one moment; not to be changed.

    Attributes:
        ticks: one for each agreed name, in their order.
        queue_tick: the number of mutations that had had their turn.
        machine_tick: the number of imports of the machine's state.
        check: the CRC-32 of all of it.
    """

    # A plain class: a frozen data class takes four times as long to make.
    __slots__ = ("check", "machine_tick", "queue_tick", "ticks")

    def __init__(self, ticks: array[int], queue_tick: int, machine_tick: int, check: int) -> None:
        self.ticks = ticks
        self.queue_tick: int = queue_tick
        self.machine_tick: int = machine_tick
        self.check: int = check

    @classmethod
    def of(cls, ticks: Iterable[int], queue_tick: int = 0, machine_tick: int = 0) -> Clock:
        """The clock with these ticks, and its check."""
        own = array("Q", ticks)
        if _MOST_SIGNIFICANT_FIRST:
            check = check_of(own, queue_tick, machine_tick)
        else:  # as there, without a call
            check = crc32(own, crc32(_two(queue_tick, machine_tick)))
        return cls(own, queue_tick, machine_tick, check)

    def __repr__(self) -> str:
        return f"<Clock {list(self.ticks)} queue {self.queue_tick} machine {self.machine_tick}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clock):
            return NotImplemented
        return (
            self.check == other.check
            and self.ticks == other.ticks
            and self.queue_tick == other.queue_tick
            and self.machine_tick == other.machine_tick
        )

    def __hash__(self) -> int:
        return self.check


def check_of(ticks: array[int], queue_tick: int, machine_tick: int) -> int:
    """The CRC-32 of the queue tick, the machine tick and the ticks, 8 bytes each."""
    if _MOST_SIGNIFICANT_FIRST:
        ticks = ticks[:]
        ticks.byteswap()
    return crc32(ticks, crc32(_two(queue_tick, machine_tick)))


def sealed(check: int, epoch: int, sequence: int) -> int:
    """The check of one message: of its clock, its epoch and its sequence."""
    return crc32(_two(epoch, sequence), check)


def difference(before: Clock, after: Clock) -> ClockMsg:
    """The message from one clock to a later one of the same names; not yet sealed.

    Raises:
        ClockDamaged: `after` cannot be reached by increments; send a snapshot.
    """
    message = ClockMsg()
    fill_difference(message, before, after)
    return message


def fill_difference(message: ClockMsg, before: Clock, after: Clock) -> None:
    """Write a difference into an empty message. Raises as `difference` does."""
    old, new = before.ticks, after.ticks
    if len(old) != len(new) or before.machine_tick != after.machine_tick:
        raise ClockDamaged("the clocks are of different names or imports")
    passed = after.queue_tick - before.queue_tick
    if passed < 0:
        raise ClockDamaged("the later clock has a smaller queue tick")
    message.queue_tick = passed
    if old == new:
        return
    indexes, increments = message.indexes, message.increments
    for at, tick in enumerate(new):  # no comprehension: it would be a frame for each update
        if tick != old[at]:
            if tick < old[at]:
                raise ClockDamaged("the later clock has smaller ticks")
            indexes.append(at)
            increments.append(tick - old[at])


def advance(clock: Clock, message: ClockMsg, epoch: int) -> Clock:
    """The clock that a sealed message leads to.

    Raises:
        ClockDamaged: positions or increments are impossible, or the check differs.
    """
    indexes, increments = message.indexes, message.increments
    if len(indexes) != len(increments):
        raise ClockDamaged(f"{len(indexes)} positions with {len(increments)} increments")
    ticks = clock.ticks[:]
    last = -1
    try:
        for at, more in zip(indexes, increments, strict=True):
            if at <= last or not more:
                raise ClockDamaged(f"an increment of {more} at position {at} after {last}")
            last = at
            ticks[at] += more
    except OverflowError:
        raise ClockDamaged("a tick of more than 64 bits") from None
    except IndexError:
        raise ClockDamaged(f"position {last} of {len(ticks)}") from None
    queue_tick = clock.queue_tick + message.queue_tick
    return _checked(ticks, queue_tick, clock.machine_tick, message, epoch)


def whole(clock: Clock, epoch: int, sequence: int) -> Snapshot:
    """A clock as a sealed message."""
    return Snapshot(
        epoch=epoch,
        sequence=sequence,
        ticks=clock.ticks,
        queue_tick=clock.queue_tick,
        machine_tick=clock.machine_tick,
        check=sealed(clock.check, epoch, sequence),
    )


def from_snapshot(message: Snapshot, names: Sequence[str]) -> Clock:
    """The clock in a message, which has a tick for each name.

    Raises:
        ClockDamaged: there are more or fewer, or the check differs.
    """
    if len(message.ticks) != len(names):
        raise ClockDamaged(f"{len(message.ticks)} ticks of {len(names)} states")
    ticks = array("Q", message.ticks)
    return _checked(ticks, message.queue_tick, message.machine_tick, message, message.epoch)


def _checked(
    ticks: array[int], queue_tick: int, machine_tick: int, message: ClockMsg | Snapshot, epoch: int
) -> Clock:
    if queue_tick >= _LIMIT or machine_tick >= _LIMIT:
        raise ClockDamaged("a queue tick or machine tick of more than 64 bits")
    check = check_of(ticks, queue_tick, machine_tick)
    found = sealed(check, epoch, message.sequence)
    if found != message.check:
        raise ClockDamaged(f"the check is {found:08x}, not {message.check:08x}")
    return Clock(ticks, queue_tick, machine_tick, check)
