"""Memory and time of a machine among many of the same schema; a process for each kind."""

from __future__ import annotations

import gc
import importlib
import os
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machines import RING, bare, ours
from bench.model import Progress, Row, Size, median
from bench.processes import Child
from bench.talk import Orders, say, until_closed
from machine import Machine

__all__ = ["measure", "weigh"]

_WARM = 50  # machines made before memory is read for the first time
_TRACED = 10_000  # are enough for tracemalloc
_KIB = 3.0  # that ours may weigh


@dataclass(frozen=True, slots=True)
class _Kind:
    """Machines of one kind.

    Attributes:
        name: in the table.
        most: how many are made: others' take long, and weigh what they weigh.
    """

    name: str
    most: int


_OURS = {
    "plain": _Kind("ours", 1_000_000),
    "bound": _Kind("ours with a handler class", 1_000_000),
}
_PEERS = {
    "with_transitions": _Kind("a model of transitions, one Machine for all", 5_000),
    "with_statemachine": _Kind("python-statemachine", 5_000),
}
_BARE = {"bare": _Kind(bare.DICT, 1_000_000)}
_CROWDS = (1_000, 100_000)


async def measure(peers: frozenset[str], size: Size, progress: Progress) -> list[Row]:
    """The rows of this part."""
    others = {**_BARE, **{peer: kind for peer, kind in _PEERS.items() if peer in peers}}
    rows = []
    for crowd in sorted({min(count, size.machines) for count in _CROWDS}):
        told: dict[str, list[dict[str, float]]] = {}
        for number in range(min(3, size.rounds)):
            for side, kind in {**_OURS, **others}.items():
                progress(f"machine: {crowd:,} of {kind.name}, round {number + 1}")
                count = min(crowd, kind.most)
                async with Child("machines.weight.weigh", side=side, count=count) as child:
                    told.setdefault(side, []).append(child.told)
        for mine, kind in _OURS.items():
            for theirs, other in others.items():
                rows += _rows(crowd, kind, told[mine], other, told[theirs])
    return rows


def _rows(
    crowd: int,
    kind: _Kind,
    mine: list[dict[str, float]],
    other: _Kind,
    theirs: list[dict[str, float]],
) -> list[Row]:
    figures = [
        ("memory of an idle one, tracemalloc", "traced", "KiB"),
        ("memory of an idle one, resident", "resident", "KiB"),
        ("making one", "making", "us"),
        ("one mutation on each", "mutating", "us"),
    ]
    case = f"{crowd:,} machines, {kind.name}".replace("machines, ours with", "machines with")
    of = f" ({other.most:,} of them)" if other.most < crowd else ""
    return [
        Row(
            subject="machine",
            case=case.removesuffix(", ours"),
            figure=figure,
            unit=unit,
            ours=median([one[key] for one in mine]),
            yardstick=median([one[key] for one in theirs]),
            against=other.name + of,
            most=_KIB if unit == "KiB" and other is _BARE["bare"] else None,
        )
        for figure, key, unit in figures
    ]


async def weigh(given: dict[str, Any], orders: Orders) -> None:
    """A role: makes machines of one kind, and says what they weigh and take."""
    make, move = _maker(given["side"])
    kept = _made(make, _WARM)
    for one in kept:
        move(one)
    count = given["count"]
    gc.collect()
    gc.freeze()
    before, began = _resident(), time.thread_time()
    kept += _made(make, count)
    making = time.thread_time() - began
    resident = _resident() - before
    began = time.thread_time()
    for one in kept[_WARM:]:
        move(one)
    mutating = time.thread_time() - began
    traced = _traced(make, min(count, _TRACED))
    say(
        traced=traced / min(count, _TRACED) / 1024,
        resident=resident / count / 1024,
        making=making / count * 1e6,
        mutating=mutating / count * 1e6,
    )
    await until_closed(orders)


def _made(make: Callable[[], Any], count: int) -> list[Any]:
    return [make() for _ in range(count)]


def _traced(make: Callable[[], Any], count: int) -> int:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = _made(make, count)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return grown


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _maker(side: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """Functions that make one and that move one."""
    if side == "plain":
        return lambda: Machine(ours.TEN_STATES), lambda machine: machine.add("Busy")
    if side == "bound":
        return (
            lambda: Machine(ours.TEN_STATES, handlers=ours.Enters()),
            lambda machine: machine.add("Busy"),
        )
    if side == "bare":
        return bare.Flags, _set
    made: tuple[Callable[[], Any], Callable[[Any], object]]
    made = importlib.import_module(f"bench.machines.{side}").crowd()
    return made


def _set(flags: bare.Flags) -> None:
    flags.states[RING[0]] = True
