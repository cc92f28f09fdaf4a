"""The clock of a remote machine, kept by the updates that its source sends.

Theory of operation
-------------------

The updates of one stream are numbered from 1, and each of them is the difference
to the one before. A mirror applies the next number and nothing else:

* a number that was applied already is a repetition, and ignored, if its check is
  that of the message that was applied;
* a larger one shows a gap, whether an update was lost or has been overtaken;
* one that does not pass its check, or is of another epoch, was damaged.

After a gap or damage the mirror asks its source for a snapshot, once, and ignores
updates until it is there. The source's next update starts from that snapshot, so
one exchange heals whatever went wrong. A snapshot that is damaged is asked for
again, and a lost one is asked for again by the owner of the mirror, which knows
time. Snapshots are numbered with the updates.

So a mirror shows only clocks that its source has had, in the order in which it
had them. Ticks never go back, but for a new epoch or a new machine tick: then the
source was restarted or its state imported, and the change says so (`restarted`).

The ticks of a shallow mirror are made for each stream, from 0 or 1 on. What such a
mirror shows goes on over streams: a tick grows by one where the activity is another.

The object is pure: messages go in, decisions come out; it knows no time, no
network and no event loop.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from rpc.machine_pb2 import ClockMsg, Snapshot
from rpc.machines.clock import Clock, ClockDamaged, advance, from_snapshot

__all__ = ["Change", "Decision", "Mirror", "Resynchronise"]


@dataclass(slots=True)
class Change:
    """The mirror has another clock.

    Attributes:
        before: the ticks before it, of the same names unless `restarted`.
        after: the ticks now.
        restarted: the clock is not a continuation of the one before: the first
            of all, of another epoch, or after an import.
    """

    before: array[int]
    after: array[int]
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Resynchronise:
    """The source has to send a snapshot.

    Attributes:
        reason: what was found, for logs.
        sequence: the last update that was applied.
    """

    reason: str
    sequence: int


Decision = Change | Resynchronise | None

_REMEMBERED = 64  # messages whose repetition is known as such

_NO_TICKS: array[int] = array("Q")


class Mirror:
    """The receiving end of one machine's clock.

    Args:
        shallow: the source tells activity only.

    Attributes:
        names: the agreed names, in the order of the ticks.
        clock: the last clock of the source that is known.
        shown: the clock that users see; another one only if the mirror is shallow.
        epoch: of the source; 0 before the first snapshot.
        sequence: of the last update that was applied.
        synchronised: False while a snapshot is awaited.
        resyncs: how many snapshots were asked for.
        ignored: how many messages were repetitions, or came while a snapshot was awaited.
    """

    __slots__ = (
        "_applied",
        "_shallow",
        "clock",
        "epoch",
        "ignored",
        "names",
        "resyncs",
        "sequence",
        "shown",
        "synchronised",
    )

    def __init__(self, *, shallow: bool = False) -> None:
        self.names: tuple[str, ...] = ()
        self.clock = self.shown = Clock.of(())
        self.epoch = 0
        self.sequence = 0
        self.synchronised = False
        self.resyncs = 0
        self.ignored = 0
        self._applied: dict[int, int] = {}  # the checks of the last messages, by sequence
        self._shallow = shallow

    def begin(self, names: Sequence[str], snapshot: Snapshot) -> Decision:
        """Take over the names and the snapshot that open a stream, or follow a new schema."""
        restarted = tuple(names) != self.names
        self.names = tuple(names)
        self.sequence = 0
        self.synchronised = False
        self._applied.clear()
        return self._take(snapshot, restarted, opens=True)

    def update(self, message: ClockMsg) -> Decision:
        """Apply an update; ask for a snapshot if it cannot be the next one."""
        if not self.synchronised:
            self.ignored += 1
            return None
        if message.sequence <= self.sequence:
            return self._repeated(message)
        if message.sequence != self.sequence + 1:
            return self._ask(f"update {message.sequence} came after {self.sequence}")
        if message.epoch and message.epoch != self.epoch:
            return self._ask(f"an update of epoch {message.epoch} instead of {self.epoch}")
        try:
            clock = advance(self.clock, message, self.epoch)
        except ClockDamaged as error:
            return self._ask(str(error))
        before = self.clock.ticks
        self._show(clock)
        self._note(message)
        return Change(before, clock.ticks)

    def take_over(self, clock: Clock, sequence: int) -> Change | None:
        """Take over a clock of a source in this process, which is the next update.

        Args:
            clock: of the source, after the one that is known here.
            sequence: its number; None is returned if it is the last that was applied.
        """
        if sequence == self.sequence:
            return None
        before = self.clock.ticks
        self._show(clock)
        self.sequence = sequence
        self._applied.clear()  # it has no check, and cannot be repeated
        return Change(before, clock.ticks)

    def snapshot(self, message: Snapshot) -> Decision:
        """Take over a snapshot that was asked for, or that the source sent by itself."""
        if message.sequence <= self.sequence:
            return self._repeated(message)
        return self._take(message, False)

    def _take(self, message: Snapshot, restarted: bool, *, opens: bool = False) -> Decision:
        try:
            clock = from_snapshot(message, self.names)
        except ClockDamaged as error:
            return self._ask(str(error))
        restarted = (
            restarted
            or message.epoch != self.epoch
            or clock.machine_tick != self.clock.machine_tick
        )
        begins_again = opens and self._shallow
        if not restarted and not begins_again and _goes_back(self.clock, clock):
            return self._ask("a snapshot with smaller ticks")
        before = _NO_TICKS if restarted else self.clock.ticks
        self._show(clock, restarted=restarted)
        self.epoch = message.epoch
        self.synchronised = True
        self._note(message)
        return Change(before, clock.ticks, restarted)

    def _show(self, clock: Clock, *, restarted: bool = False) -> None:
        self.clock = clock
        if restarted or not self._shallow:
            self.shown = clock
        else:
            pairs = zip(self.shown.ticks, clock.ticks, strict=True)
            ticks = (old + ((old ^ tick) & 1) for old, tick in pairs)
            self.shown = Clock.of(ticks, clock.queue_tick, clock.machine_tick)

    def _note(self, message: ClockMsg | Snapshot) -> None:
        self.sequence = message.sequence
        self._applied[message.sequence] = message.check
        if len(self._applied) > _REMEMBERED:
            del self._applied[next(iter(self._applied))]

    def _repeated(self, message: ClockMsg | Snapshot) -> Decision:
        if self._applied.get(message.sequence) == message.check:
            self.ignored += 1
            return None
        return self._ask(f"update {message.sequence} is not the one that was applied")

    def _ask(self, reason: str) -> Resynchronise:
        self.synchronised = False
        self.resyncs += 1
        return Resynchronise(reason, self.sequence)


def _goes_back(before: Clock, after: Clock) -> bool:
    if after.queue_tick < before.queue_tick:
        return True
    return any(new < old for old, new in zip(before.ticks, after.ticks, strict=True))
