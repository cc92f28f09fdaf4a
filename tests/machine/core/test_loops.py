"""The home loop of a machine, and async work that does not run."""

import asyncio
import pickle
import threading
from typing import Any

import pytest

from machine import Machine, NoEventLoop
from machine.testing import wait_until


class Worker(Machine[object], schema="A; B; C"):
    """A machine whose A and B work until they end."""

    async def AState(self) -> None:
        began.append(asyncio.get_running_loop())
        await asyncio.Event().wait()

    async def BState(self) -> None:
        began.append(asyncio.get_running_loop())

    def CState(self) -> None:
        pass


began: list[asyncio.AbstractEventLoop] = []


@pytest.fixture(autouse=True)
def _nothing_began() -> None:
    began.clear()


def in_a_short_loop(machine: Machine[Any], *states: str) -> None:
    """Mutate in a loop of another thread, which ends at once."""

    async def mutate() -> None:
        machine.add(*states)
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(mutate()))
    thread.start()
    thread.join()


async def until(count: int) -> None:
    await wait_until(Machine("A"), lambda: len(began) >= count, timeout=5)


async def test_a_short_lived_loop_does_not_take_the_machine() -> None:
    machine, home = Worker(), asyncio.get_running_loop()
    await asyncio.to_thread(in_a_short_loop, machine, "A")
    await until(1)
    assert began == [home]
    assert machine.home_loop is home
    assert machine.idle_states == ()
    machine.add("B")
    await until(2)
    assert began == [home, home]
    assert machine.err is None
    machine.dispose()
    await machine.join()


def test_work_that_ended_with_its_loop_is_an_error_and_can_be_started_again() -> None:
    machine = Worker()
    in_a_short_loop(machine, "A")
    assert machine.is_("A")
    assert isinstance(machine.err, NoEventLoop)
    assert "AState was cancelled with its event loop" in str(machine.err)
    assert machine.idle_states == ("A",)

    async def again() -> None:
        assert machine.start_work() == ("A",)
        await until(2)
        assert machine.idle_states == ()
        assert machine.start_work() == ()
        machine.dispose()
        await machine.join()

    asyncio.run(again())


def test_a_closed_loop_is_named() -> None:
    machine = Worker()
    in_a_short_loop(machine, "B")
    assert machine.add("A").canceled
    assert "that of the machine is closed" in str(machine.err)


async def test_work_that_is_done_is_not_idle() -> None:
    machine = Worker()
    machine.add("A", "B", "C")
    await until(2)
    assert machine.idle_states == ()
    machine.remove("A")
    assert machine.idle_states == ()
    machine.dispose()
    await machine.join()


async def test_a_restored_machine_lists_and_starts_its_work() -> None:
    first = Worker(id="w")
    first.add("A", "B", "C")
    await until(2)
    imported: Worker = Worker(id="w")
    imported.import_(first.export())
    unpickled: Worker = pickle.loads(pickle.dumps(first))
    for machine in (imported, unpickled):
        before = len(began)
        assert set(machine.idle_states) == {"A", "B"}
        assert set(machine.start_work()) == {"A", "B"}
        await until(before + 2)
        assert machine.idle_states == ()
        assert machine.err is None
    for machine in (first, imported, unpickled):
        machine.dispose()
        await machine.join()


async def test_work_that_needs_arguments_cannot_be_started_again() -> None:
    async def work(url: str) -> None:
        pass

    machine: Machine[Any] = Machine("A", id="x", handlers={"AState": work})
    machine.add("A", args={"url": "u"})
    again: Machine[Any] = Machine("A", id="x", handlers={"AState": work})
    again.import_(machine.export())
    assert again.start_work() == ("A",)
    assert "wants the argument 'url'" in str(again.err)
    await machine.join()


async def test_work_that_a_user_cancels_is_listed_and_no_error() -> None:
    machine = Worker()
    machine.add("A")
    await until(1)
    (task,) = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    task.cancel()
    await machine.join()
    assert machine.err is None
    assert machine.idle_states == ("A",)
