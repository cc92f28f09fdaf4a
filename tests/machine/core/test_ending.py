"""The end of a machine is complete, whatever handlers, functions and submachines do in it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from machine import Machine, Options

AnyMachine = Machine[Any]

STRICT = Options(catch=False)


class Interrupt(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


def fail() -> None:
    raise OSError("cable")


def test_an_interrupt_of_an_on_dispose_function_comes_out_of_a_complete_end() -> None:
    seen: list[str] = []

    def interrupt() -> None:
        raise Interrupt

    machine: AnyMachine = Machine("A")
    machine.on_dispose(interrupt)
    machine.on_dispose(lambda: seen.append("second"))
    gone = machine.when_disposed()
    with pytest.raises(Interrupt):
        machine.dispose()
    assert (machine.disposed, gone.done, seen) == (True, True, ["second"])


def test_a_submachine_that_fails_to_end_keeps_nothing_else_alive() -> None:
    seen: list[str] = []
    house: AnyMachine = Machine("A")
    lamp: AnyMachine = Machine("Start", handlers={"StartEnd": fail}, options=STRICT, parent=house)
    other: AnyMachine = Machine("Start", parent=house)
    lamp.add("Start")
    house.on_dispose(lambda: seen.append("house"))
    gone, wait = house.when_disposed(), house.when("A")
    with pytest.raises(OSError, match="cable"):
        house.dispose()
    assert house.disposed
    assert lamp.disposed
    assert other.disposed
    assert (gone.done, wait.done, seen) == (True, True, ["house"])


async def test_work_that_begins_after_dispose_now_is_cancelled() -> None:
    seen: list[str] = []

    class Lamp(Machine[Any], schema="A; B >A"):
        def AState(self) -> None:
            self.dispose_now()

        async def BState(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                seen.append("ended")

    lamp = Lamp()
    lamp.add("A", "B")
    await asyncio.wait_for(lamp.join(), 5)
    assert lamp.active == ()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_waits_for_the_end_are_forgotten_and_awaited_ones_are_not() -> None:
    machine: AnyMachine = Machine("A")
    forgotten = [weakref.ref(machine.when_disposed()) for _ in range(3)]
    kept = machine.when_disposed()

    async def wait() -> None:
        await machine.when_disposed()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    gc.collect()
    assert [one() for one in forgotten] == [None, None, None]
    machine.dispose()
    await asyncio.wait_for(task, 5)
    assert kept.done


def test_a_submachine_of_a_machine_that_has_ended_ends_at_once() -> None:
    house: AnyMachine = Machine("A")
    house.dispose()
    assert Machine("A", parent=house).disposed
