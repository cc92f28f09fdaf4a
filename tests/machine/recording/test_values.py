"""Values of arguments in a recording, which come back equal, or as the manual says."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from machine import Machine
from machine.recording import Recorder, replay


class Pair(NamedTuple):
    """A tuple with names."""

    one: Any
    two: Any


class Colour(enum.Enum):
    """Members with values."""

    RED = "red"
    ODD = {"$error": "x"}  # noqa: RUF012 - the value is what is tried


@dataclass
class Sized:
    """A field that is computed."""

    items: list[int]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.items)


def there_and_back(path: Path, value: object) -> Any:
    seen: list[Any] = []
    with Recorder(path) as recorder:
        Machine("A", id="m", tracers=[recorder]).add("A", args={"value": value})
    machine: Machine[Any] = Machine("A", id="m")
    machine.bind({"AState": lambda value: seen.append(value)})
    assert replay(path, machine).ok
    return seen[0]


WORDS = ("$error", "$text", "$tuple", "$repr", "$type", "$values", "$pairs", "$", "$other")


@pytest.mark.parametrize(
    "value",
    [
        *({word: "x"} for word in WORDS),
        *({"deep": [{word: [1, 2]}]} for word in WORDS),
        {"$values": {"$type": 1}, "$type": "machine:Machine"},
        ({"$error": "x"}, [{"$tuple": []}]),
        {1: "one", None: 2, (1, 2): {"$repr": 3}},
        {},
        {"plain": {"a": [1, 2.5, None, True]}},
        Sized([1, 2, 3]),
    ],
    ids=repr,
)
def test_values_come_back_as_they_were(tmp_path: Path, value: object) -> None:
    assert there_and_back(tmp_path / "m.jsonl", value) == value


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (Pair(1, {"$error": "x"}), [1, {"$error": "x"}]),
        (OrderedDict([("$repr", 1)]), {"$repr": 1}),
        (Colour.RED, "red"),
        (Colour.ODD, {"$error": "x"}),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (math.inf, "inf"),
        ({1, 2} - {2}, "{1}"),
        (b"x", "b'x'"),
    ],
    ids=repr,
)
def test_values_that_come_back_as_others(tmp_path: Path, value: object, back: object) -> None:
    assert there_and_back(tmp_path / "m.jsonl", value) == back


def test_values_that_contain_themselves(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert isinstance(there_and_back(tmp_path / "m.jsonl", loop), list)


@pytest.mark.parametrize("word", WORDS)
def test_names_of_arguments(tmp_path: Path, word: str) -> None:
    seen: list[Any] = []
    path = tmp_path / "m.jsonl"
    with Recorder(path) as recorder:
        Machine("A", id="m", tracers=[recorder]).add("A", args={word: "x", "n": 1})
    machine: Machine[Any] = Machine("A", id="m")
    machine.bind({"AState": lambda args: seen.append(dict(args))})
    assert replay(path, machine).ok
    assert seen == [{word: "x", "n": 1}]


def test_a_recorder_leaves_out_a_machine_that_it_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    recorder = Recorder(path)
    mine: Machine[Any] = Machine("A", tracers=[recorder])
    other: Machine[Any] = Machine("A", tracers=[recorder], id=mine.id)
    other.add("A")
    other.dispose()
    mine.add("A")
    mine.remove("A")
    mine.add("A")
    recorder.close()
    assert replay(path).transitions == 3
