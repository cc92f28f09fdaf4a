"""Waiting for several things at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest

from machine import InvalidArgument, Machine, MachineDisposed, MachineError, WaitTimeout, helpers

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


async def later(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def test_all_of_many_kinds() -> None:
    machine = make()
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    there: concurrent.futures.Future[str] = concurrent.futures.Future()
    loop = asyncio.get_running_loop()
    loop.call_soon(machine.add, "A")
    loop.call_soon(future.set_result, "future")
    loop.call_soon(there.set_result, "thread")
    found = await helpers.wait_for_all(
        machine.when("A"), machine.add("B"), later(1), future, there, timeout=5
    )
    assert found[0] is None
    assert found[1].executed
    assert found[2:] == [1, "future", "thread"]
    assert await helpers.wait_for_all() == []


async def test_a_timeout_names_what_is_open() -> None:
    machine = make()
    machine.add("A")
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waits = machine.when("A"), machine.when("B", "C"), future, asyncio.Event().wait()
    with pytest.raises(WaitTimeout) as caught:
        await helpers.wait_for_all(*waits, timeout=0.01)
    assert "3 of 4: B C; <Future pending" in str(caught.value)
    assert "Event.wait()" in str(caught.value)
    assert caught.value.timeout == 0.01
    assert not future.done()
    assert not waits[1].done
    machine.add("B", "C")
    await waits[1]


async def test_no_time_at_all_is_enough_for_what_is_done() -> None:
    machine = make()
    machine.add("A")
    await helpers.wait_for_all(machine.when("A"), timeout=0)
    with pytest.raises(WaitTimeout):
        await helpers.wait_for_any(machine.when("B"), timeout=0)


async def test_any_says_which() -> None:
    machine = make()
    never, soon = machine.when("A"), machine.when("B")
    asyncio.get_running_loop().call_soon(machine.add, "B")
    came = await helpers.wait_for_any(never, soon, later(3), timeout=5)
    assert came.position in (1, 2)
    assert came.value == (3 if came.position == 2 else None)
    assert not never.done
    position, what, value = await helpers.wait_for_any(never, soon)
    assert (position, what, value) == (1, soon, None)
    with pytest.raises(InvalidArgument, match="nothing"):
        await helpers.wait_for_any()
    with pytest.raises(WaitTimeout, match="1 of 1: A;"):
        await helpers.wait_for_any(never, timeout=0.001)


async def test_errors_come_out() -> None:
    async def fails() -> None:
        raise ValueError("mine")

    machine, other = make(), make()
    with pytest.raises(ValueError, match="mine"):
        await helpers.wait_for_all(machine.when("A"), fails())
    with pytest.raises(ValueError, match="mine"):
        await helpers.wait_for_any(machine.when("A"), fails())
    asyncio.get_running_loop().call_soon(other.dispose)
    with pytest.raises(MachineDisposed):
        await helpers.wait_for_all(machine.when("A"), other.when("A"))
    with pytest.raises(InvalidArgument, match="cannot be awaited"):
        await helpers.wait_for_all(later(1), 5)  # type: ignore[arg-type]


async def test_the_machines_error_ends_it() -> None:
    machine = make()
    error = ValueError("broken")
    asyncio.get_running_loop().call_soon(machine.add_err, error)
    with pytest.raises(ValueError, match="broken"):
        await helpers.wait_for_all(machine.when("A"), machine=machine, timeout=5)
    with pytest.raises(ValueError, match="broken"):
        await helpers.wait_for_any(machine.when("A"), machine=machine)
    plain = make()
    plain.add("Exception")
    with pytest.raises(MachineError, match="no error"):
        await helpers.wait_for_all(plain.when("A"), machine=plain)
    ended = make()
    asyncio.get_running_loop().call_soon(ended.dispose)
    with pytest.raises(MachineDisposed):
        await helpers.wait_for_all(later(1), machine.when("B"), machine=ended)


async def test_what_is_done_counts_more_than_an_error() -> None:
    machine = make()
    machine.add("A")
    wait = machine.when("A")
    machine.add_err(ValueError("broken"))
    assert await helpers.wait_for_all(machine.add("B"), wait) != []
    assert (await helpers.wait_for_any(asyncio.sleep(0), wait)).position in (0, 1)


async def test_cancelling_leaves_waits_and_tasks_alone() -> None:
    machine = make()
    wait = machine.when("A")
    own = asyncio.create_task(asyncio.Event().wait())
    inner = asyncio.Event()
    left: list[str] = []

    async def coroutine() -> None:
        inner.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.append("left")

    task = asyncio.create_task(helpers.wait_for_all(wait, own, coroutine(), machine=machine))
    await inner.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left == ["left"]
    assert not own.done()
    assert not wait.done
    own.cancel()
    machine.add("A")
    await wait


async def test_across_machines() -> None:
    machines = [make() for _ in range(3)]
    waits = helpers.group_when(machines, "A")
    for machine in machines[1:]:
        machine.add("A")
    assert (await helpers.wait_for_any(*waits)).position == 1
    machines[0].add("A")
    await helpers.wait_for_all(*waits)


# -- threads -----------------------------------------------------------------------------


def test_threads_wait_for_all() -> None:
    machine = make()
    timer = threading.Timer(0.01, machine.add, ("A", "B"))
    timer.start()
    waits = machine.when("A"), machine.when("B"), machine.add("C")
    first, second, result = helpers.wait_for_all(*waits, timeout=10, machine=machine).wait()
    assert first is second is None
    assert result.executed
    assert machine.is_("A", "B", "C")
    timer.join()


def test_threads_wait_for_any() -> None:
    machine = make()
    timer = threading.Timer(0.01, machine.add, ("B",))
    timer.start()
    came = helpers.wait_for_any(machine.when("A"), machine.when("B"), timeout=10).wait()
    assert came.position == 1
    timer.join()
    with pytest.raises(WaitTimeout, match="1 of 1: A;"):
        helpers.wait_for_any(machine.when("A"), timeout=0.001).wait()
    with pytest.raises(InvalidArgument, match="a thread can wait"):
        helpers.wait_for_any(machine.when("B"), later(1)).wait()
    with pytest.raises(InvalidArgument, match="cannot be awaited"):
        helpers.wait_for_any(machine.when("B"), [])  # type: ignore[arg-type]


def test_a_thread_hears_of_the_machines_error() -> None:
    machine = make()
    timer = threading.Timer(0.01, machine.add_err, (ValueError("broken"),))
    timer.start()
    with pytest.raises(ValueError, match="broken"):
        helpers.wait_for_all(machine.when("A"), machine=machine, timeout=10).wait()
    timer.join()


def test_threads_do_not_wait_in_handlers() -> None:
    machine = make()
    wait = machine.when("B")
    machine.bind({"AState": lambda: helpers.wait_for_all(wait, machine=machine).wait()})
    machine.add("A")
    assert isinstance(machine.err, InvalidArgument)
