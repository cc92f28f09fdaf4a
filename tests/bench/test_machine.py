"""The subject `machine`: its pure parts, and all of it at a very small size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from bench import machines
from bench.machines import bare, ours, scale, speed
from bench.machines.timing import Clock, Pair
from bench.model import QUICK, Row
from bench.peers import Peer
from bench.picture import machine_svg
from tests.bench.kit import BUSY, rows_of

pytestmark = BUSY
TINY = ("--quick", "--rounds", "1", "--seconds", "0.01", "--machines", "100")
KINDS = [
    (shape, handlers)
    for shape in (machines.TOGGLE, machines.TEN)
    for handlers in (machines.NONE, machines.TWO)
]


def row(**more: Any) -> Row:
    return Row(subject="machine", case="toggle", figure=speed.RATE, ours=0.0, **more)


# -- measuring -------------------------------------------------------------------------


def test_sides_take_turns_and_their_least_slice_counts() -> None:
    said: list[str] = []

    def side(name: str, *costs: float) -> machines.Side:
        left = list(costs)

        def measure(count: int) -> float:
            said.append(name)
            return count * (left.pop(0) if len(left) > 1 else left[0])

        return measure

    mine, theirs = side("mine", 9.0, 3.0, 2.0), side("theirs", 8.0)
    clock = Clock(1.0)
    assert clock.both(mine, theirs) == (2.0, 8.0)
    assert said[-4:] == ["mine", "theirs", "mine", "theirs"]
    clock.both(mine, theirs)
    assert said[-2:] == ["theirs", "mine"]


@pytest.mark.parametrize(("unit", "figures"), [("/s", (2.0, 1.0)), ("us", (5e5, 1e6))])
def test_a_row_is_a_rate_or_a_time(unit: str, figures: tuple[float, float]) -> None:
    pair = Pair(row=row(unit=unit), ours=lambda n: n * 0.5, theirs=lambda n: n * 1.0)
    for _ in range(3):
        pair.take(Clock(1.0))
    found = pair.result()
    assert (found.ours, found.yardstick) == figures
    assert found.ratios == (figures[0] / figures[1],) * 3


def test_mutations_without_async_handlers_make_no_tasks() -> None:
    found = scale.tasks()
    assert found.ours == 0
    assert found.met


# -- the sides -------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "handlers"), KINDS)
@pytest.mark.parametrize("make", [ours.mutating, bare.mutating])
def test_plain_sides_run(
    make: Callable[[str, str], machines.Drive], shape: str, handlers: str
) -> None:
    make(shape, handlers)(10)


async def test_each_mutation_of_ours_calls_one_async_handler() -> None:
    for handlers in (machines.ASYNC, machines.AWAITS):
        await asyncio.wait_for(ours.awaiting(machines.TEN, handlers)(10), 10)
        await asyncio.wait_for(ours.many(machines.TOGGLE, handlers, 4)(8), 10)


def test_a_system_that_is_not_installed_is_skipped_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = Peer(name="Nothing", module="n", imports="no_such", get="pip install nothing")
    monkeypatch.setattr(machines, "PEERS", (absent,))
    assert machines.installed(QUICK) == frozenset()
    assert "Nothing is skipped, for it is not installed" in capsys.readouterr().err


def test_the_picture_has_a_dot_for_each_side() -> None:
    others = ("transitions", "python-statemachine", "an attribute flip")
    found = [row(unit="/s", against=name, yardstick=1e5) for name in others]
    svg = machine_svg(found)
    minidom.parseString(svg)  # noqa: S318 - made here
    assert svg.count("<circle") == 3
    assert machine_svg([]) == ""


# -- all of it -------------------------------------------------------------------------


@pytest.mark.parametrize("peers", [(), ("--peers", "")], ids=["with peers", "alone"])
async def test_all_of_it(tmp_path: Path, peers: tuple[str, ...]) -> None:
    rows = await rows_of(tmp_path, "machine", *TINY, *peers)
    assert {row["subject"] for row in rows} == {"machine"}
    assert {row["figure"] for row in rows} == {
        speed.RATE,
        "an active state",
        "an inactive state",
        "a mutation",
        "a mutation for the first time",
        "tasks made",
        "memory of an idle one, tracemalloc",
        "memory of an idle one, resident",
        "making one",
        "one mutation on each",
    }
    rates = {row["against"] for row in rows if row["figure"] == speed.RATE}
    assert {bare.FLIP, bare.DICT, "a coroutine awaited"} <= rates
    if peers:
        assert not any("transitions" in name for name in rates)
