"""The mirror under every schedule of loss, repetition, reordering and damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc.machine_pb2 import ClockMsg, Snapshot
from rpc.machines.clock import (
    Clock,
    ClockDamaged,
    advance,
    difference,
    from_snapshot,
    sealed,
    whole,
)
from rpc.machines.feed import Differences, Feed, Projection, PushTimes
from rpc.machines.mirror import Change, Mirror, Resynchronise

NAMES = ("A", "B", "C", "D")
EPOCH = 7

Sent = ClockMsg | Snapshot


class Source:
    """Ticks at random, and remembers each clock that it had."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock.of([0] * len(NAMES), 1)
        self.history = [self.clock]
        self.feed = Feed(self.clock, EPOCH, Differences())

    def tick(self) -> None:
        """Some states tick, some of them several times."""
        ticks = [tick + self.random.choice((0, 0, 1, 2, 256)) for tick in self.clock.ticks]
        self.clock = Clock.of(ticks, self.clock.queue_tick + 1)
        self.history.append(self.clock)


def damaged(message: Sent, chance: random.Random) -> Sent:
    """The message with a bit flipped that still can be parsed, or a field changed."""
    data = bytearray(message.SerializeToString())
    for _ in range(20):
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        try:
            return type(message).FromString(bytes(data))
        except Exception:  # noqa: BLE001 - what cannot be parsed never reaches a mirror
            data = bytearray(message.SerializeToString())
    raise AssertionError("no flipped bit leaves a message that can be parsed")


def received(mirror: Mirror, source: Source, message: Sent) -> bool:
    """Give a message to the mirror; True if it asks for a snapshot."""
    take = mirror.update if isinstance(message, ClockMsg) else mirror.snapshot
    decision = take(message)  # type: ignore[arg-type]
    if isinstance(decision, Change):
        assert mirror.clock in source.history
    return isinstance(decision, Resynchronise)


def started(source: Source) -> Mirror:
    mirror = Mirror()
    assert isinstance(mirror.begin(NAMES, source.feed.snapshot(source.clock)), Change)
    return mirror


@settings(max_examples=400)
@given(
    st.integers(0, 1 << 30),
    st.lists(st.sampled_from(["tick", "deliver", "lose", "double", "swap", "damage"]), max_size=60),
)
def test_any_schedule_of_faults_is_noticed_and_healed(seed: int, faults: list[str]) -> None:
    source, chance = Source(seed), random.Random(seed + 1)
    mirror = started(source)
    on_the_way: list[Sent] = []
    for fault in faults:
        before = mirror.clock
        if fault == "tick":
            source.tick()
            message = source.feed.update(source.clock)
            on_the_way += [] if message is None else [message]
        elif on_the_way:
            on_the_way += delivered(mirror, source, on_the_way, fault, chance)
        assert all(new >= old for old, new in zip(before.ticks, mirror.clock.ticks, strict=True))
    settle(mirror, source, on_the_way)
    assert mirror.clock == source.clock


def delivered(
    mirror: Mirror, source: Source, on_the_way: list[Sent], fault: str, chance: random.Random
) -> list[Sent]:
    """Let one thing happen to what is on the way; what the source sends because of it."""
    message = on_the_way.pop(0)
    if fault == "swap":
        on_the_way.append(message)
        return []
    if fault == "lose":
        return []
    if fault == "damage":
        message = damaged(message, chance)
    asks = [received(mirror, source, message) for _ in range(2 if fault == "double" else 1)]
    return [source.feed.snapshot(source.clock)] if any(asks) else []


def settle(mirror: Mirror, source: Source, on_the_way: list[Sent]) -> None:
    """Deliver all that is on the way, then one more change, without faults."""
    source.tick()
    on_the_way.append(source.feed.update(source.clock) or source.feed.snapshot(source.clock))
    while on_the_way:
        if received(mirror, source, on_the_way.pop(0)):
            on_the_way.append(source.feed.snapshot(source.clock))
    if not mirror.synchronised:  # the snapshot was lost, and its owner asks again
        assert not received(mirror, source, source.feed.snapshot(source.clock))


@pytest.mark.parametrize("fault", ["lose", "swap", "damage"])
@pytest.mark.parametrize("seed", range(20))
def test_one_fault_is_healed_by_one_resync(fault: str, seed: int) -> None:
    source, chance = Source(seed), random.Random(seed)
    mirror = started(source)
    messages: list[Sent] = []
    while len(messages) < 6:
        source.tick()
        message = source.feed.update(source.clock)
        if message is not None:
            messages.append(message)
    if fault == "lose":
        del messages[2]
    elif fault == "swap":
        messages[2:4] = messages[3], messages[2]
    else:
        messages[2] = damaged(messages[2], chance)
    for at, message in enumerate(messages):
        if received(mirror, source, message):
            messages.append(source.feed.snapshot(source.clock))
        elif at == len(messages) - 1:
            break
    assert mirror.clock == source.clock
    assert mirror.resyncs <= 1


def test_a_repetition_is_ignored() -> None:
    source = Source(1)
    mirror = started(source)
    source.clock = Clock.of([1, 0, 0, 0], 2)
    message = source.feed.update(source.clock)
    assert isinstance(message, ClockMsg)
    assert isinstance(mirror.update(message), Change)
    assert mirror.update(message) is None
    assert (mirror.clock, mirror.resyncs, mirror.ignored) == (source.clock, 0, 1)


@pytest.mark.parametrize(
    ("increments", "shown"),
    [([1, -1, 0, 0], "sums cancel"), ([256, 0, 0, 0], "256"), ([1 << 32, 0, 0, 0], "2^32")],
)
def test_errors_that_cancel_in_a_sum_are_noticed(increments: list[int], shown: str) -> None:
    before, after = Clock.of([10, 10, 10, 10], 1), Clock.of([11, 11, 10, 10], 2)
    message = difference(before, after)
    message.sequence, message.check = 3, sealed(after.check, EPOCH, 3)
    wrong = Clock.of([t + more for t, more in zip(before.ticks, increments, strict=True)], 1)
    with pytest.raises(ClockDamaged, match="the check is"):
        advance(wrong, message, EPOCH)
    assert advance(before, message, EPOCH) == after, shown


@pytest.mark.parametrize(
    "message",
    [
        ClockMsg(indexes=[0], increments=[]),
        ClockMsg(indexes=[9], increments=[1]),
        ClockMsg(indexes=[1, 0], increments=[1, 1]),
        ClockMsg(indexes=[1, 1], increments=[1, 1]),
        ClockMsg(indexes=[1], increments=[0]),
        ClockMsg(indexes=[1], increments=[(1 << 64) - 1]),
        ClockMsg(queue_tick=(1 << 64) - 1),
    ],
)
def test_impossible_updates_are_damage(message: ClockMsg) -> None:
    with pytest.raises(ClockDamaged):
        advance(Clock.of([1, 1, 1, 1], 5), message, EPOCH)


def test_a_snapshot_of_other_names_is_damage() -> None:
    with pytest.raises(ClockDamaged, match="2 ticks of 4 states"):
        from_snapshot(whole(Clock.of([1, 2]), EPOCH, 1), NAMES)


def test_a_restarted_source_is_told_as_such() -> None:
    source = Source(1)
    mirror = started(source)
    source.tick()
    smaller = Feed(Clock.of([0, 0, 0, 0], 1), EPOCH + 1, Differences())
    change = mirror.begin(NAMES, smaller.snapshot(smaller.base))
    assert isinstance(change, Change)
    assert change.restarted
    assert mirror.clock == smaller.base


def test_an_import_at_the_source_is_a_snapshot() -> None:
    source = Source(1)
    mirror = started(source)
    source.tick()
    imported = Clock.of([0, 0, 0, 1], 9, machine_tick=1)
    message = source.feed.update(imported)
    assert isinstance(message, Snapshot)
    change = mirror.snapshot(message)
    assert isinstance(change, Change)
    assert change.restarted


def test_many_mirrors_share_a_difference() -> None:
    differences = Differences()
    before, after = Clock.of([0, 0]), Clock.of([1, 0])
    feeds = [Feed(before, EPOCH, differences) for _ in range(50)]
    shared = differences.between(before, after)
    messages = [feed.update(after) for feed in feeds]
    assert all(isinstance(one, ClockMsg) and one.indexes == [0] for one in messages)
    assert differences.between(before, after) is shared


def test_a_projection_keeps_to_its_states() -> None:
    part = Projection.of(NAMES, allowed={"B", "C", "D"}, skipped={"C"})
    assert part.names == ("B", "D")
    assert list(part.clock([1, 2, 3, 4], 5, 0).ticks) == [2, 4]


def test_a_shallow_projection_follows_activity() -> None:
    part = Projection.of(("A",), shallow=True)
    shown = part.clock([4], 1, 0)
    seen = [shown.ticks[0]]
    for tick in (5, 6, 9, 13, 14):
        shown = part.clock([tick], 1, 0, shown)
        seen.append(shown.ticks[0])
    assert seen == [0, 1, 2, 3, 3, 4]


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=50), st.floats(0.01, 1))
def test_pushes_are_bounded_and_the_last_change_is_pushed(
    gaps: list[float], interval: float
) -> None:
    times, now, pushes, due = PushTimes(interval), 0.0, 0, None
    for gap in gaps:
        now += gap
        while due is not None and due <= now:
            times.pushed(due)
            pushes, due = pushes + 1, None
        at = times.changed(now)
        due = at if at is not None else due
    assert due is not None or pushes
    assert pushes <= now / interval + 1


def test_no_interval_means_no_pushes() -> None:
    assert PushTimes(0).changed(1.0) is None
