"""Cost of a question, and of a mutation by the number of states."""

from __future__ import annotations

import asyncio
import time
import timeit
from collections.abc import Iterator
from typing import Any

from bench.machines import NONE, TEN, TWO, Side, ours, plain
from bench.machines.timing import Pair
from bench.model import Row
from machine import Machine

__all__ = ["pairs", "tasks"]

_TOGETHER = 20  # calls in the body of a loop, so that the loop does not count
_FLAT, _MOST = 1.2, 2.0  # what a mutation may take, in times of that among 2 states
_STATES = {10: _FLAT, 64: _FLAT, 512: _MOST}
_MUTATIONS = 1_000


def pairs() -> Iterator[Pair]:
    """The pairs to compare."""
    machine: Machine[Any] = Machine(ours.TEN_STATES)
    machine.add("Idle")
    empty = _call("f()", f=_nothing)
    for state, what in (("Idle", "an active state"), ("Busy", "an inactive state")):
        yield _pair("is_", what, "ns", _call(f"f({state!r})", f=machine.is_), empty, _CALL, 3.0)
    for handlers in (NONE, TWO):
        two = plain(ours.many_states(2, handlers))
        for count, most in _STATES.items():
            mine = plain(ours.many_states(count, handlers))
            case = f"{count} states, {handlers}"
            yield _pair(case, "a mutation", "us", mine, two, "among 2 states", most)
        mine = plain(ours.many_states(512, handlers, active=256))
        case = f"512 states, 256 of them active, {handlers}"
        yield _pair(case, "a mutation", "us", mine, two, "among 2 states")
    for count in _STATES:
        mine, theirs = ours.first_time(count), plain(ours.again(count))
        case = f"{count} states with relations"
        yield _pair(case, "a mutation for the first time", "us", mine, theirs, "when known")


_CALL = "a call of an empty function"


def _nothing() -> None: ...


def _call(statement: str, **names: object) -> Side:
    timer = timeit.Timer("; ".join([statement] * _TOGETHER), timer=time.thread_time, globals=names)
    return lambda count: timer.timeit(count // _TOGETHER)


def _pair(
    case: str,
    figure: str,
    unit: str,
    mine: Side,
    theirs: Side,
    against: str,
    most: float | None = None,
) -> Pair:
    row = Row(
        subject="machine",
        case=case,
        figure=figure,
        unit=unit,
        ours=0.0,
        against=against,
        most_ratio=most,
    )
    return Pair(row=row, ours=mine, theirs=theirs)


def tasks() -> Row:
    """Number of tasks that mutations make while no handler is async: none."""
    made = 0

    def count(loop: asyncio.AbstractEventLoop, work: Any, **given: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(work, loop=loop, **given)

    async def main() -> None:
        nonlocal made
        loop = asyncio.get_running_loop()
        loop.set_task_factory(count)
        alive = len(asyncio.all_tasks())
        for handlers in (NONE, TWO):
            ours.mutating(TEN, handlers)(_MUTATIONS // 2)
        made += len(asyncio.all_tasks()) - alive
        loop.set_task_factory(None)

    with asyncio.Runner() as runner:
        runner.run(main())
    return Row(
        subject="machine",
        case=f"{_MUTATIONS:,} mutations without async handlers",
        figure="tasks made",
        unit="tasks",
        ours=float(made),
        most=0,
    )
