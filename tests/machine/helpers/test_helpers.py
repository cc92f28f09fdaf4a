"""Helpers that mutate, ask, and work in the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    MachineDisposed,
    Options,
    Schema,
    WaitTimeout,
    helpers,
)
from machine.errors import EvalTimeout
from machine.ready_made import Basic

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


def in_thread(function: Callable[[], object]) -> object:
    """The value or the error of a function in a thread of its own."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:  # noqa: BLE001 - for the caller
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return found[0]


# -- add_and_wait ------------------------------------------------------------------------


async def test_add_and_wait_says_whether_the_states_are_active() -> None:
    machine = make("A; B -C; C; D ?A")
    assert await helpers.add_and_wait(machine, "A", "B")
    assert not await helpers.add_and_wait(machine, "B", "C")
    assert not await helpers.add_and_wait(make("A; D ?A"), "D")
    assert await helpers.remove_and_wait(machine, "A")
    machine.dispose()
    assert not await helpers.add_and_wait(machine, "A")


async def test_add_and_wait_of_what_is_queued() -> None:
    """Another thread drains: it is queued, and awaited."""
    entered, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        go_on.wait(10)

    machine = make(handlers={"AState": hold}, options=Options(handler_timeout=60))
    thread = threading.Thread(target=machine.add, args=("A",))
    thread.start()
    await asyncio.to_thread(entered.wait, 10)
    with pytest.raises(WaitTimeout, match="the turn of add B"):
        await helpers.add_and_wait(machine, "B", timeout=0.01)
    task = asyncio.create_task(helpers.add_and_wait(machine, "C"))
    asyncio.get_running_loop().call_later(0.01, go_on.set)
    assert await task
    assert machine.is_("B")
    await asyncio.to_thread(thread.join, 10)


def test_blocking_ones_in_threads() -> None:
    machine = make("A; B ?C; C")
    assert helpers.add_and_wait(machine, "A", args={"n": 1}).wait()
    assert not helpers.add_and_wait(machine, "B").wait()
    assert helpers.remove_and_wait(machine, "A").wait()


def test_blocking_ones_are_refused_in_handlers() -> None:
    machine = make()
    machine.bind({"AState": lambda: helpers.add_and_wait(machine, "B").wait()})
    machine.add("A")
    assert isinstance(machine.err, InvalidArgument)
    assert "a handler cannot wait" in str(machine.err)
    assert machine.not_("A", "B")


async def test_blocking_ones_are_refused_in_event_loops() -> None:
    machine = make()
    with pytest.raises(InvalidArgument, match="Await it instead"):
        helpers.add_and_wait(machine, "A").wait()
    with pytest.raises(InvalidArgument, match="Await it instead"):
        helpers.wait_for_all(machine.when("A")).wait()
    assert machine.not_("A")


# -- add_then_wait_for -------------------------------------------------------------------


async def test_a_response_that_comes_at_once_is_not_missed() -> None:
    machine = make("Request; Response!")

    def answer(machine: AnyMachine) -> None:
        machine.add("Response")
        machine.remove("Response")

    machine.bind({"RequestState": answer})
    assert await helpers.add_then_wait_for(machine, "Request", "Response", timeout=5)
    assert machine.not_("Response")


async def test_a_response_from_before_does_not_count() -> None:
    machine = make("Request!; Response!")
    machine.add("Response")
    with pytest.raises(WaitTimeout, match="Response, after Request"):
        await helpers.add_then_wait_for(machine, "Request", "Response", timeout=0.01)
    asyncio.get_running_loop().call_soon(machine.add, "Response")
    assert await helpers.add_then_wait_for(machine, "Request", "Response", timeout=5)


async def test_a_rejected_request_is_not_waited_for() -> None:
    machine = make("Request ?Ready; Ready; Response")
    assert not await helpers.add_then_wait_for(machine, "Request", "Response")


def test_add_then_wait_for_in_a_thread() -> None:
    machine = make("Request ?Ready; Ready; Response")
    wait = helpers.add_then_wait_for
    assert not wait(machine, "Request", "Response").wait()
    machine.add("Ready")
    timer = threading.Timer(0.01, machine.add, ("Response",))
    timer.start()
    assert wait(machine, "Request", "Response", timeout=10).wait()
    with pytest.raises(WaitTimeout):
        wait(machine, "Ready", "Request", timeout=0.01).wait()
    timer.join()


# -- retry, ask, call --------------------------------------------------------------------


def sometimes(times: int) -> tuple[AnyMachine, list[int]]:
    """A machine that rejects A so many times."""
    tries: list[int] = []

    def enter() -> bool:
        tries.append(1)
        return len(tries) > times

    return make(handlers={"AEnter": enter}), tries


async def test_retry_until_it_is_not_canceled() -> None:
    machine, tries = sometimes(3)
    result = await helpers.retry_mutation(machine, "add", "A", delay=0.001)
    assert result.executed
    assert len(tries) == 4


async def test_retry_gives_up() -> None:
    machine, tries = sometimes(100)
    retry = helpers.retry_mutation
    assert (await retry(machine, "add", "A", retries=2, delay=0)).canceled
    assert len(tries) == 3
    assert (await retry(machine, "add", "A", delay=1, max_time=0.5)).canceled
    assert len(tries) == 4
    assert (await retry(machine, "add", "A", ctx=machine.state_ctx("B"), retries=0)).canceled
    machine.dispose()
    assert (await retry(machine, "add", "A")).canceled
    with pytest.raises(InvalidArgument, match="negative"):
        await retry(machine, "add", "A", retries=-1)


async def test_retry_ends_with_its_context() -> None:
    machine, tries = sometimes(100)
    ctx = machine.state_ctx("B")
    asyncio.get_running_loop().call_later(0.01, machine.add, "B")
    result = await helpers.retry_mutation(machine, "add", "A", delay=60, max_time=600, ctx=ctx)
    assert result.canceled
    assert len(tries) == 1


def test_retry_in_a_thread() -> None:
    machine, tries = sometimes(2)
    retry = helpers.retry_mutation
    assert retry(machine, "add", "A", delay=0.001).wait().executed
    assert retry(machine, "remove", "A").wait().executed
    assert retry(machine, "set", "B").wait().executed
    assert len(tries) == 3


def test_ask_before_mutating() -> None:
    machine, tries = sometimes(1)
    tick = machine.queue_tick
    assert helpers.ask_add(machine, "A").canceled
    assert machine.queue_tick == tick
    assert helpers.ask_add(machine, "A").executed
    assert len(tries) == 3
    machine.bind({"AExit": lambda: False})
    assert helpers.cant_remove(machine, "A")
    assert helpers.ask_remove(machine, "A").canceled
    assert helpers.ask_remove(machine, "B").executed
    assert not helpers.cant_add(machine, "B")


def test_call_gives_a_value() -> None:
    machine = make()
    assert helpers.call(machine, "test", lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        helpers.call(machine, "test", lambda: 1 // 0)
    seen: list[object] = []

    def state() -> None:
        with pytest.raises(InvalidArgument, match="directly"):
            helpers.call(machine, "test", lambda: 1)
        seen.append(in_thread(lambda: helpers.call(machine, "test", lambda: 1, timeout=0.01)))

    machine.bind({"AState": state})
    machine.add("A")
    assert isinstance(seen[0], EvalTimeout)
    assert machine.err is None
    machine.dispose()
    with pytest.raises(MachineDisposed):
        helpers.call(machine, "test", lambda: 1)


# -- groups, remove_multi, mirror --------------------------------------------------------


async def test_groups() -> None:
    machine = make(Schema({"A": None, "B": None, "C": None}, groups={"AB": ["A", "B"]}))
    assert helpers.states_of_group(machine, "AB") == ("A", "B")
    one, both = helpers.when_group(machine, "AB"), helpers.when_group(machine, "AB", every=True)
    machine.add("B", "C")
    assert helpers.in_group(machine, "AB") == ("B",)
    await one
    assert not both.done
    machine.add("A")
    await both
    with pytest.raises(InvalidArgument, match="did you mean 'AB'"):
        helpers.in_group(machine, "ABC")


def test_messages_are_removed_right_away() -> None:
    class Inbox:
        MessageState = helpers.remove_multi("Message")

    for handlers in (Inbox(), {"MessageState": helpers.remove_multi("Message")}):
        machine = make("Message!", handlers=handlers)
        for _ in range(3):
            assert machine.add("Message").executed
        assert machine.not_("Message")
        assert machine.tick("Message") == 6


def test_small_things() -> None:
    machine = make("A; B ?A")
    assert helpers.executed(machine.add("A")).executed
    machine.set()
    with pytest.raises(helpers.MutationCanceled, match="to begin B was canceled"):
        helpers.executed(machine.add("B"), "to begin B")
    assert helpers.implements(machine, ["A", "Exception"])
    assert helpers.implements(machine, machine.schema)
    assert not helpers.implements(machine, Basic)
    assert helpers.implements(make(Basic), Basic)
    tags = ["plain", "key:value", "key:other", "url:http://x"]
    found = [helpers.tag_value(tags, key) for key in ("plain", "key", "url", "none")]
    assert found == ["", "value", "http://x", None]


def test_a_mirror_shows_what_the_other_does() -> None:
    machine = make("A! -B; B -A; C ?B", id="m")
    machine.add("A")
    seen: list[Any] = []
    all_of_it = helpers.mirror(machine)
    some = helpers.mirror(machine, {"A": "Alive"}, id="some", flat=True)
    all_of_it.bind({"BState": lambda n=None: seen.append(n)})
    assert all_of_it.active == ("A",)
    assert some.active == ("Alive",)
    machine.add("A")
    assert all_of_it.tick("A") == 3
    assert some.tick("Alive") == 1
    machine.add("B", "C", args={"n": 5})
    assert set(all_of_it.active) == {"B", "C"}
    assert some.not_("Alive")
    assert seen == [5]
    assert (all_of_it.id, some.id) == ("m-mirror", "some")
    assert set(machine.children) == {all_of_it, some}
    machine.dispose()
    assert all_of_it.disposed
    assert some.disposed
