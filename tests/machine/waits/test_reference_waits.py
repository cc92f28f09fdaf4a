"""Waits together with tasks and handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from machine.core.machine import Machine
from machine.core.transition import Transition
from machine.errors import MachineError
from machine.schema.schema import EXCEPTION
from machine.waits.contexts import StateContext
from machine.waits.result import Result
from machine.waits.wait import Wait
from tests.machine.vector_kit import AnyMachine, build, no_rels

SHORT = 0.01


async def test_57_tasks_of_a_state_bring_about_what_is_waited_for() -> None:
    machine = no_rels()

    async def state() -> None:
        await asyncio.sleep(SHORT)
        machine.add("B")
        await asyncio.sleep(SHORT)
        machine.add("C")

    machine.bind({"AState": state})
    machine.set("A")
    await machine.when("B", "C")
    assert set(machine.active) == {"A", "B", "C"}


async def test_61_waiting_for_the_end_of_states() -> None:
    machine = no_rels("B,C")

    async def state() -> None:
        await asyncio.sleep(SHORT)
        machine.remove("B")
        await asyncio.sleep(SHORT)
        machine.remove("C")

    machine.bind({"AState": state})
    machine.add("A")
    await machine.when_not("B", "C")
    assert machine.when_not("B").done
    assert machine.active == ("A",)
    assert not machine.is_err


async def test_66_background_work_sees_that_its_state_ended() -> None:
    machine = no_rels()
    signal = asyncio.Event()
    seen: list[tuple[bool, tuple[str, ...]]] = []
    tasks: list[asyncio.Task[None]] = []

    async def work(ctx: StateContext) -> None:
        await signal.wait()
        seen.append((ctx.expired, machine.active))

    def state(ctx: StateContext) -> None:
        assert ctx.state == "A"
        tasks.append(asyncio.get_running_loop().create_task(work(ctx)))

    machine.bind({"AState": state})
    machine.add("A")
    machine.remove("A")
    signal.set()
    await tasks[0]
    assert seen == [(True, ())]


def test_67_a_context_is_of_one_tick() -> None:
    machine = no_rels()
    machine.add("A")
    first = machine.state_ctx("A")
    assert not first.expired
    machine.remove("A")
    assert first.expired
    second = machine.state_ctx("B")
    assert not second.expired
    machine.add("B")
    assert second.expired
    assert machine.state_ctx("B") is machine.state_ctx("B")


def test_71_cancelled_waits() -> None:
    machine = build("A; B; C; D!", "A,B")
    waits = [
        machine.when_time(["A", "B"], [3, 3]),
        machine.when_ticks("A", 2),
        machine.when_ticks_eq("B", 3),
        machine.when_args("B", {"foo": "bar"}),
        machine.when("C"),
    ]
    assert not any(one.done for one in waits)
    for one in waits:
        one.cancel()
    assert all(one.done for one in waits)
    machine.add("D")
    with pytest.raises(MachineError):
        machine.when_time(["A", "B"], [1])
    assert machine.when_time(["A"], [1]).done


def test_74_each_who_asks_has_a_wait_of_his_own() -> None:
    machine = no_rels("A,B")
    questions: list[Callable[[], Wait]] = [
        lambda: machine.when_time(["A", "B"], [5, 2]),
        lambda: machine.when_args("B", {"foo": "bar"}),
        lambda: machine.when("C"),
        lambda: machine.when_not("A"),
    ]
    for ask in questions:
        mine, other = ask(), ask()
        mine.cancel()
        assert mine.done
        assert not other.done


async def test_86_the_end_of_the_queue() -> None:
    machine = no_rels()
    seen: list[Transition | None] = []
    waits: list[Wait] = []

    def state() -> None:
        seen.append(machine.transition)
        waits.append(machine.when_queue_ends())
        machine.add("B")
        assert not waits[0].done

    machine.bind({"AState": state})
    assert machine.add("A").executed
    assert seen[0] is not None
    assert machine.transition is None
    await waits[0]
    assert set(machine.active) == {"A", "B"}


async def test_87_a_queued_mutation_is_waited_for() -> None:
    machine = no_rels()
    seen: list[tuple[str, ...]] = []
    tasks: list[asyncio.Task[None]] = []

    async def follow(result: Result) -> None:
        await machine.when_queue(result)
        seen.append(machine.active)
        assert (await result).executed

    def state() -> None:
        machine.add("B")
        machine.add("C")
        tasks.append(asyncio.get_running_loop().create_task(follow(machine.add("D"))))

    machine.bind({"AState": state})
    machine.add("A")
    await tasks[0]
    assert set(seen[0]) == {"A", "B", "C", "D"}


def test_110_a_question_about_the_clock() -> None:
    machine = no_rels("A")

    def much(clock: Mapping[str, int]) -> bool:
        return clock["A"] > 4 * clock["B"]

    def less(clock: Mapping[str, int]) -> bool:
        return clock["A"] < clock["B"]

    machine.add("B")
    first, second = machine.when_query(much), machine.when_query(less)
    for call in (machine.remove, machine.add, machine.remove):
        call("A")
        assert not first.done
        assert not second.done
    machine.add("A")
    assert machine.tick("A") == 5
    assert first.done
    assert not second.done


def test_110_a_question_survives_another_order() -> None:
    machine = no_rels("A")
    wait = machine.when_query(lambda clock: clock["D"] == 1)
    machine.verify_states(["D", "C", "B", "A", EXCEPTION])
    assert not wait.done
    machine.add("C")
    assert not wait.done
    machine.add("D")
    assert wait.done


DIALOG = """
    Start; ButtonClicked ?Start; ShowingDialog -DialogVisible;
    DownloadingData* ?ShowingDialog -DataDownloaded; PreloaderVisible* ?DownloadingData;
    DataDownloaded -DownloadingData; DialogVisible ?DataDownloaded -ShowingDialog
"""


class Dialog(Machine[Any]):
    """A dialog that shows data once they have been fetched."""

    fetched = 0

    def ButtonClickedState(self, button: str) -> None:
        assert button == "red"
        self.add("ShowingDialog")
        self.remove("ButtonClicked")

    async def DownloadingDataState(self, ctx: StateContext) -> None:
        await asyncio.sleep(SHORT)
        assert not ctx.expired
        self.fetched += 1
        self.add("DataDownloaded")

    def DataDownloadedState(self) -> None:
        self.add("DialogVisible")


async def test_111_a_dialog() -> None:
    machine: AnyMachine = Dialog(DIALOG)
    machine.add("Start")
    for _ in range(3):
        machine.add("ButtonClicked", args={"button": "red"})
    await machine.when("DialogVisible")
    assert set(machine.active) == {"DialogVisible", "Start", "DataDownloaded"}
    assert isinstance(machine, Dialog)
    assert machine.fetched == 1
