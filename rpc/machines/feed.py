"""The sending end of one mirror: numbers, bases, and what a mirror may see of a machine.

A machine with many mirrors computes each difference once: clocks are shared
objects, and `Differences` keeps the message that leads from one to another.
A feed only adds its own sequence and seals it.

Everything here is pure: clocks go in, messages come out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rpc.machine_pb2 import ClockMsg, Snapshot
from rpc.machines.clock import Clock, ClockDamaged, difference, fill_difference, sealed, whole

__all__ = ["Differences", "Feed", "Projection", "PushTimes"]

_KEPT = 16


class Projection:
    """The part of a machine that a mirror sees.

    Attributes:
        names: of these states, in the order of the machine.
        indexes: their positions in the machine.
        shallow: only activity is shown: a tick grows by one each time it changes.
        key: equal to that of equal projections.
    """

    __slots__ = ("_of_all", "indexes", "key", "names", "shallow")

    def __init__(
        self, names: tuple[str, ...], indexes: tuple[int, ...], shallow: bool, of_all: bool
    ) -> None:
        self.names: tuple[str, ...] = names
        self.indexes: tuple[int, ...] = indexes
        self.shallow: bool = shallow
        self._of_all = of_all and not shallow
        # A text has its hash: the key of each clock is not hashed again.
        self.key = f"{shallow} {indexes} {' '.join(names)}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Projection):
            return NotImplemented
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        allowed: Collection[str] = (),
        skipped: Collection[str] = (),
        shallow: bool = False,
    ) -> Projection:
        """The states that are allowed (none: all) and not skipped."""
        seen = [
            (at, name)
            for at, name in enumerate(names)
            if (not allowed or name in allowed) and name not in skipped
        ]
        of_all = len(seen) == len(names)
        return cls(tuple(name for _, name in seen), tuple(at for at, _ in seen), shallow, of_all)

    def clock(
        self,
        ticks: Sequence[int],
        queue_tick: int,
        machine_tick: int,
        shown: Clock | None = None,
    ) -> Clock:
        """The clock that the mirror gets to see, after the one that was `shown` to it last."""
        if self._of_all:
            return Clock.of(ticks, queue_tick, machine_tick)
        seen: Iterable[int] = (ticks[at] for at in self.indexes)
        if self.shallow:
            if shown is None or shown.machine_tick != machine_tick:
                seen = (tick & 1 for tick in seen)
            else:
                pairs = zip(shown.ticks, seen, strict=True)
                seen = (old + ((old ^ tick) & 1) for old, tick in pairs)
        return Clock.of(seen, queue_tick, machine_tick)


class Differences:
    """The messages between clocks, each made once for all mirrors that need it.

    Attributes:
        shared: False while there is one mirror, so that no message is needed again.
    """

    def __init__(self) -> None:
        self.shared = True
        self._made: dict[tuple[int, int], tuple[Clock, Clock, ClockMsg]] = {}

    def between(self, before: Clock, after: Clock) -> ClockMsg:
        """The message from one clock to the other; not to be changed.

        Raises:
            ClockDamaged: there is none; send a snapshot.
        """
        key = id(before), id(after)
        found = self._made.get(key)
        if found is None:
            found = before, after, difference(before, after)  # holds both, so that ids stay theirs
            if len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = found
        return found[2]


class Feed:
    """The messages to one mirror: their numbers, and the clock that it has.

    Attributes:
        base: the clock that the mirror has, once it has applied what was sent.
        epoch: of the source.
        sequence: of the last message.
    """

    __slots__ = ("_differences", "base", "epoch", "sequence")

    def __init__(self, clock: Clock, epoch: int, differences: Differences) -> None:
        self.base = clock
        self.epoch: int = epoch
        self.sequence = 0
        self._differences = differences

    def reached(self, clock: Clock) -> bool:
        """True if the mirror has this clock."""
        return clock is self.base or clock == self.base

    def behind(self, clock: Clock) -> bool:
        """True if the mirror has a later clock than this one."""
        base = self.base
        return clock.queue_tick < base.queue_tick or any(
            new < old for old, new in zip(base.ticks, clock.ticks, strict=True)
        )

    def update(self, clock: Clock, message: ClockMsg | None = None) -> ClockMsg | Snapshot | None:
        """The message that brings the mirror to a clock; None if it is there.

        Args:
            clock: the present one.
            message: an empty part of a larger message, to be filled; made if it is None.

        Returns:
            A snapshot if no update leads to the clock; `message` is empty then.
        """
        base = self.base
        if clock is base or (clock.check == base.check and clock == base):
            return None
        if message is None:
            message = ClockMsg()
        try:
            if self._differences.shared:
                message.MergeFrom(self._differences.between(base, clock))
            else:
                fill_difference(message, base, clock)
        except ClockDamaged:  # an import
            message.Clear()
            return self.snapshot(clock)
        self.sequence += 1
        message.sequence = self.sequence
        message.check = sealed(clock.check, self.epoch, self.sequence)
        self.base = clock
        return message

    def hand_over(self, clock: Clock) -> bool:
        """Number a clock that the mirror takes over as it is; False if it needs a snapshot."""
        base = self.base
        if clock is base:
            return True
        if clock.machine_tick != base.machine_tick or len(clock.ticks) != len(base.ticks):
            return False
        if clock != base:
            self.sequence += 1
            self.base = clock
        return True

    def snapshot(self, clock: Clock) -> Snapshot:
        """A whole clock, on which the next update is built."""
        self.sequence += 1
        self.base = clock
        return whole(clock, self.epoch, self.sequence)


class PushTimes:
    """Times at which a mirror is sent changes that it did not ask for itself.

    The first change after a pause goes at once, the following ones not before
    the interval has passed, so that in t seconds at most t/interval + 1 leave,
    and the last change never stays behind.

    Args:
        interval: seconds; 0: no pushes.
    """

    __slots__ = ("_due", "_last", "interval")

    def __init__(self, interval: float) -> None:
        self.interval: float = interval
        self._last = float("-inf")
        self._due: float | None = None

    def changed(self, now: float) -> float | None:
        """The time at which to push a change of this moment; None if that is set, or never."""
        if not self.interval or self._due is not None:
            return None
        self._due = max(now, self._last + self.interval)
        return self._due

    @property
    def set(self) -> bool:
        """True while the time of the next push is set."""
        return self._due is not None

    def change_interval(self, interval: float, now: float) -> float | None:
        """Take another interval; the time at which to look for changes, None if never."""
        self.interval = interval
        self._due = None
        return self.changed(now)

    def pushed(self, now: float) -> None:
        """The mirror has been sent everything."""
        self._last = now
        self._due = None
