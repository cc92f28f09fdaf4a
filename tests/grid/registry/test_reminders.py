"""Reminders as they are stored, and the order in which they are due."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import InvalidArgument, InvalidName
from grid.etcd import KeyValue
from grid.registry.reminders import (
    Reminder,
    Schedule,
    check_times,
    decode_reminder,
    encode_reminder,
    reminder_key,
    reminder_prefix,
)


def reminder(name: str = "close", due: float = 100.0, every: float = 0.0) -> Reminder:
    return Reminder("room-a", name, "room", due, every, "grid.EchoMsg", b"\x00\xff", b"data", "why")


def stored(one: Reminder) -> KeyValue:
    return KeyValue(reminder_key("ns", one.actor, one.name), encode_reminder(one), 1, 1, 0)


@settings(max_examples=30)
@given(st.floats(0, 2e9), st.floats(0, 1e6), st.binary(), st.text())
def test_a_reminder_comes_back_as_it_was(
    due: float, every: float, payload: bytes, error: str
) -> None:
    one = Reminder("a", "b", "t", round(due, 3), every, "x.Y", payload, b"", error)
    assert decode_reminder(stored(one)) == one


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"null", b'{"type":1}', b"\xff"])
def test_what_is_no_reminder_is_none(value: bytes) -> None:
    assert decode_reminder(KeyValue("ns.reminder.a.b", value, 1, 1, 0)) is None
    assert decode_reminder(KeyValue("ns.reminder.a", encode_reminder(reminder()), 1, 1, 0)) is None


@pytest.mark.parametrize(
    ("due", "every"),
    [
        ("1" + 400 * "0", "0"),
        ("-Infinity", "5"),
        ("NaN", "5"),
        ("5", "1" + 400 * "0"),
        ("5", "NaN"),
        ("5", "Infinity"),
        ("5", "-1"),
    ],
)
def test_times_that_cannot_be_are_no_reminder(due: str, every: str) -> None:
    value = f'{{"type":"a","due":{due},"every":{every},"message":"m","payload":""}}'
    assert decode_reminder(KeyValue("ns.reminder.a.b", value.encode(), 1, 1, 0)) is None


@given(st.floats(1, 1e5), st.floats(0, 1e7))
def test_of_missed_times_one_is_made_up_for(every: float, late: float) -> None:
    following = reminder(due=1000.0, every=every).after(1000.0 + late)
    assert following is not None
    assert 1000.0 + late < following.due + 1e-6
    assert following.due <= 1000.0 + late + every + 1e-6
    assert following.error == ""
    assert reminder(every=0).after(1e9) is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20)), max_size=40))
def test_the_schedule_gives_each_reminder_as_it_was_put_last(puts: list[tuple[str, int]]) -> None:
    schedule, model = Schedule(), dict[str, int]()
    for revision, (name, due) in enumerate(puts):
        if due == 0:
            schedule.drop(name)
            model.pop(name, None)
        else:
            schedule.put(name, reminder(name, due), revision)
            model[name] = due
    assert len(schedule) == len(model)
    assert schedule.next_at() == min(model.values(), default=math.inf)
    found = [(one.due, key) for key, one, _ in schedule.due(10)]
    assert sorted(found) == sorted((due, key) for key, due in model.items() if due <= 10)
    assert [due for due, _ in found] == sorted(due for due, _ in found)
    assert schedule.due(10) == []  # they are being sent


def test_a_reminder_that_is_put_off_again_and_again_takes_no_more_memory() -> None:
    schedule = Schedule()
    for turn in range(10_000):
        schedule.put("a", reminder(due=1000.0 + turn), turn)
    assert len(schedule._heap) < 1000
    assert schedule.next_at() == 10_999.0
    assert [key for key, _, _ in schedule.due(20_000.0)] == ["a"]


def test_a_reminder_that_failed_waits_unless_it_was_changed() -> None:
    schedule = Schedule()
    schedule.put("a", reminder(due=1), 7)
    schedule.due(1)
    schedule.later("a", 6, 5.0)  # of another revision
    assert schedule.next_at() == math.inf
    schedule.later("a", 7, 5.0)
    assert schedule.next_at() == 5.0
    schedule.clear()
    assert schedule.next_at() == math.inf


def test_wrong_times_and_names_are_refused() -> None:
    assert check_times(None, 5) == (5, 5)
    assert check_times(0, None) == (0, 0)
    for after, every in ((None, None), (-1, None), (1, 0), (1, 0.5), (math.nan, 2), (math.inf, 2)):
        with pytest.raises(InvalidArgument):
            check_times(after, every)
    with pytest.raises(InvalidName):
        reminder_key("ns", "a", "b.c")
    with pytest.raises(InvalidName):
        reminder_prefix("ns", "a b")
