"""Lists of state names as values."""

from __future__ import annotations

import re

import pytest

from machine.lists import (
    states_add,
    states_diff,
    states_equal,
    states_equal_order,
    states_matching,
    states_prefixed,
    states_remove,
    states_shared,
    states_starting_with,
)


def test_add_keeps_each_name_once_where_it_came_first() -> None:
    assert states_add(["A", "B", "C"], ["C", "D", "E"]) == ("A", "B", "C", "D", "E")
    assert states_add(["A", "A"], iter(["B"]), "A") == ("A", "B")
    assert states_add() == ()


def test_remove_takes_away_every_list() -> None:
    assert states_remove(["A", "B", "C", "D"], ["B"]) == ("A", "C", "D")
    assert states_remove(["A", "B", "C", "D"], ["B"], ["D", "X"]) == ("A", "C")
    assert states_remove(["A", "B"], "A") == ("B",)
    assert states_remove(["A", "B"]) == ("A", "B")


def test_diff_and_shared_keep_the_order_of_the_first() -> None:
    assert states_diff(["C", "A", "B"], ["A", "X"]) == ("C", "B")
    assert states_shared(["C", "A", "B"], ["A", "C", "X"]) == ("C", "A")
    assert states_diff([], ["A"]) == states_shared([], ["A"]) == ()


def test_equal_compares_sets() -> None:
    assert not states_equal(["A"], ["B"])
    assert not states_equal(["A"], ["A", "B"])
    assert not states_equal(["A", "B"], ["A"])
    assert states_equal(["A"], ["A"])
    assert states_equal(["A", "B"], ["B", "A", "A"])


def test_equal_order_compares_lists() -> None:
    assert states_equal_order(["A", "B"], ("A", "B"))
    assert not states_equal_order(["A", "B"], ["B", "A"])
    assert not states_equal_order(["A"], ["A", "A"])


def test_a_single_name_is_a_list_of_one() -> None:
    assert states_add("Open", "Shut") == ("Open", "Shut")
    assert states_diff("Open", ["Open"]) == ()
    assert states_equal_order("Open", ["Open"])


def test_choosing_and_making_names() -> None:
    names = ["ErrNet", "Ready", "ErrDisk", "Error"]
    assert states_starting_with(names, "Err") == ("ErrNet", "ErrDisk", "Error")
    assert states_matching(names, "^Err[A-Z]") == ("ErrNet", "ErrDisk")
    assert states_matching(names, re.compile("y$")) == ("Ready",)
    assert states_prefixed(["A", "B"], "Job") == ("JobA", "JobB")
    with pytest.raises(re.error):
        states_matching(names, "(")
