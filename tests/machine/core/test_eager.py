"""Async handlers as eager tasks, on Pythons that have them."""

from __future__ import annotations

import asyncio
import pickle
import sys
from typing import Any

import pytest

from machine import InvalidArgument, Machine, Options

OLD = sys.version_info < (3, 12)
SCHEMA = "A; B; C"


@pytest.mark.skipif(not OLD, reason="this Python has eager tasks")
def test_older_pythons_say_that_they_have_no_eager_tasks() -> None:
    with pytest.raises(InvalidArgument, match=r"Python 3\.12"):
        Options(eager=True)


needs_eager = pytest.mark.skipif(OLD, reason="eager tasks came with Python 3.12")


@needs_eager
async def test_a_handler_runs_to_its_first_wait_before_the_mutation_returns() -> None:
    seen: list[Any] = []

    class Door(Machine[Any], schema=SCHEMA):
        async def AState(self) -> None:
            seen.append((self.transition, self.add("B").executed, asyncio.current_task()))
            await asyncio.sleep(0)
            seen.append("went on")

    door = Door(options=Options(eager=True))
    assert door.add("A").executed
    ((transition, executed, task),) = seen
    assert transition is None
    assert executed
    assert task is not asyncio.current_task()
    await door.join()
    assert seen[1:] == ["went on"]


@needs_eager
async def test_a_timeout_in_a_handler_is_its_own() -> None:
    class Door(Machine[Any], schema=SCHEMA):
        async def AState(self) -> None:
            async with asyncio.timeout(0):
                await asyncio.sleep(10)

    door = Door(options=Options(eager=True))
    door.add("A")
    await door.when_err()
    assert isinstance(door.err, TimeoutError)


@needs_eager
async def test_an_error_before_the_first_wait_is_the_machines() -> None:
    class Door(Machine[Any], schema=SCHEMA):
        async def AState(self) -> None:
            raise LookupError("no key")

    door = Door(options=Options(eager=True))
    assert door.add("A").executed
    await door.when_err()
    assert isinstance(door.err, LookupError)


@needs_eager
async def test_a_handler_that_leaves_its_own_state_is_cancelled() -> None:
    ends: list[str] = []

    class Door(Machine[Any], schema=SCHEMA):
        async def AState(self) -> None:
            self.remove("A")
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

    door = Door(options=Options(eager=True))
    door.add("A")
    await door.join()
    assert ends == ["cancelled"]


@needs_eager
async def test_handlers_that_cause_each_other_let_the_loop_go_on() -> None:
    done = asyncio.Event()

    class PingPong(Machine[Any], schema={"A": {"remove": ["B"]}, "B": {"remove": ["A"]}}):
        turns = 0

        async def AState(self) -> None:
            self.turns += 1
            if self.turns < 5000:
                self.add("B")
            else:
                done.set()

        async def BState(self) -> None:
            self.add("A")

    machine = PingPong(options=Options(eager=True))
    machine.add("A")
    assert machine.turns < 5000
    await done.wait()


@needs_eager
def test_a_mutation_of_another_thread_begins_the_work_in_the_home_loop() -> None:
    loops: list[Any] = []

    class Door(Machine[Any], schema=SCHEMA):
        async def AState(self) -> None:
            loops.append(asyncio.get_running_loop())

    async def main() -> None:
        door = Door(options=Options(eager=True))
        assert (await asyncio.to_thread(door.add, "A")).executed
        await asyncio.sleep(0)
        await door.join()
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(main())


def test_options_of_before_are_unpickled() -> None:
    state = Options(handler_timeout=2.0).__getstate__()
    old = Options.__new__(Options)
    old.__setstate__(state[:7])
    assert old == Options(handler_timeout=2.0)
    assert pickle.loads(pickle.dumps(Options(catch=False))) == Options(catch=False)
