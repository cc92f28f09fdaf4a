"""Time as a value, and what a tick says of its state."""

from __future__ import annotations

import copy
import pickle

import pytest

from machine.times import (
    Time,
    activations,
    is_active_tick,
    next_active,
    next_active_in,
    next_inactive,
    next_inactive_in,
)

T = Time([2, 1, 3], "ABC")


@pytest.mark.parametrize(
    ("tick", "active"), [(0, False), (1, True), (6548734, False), (6548735, True)]
)
def test_an_odd_tick_is_an_active_one(tick: int, active: bool) -> None:
    assert is_active_tick(tick) is active


@pytest.mark.parametrize(
    ("tick", "active", "inactive", "active_in", "inactive_in", "times"),
    [(0, 1, 2, 1, 2, 0), (1, 3, 2, 2, 1, 1), (2, 3, 4, 1, 2, 1), (7, 9, 8, 2, 1, 4)],
)
def test_what_comes_after_a_tick(
    tick: int, active: int, inactive: int, active_in: int, inactive_in: int, times: int
) -> None:
    assert next_active(tick) == active
    assert next_inactive(tick) == inactive
    assert next_active_in(tick) == active_in
    assert next_inactive_in(tick) == inactive_in
    assert activations(tick) == times


def test_a_time_is_the_tuple_of_its_ticks() -> None:
    assert T == (2, 1, 3)
    assert hash(T) == hash((2, 1, 3))
    assert T[0] == 2
    assert T[1:] == (1, 3)
    assert list(T) == [2, 1, 3]
    assert str(T) == "2 1 3"
    assert repr(T) == "Time(A:2 B:1 C:3)"


def test_each_tick_has_a_name() -> None:
    assert T.names == ("A", "B", "C")
    with pytest.raises(ValueError, match="2 ticks of 1 states"):
        Time([1, 2], ["A"])


def test_a_time_cannot_change() -> None:
    with pytest.raises(AttributeError, match="names"):
        T.names = ()
    with pytest.raises(AttributeError, match="names"):
        del T.names
    with pytest.raises(TypeError):
        2 * T


def test_copies_keep_the_names() -> None:
    for twin in (pickle.loads(pickle.dumps(T)), copy.copy(T), copy.deepcopy(T)):
        assert twin.equal(T)
        assert isinstance(twin, Time)


def test_states_are_active_by_position_or_name() -> None:
    assert T.is1(1)
    assert T.is1("C")
    assert not T.is1("A")
    assert not T.is1(-1)
    assert not T.is1(3)
    assert not T.is1("X")
    assert T.is_(1)
    assert T.is_("B", 2)
    assert not T.is_("A", "B")
    assert not T.is_(-1)
    assert not T.is_()
    assert T.not_("A")
    assert T.not_("A", -1, "X")
    assert T.not_()
    assert not T.not_("A", "B")
    assert T.any_(1)
    assert T.any_(2)
    assert T.any_("A", "B")
    assert T.any_(["A", "B"], ["B", 2])
    assert not T.any_(["A", "B"], [])
    assert not T.any_()


def test_ticks_of_states() -> None:
    assert T.tick("C") == T.tick(2) == 3
    assert T.tick("X") == T.tick(-1) == T.tick(3) == 0
    assert T.sum() == 6
    assert T.sum("A", 1) == 3
    assert T.sum("X", -1) == 0
    assert T.to_index() == {"A": 2, "B": 1, "C": 3}


def test_filter_takes_states_in_the_order_asked_for() -> None:
    some = T.filter("C", 0, "X", 7)
    assert some.equal(Time([3, 2, 0, 0], ["C", "A", "X", ""]))
    assert T.filter() == ()


def test_active_and_nonzero_states() -> None:
    later = Time([2, 1, 0, 5], "ABCD")
    assert later.active_states() == ("B", "D")
    assert later.active_states("D", 0, 1, "X", -1) == ("D", "B")
    assert later.nonzero_states() == ("A", "B", "D")


def test_increment_adds_one_tick() -> None:
    assert T.increment("A").equal(Time([3, 1, 3], "ABC"))
    assert T.increment(2) == (2, 1, 4)
    assert T.increment("X") == T
    assert T == (2, 1, 3)


def test_sums_and_differences() -> None:
    assert T + T == (4, 2, 6)
    assert (T + T).names == T.names
    assert (T + T).diff_since(T).equal(T)
    assert T.diff_since((1, 1, 1)) == (1, 0, 2)
    assert T.diff_since((1, 1)) == (0, 0, 0)
    assert T.diff_since(Time([1, 1, 1], "XYZ")) == (0, 0, 0)
    with pytest.raises(ValueError, match="different states"):
        T + [1, 2]  # noqa: RUF005 - no concatenation


def test_after_and_before_compare_every_tick() -> None:
    same_c, later = (3, 2, 3), (3, 2, 4)
    assert Time(later, T.names).after(T)
    assert not Time(same_c, T.names).after(T)
    assert Time(same_c, T.names).after(T, or_equal=True)
    assert not T.after(later, or_equal=True)
    assert T.before(later)
    assert not T.before(same_c)
    assert T.before(same_c, or_equal=True)
    assert T.before(T, or_equal=True)
    assert not T.before(T)


def test_times_of_different_states_never_compare() -> None:
    other = Time([9, 9, 9], "XYZ")
    assert not other.after(T)
    assert not T.before(other)
    assert not T.after((0, 0))
    assert not T.equal(Time(T, "XYZ"))
    assert not T.equal((2, 1))
    assert T.equal([2, 1, 3])
    none = Time((), ())
    assert none.equal(())
    assert not none.after(none, or_equal=True)
