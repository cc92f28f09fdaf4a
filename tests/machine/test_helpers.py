"""Helpers that mutate, ask, and work in the background."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    MachineDisposed,
    Options,
    Schema,
    UnknownState,
    WaitTimeout,
    helpers,
)
from machine.errors import EvalTimeout
from machine.helpers import Condition, Pool, StateLoop
from machine.ready_made import Basic

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


def in_thread(function: Callable[[], object]) -> object:
    """What a function gives or raises in a thread of its own."""
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
    assert helpers.add_and_wait_blocking(machine, "A", args={"n": 1})
    assert not helpers.add_and_wait_blocking(machine, "B")
    assert helpers.remove_and_wait_blocking(machine, "A")


def test_blocking_ones_are_refused_in_handlers() -> None:
    machine = make()
    machine.bind({"AState": lambda: helpers.add_and_wait_blocking(machine, "B")})
    machine.add("A")
    assert isinstance(machine.err, InvalidArgument)
    assert "in a handler" in str(machine.err)
    assert machine.not_("A", "B")


async def test_blocking_ones_are_refused_in_event_loops() -> None:
    machine = make()
    with pytest.raises(InvalidArgument, match="without _blocking"):
        helpers.add_and_wait_blocking(machine, "A")
    with pytest.raises(InvalidArgument, match="without _blocking"):
        helpers.wait_for_all_blocking(machine.when("A"))
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
    wait = helpers.add_then_wait_for_blocking
    assert not wait(machine, "Request", "Response")
    machine.add("Ready")
    timer = threading.Timer(0.01, machine.add, ("Response",))
    timer.start()
    assert wait(machine, "Request", "Response", timeout=10)
    with pytest.raises(WaitTimeout):
        wait(machine, "Ready", "Request", timeout=0.01)
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
    retry = helpers.retry_mutation_blocking
    assert retry(machine, "add", "A", delay=0.001).executed
    assert retry(machine, "remove", "A").executed
    assert retry(machine, "set", "B").executed
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


# -- conditions --------------------------------------------------------------------------


def test_conditions() -> None:
    machine = make()
    machine.add("A")
    assert Condition().check(machine)
    assert Condition(is_="A", any_=["A", "B"], not_="C", clock={"A": 1}).check(machine)
    for wrong in ({"is_": "B"}, {"any_": ["B", "C"]}, {"not_": "A"}, {"clock": {"A": 2}}):
        assert not Condition(**wrong).check(machine)
    with pytest.raises(UnknownState):
        Condition(is_="Z").check(machine)
    machine.dispose()
    assert not Condition(is_="A").check(machine)


async def test_a_condition_can_be_waited_for() -> None:
    machine = make()
    wait = Condition(is_="A", any_=["B", "C"], not_="Exception", clock={"A": 3}).when(machine)
    machine.add("A", "B")
    machine.remove("A")
    assert not wait.done
    machine.add("A")
    await wait
    with pytest.raises(UnknownState):
        Condition(clock={"Z": 1}).when(machine)


def test_conditions_are_values() -> None:
    condition = Condition(is_=["A", "B"], any_="C", not_="D", clock={"A": 1})
    data = json.loads(json.dumps(condition.to_dict()))
    assert data == {"is_": ["A", "B"], "any_": ["C"], "not_": ["D"], "clock": {"A": 1}}
    assert Condition.from_dict(data) == condition == pickle.loads(pickle.dumps(condition))
    assert hash(condition) == hash(Condition.from_dict(data))
    assert Condition().to_dict() == {}
    assert condition.states == ("A", "B", "C", "D")
    wrong: list[Any] = [{"other": 1}, {"clock": 3}, {"clock": {"A": "x"}}, {"is_": 5}, []]
    for one in wrong:
        with pytest.raises(InvalidArgument):
            Condition.from_dict(one)


def test_negotiation_by_conditions() -> None:
    class Rules:
        BEnter = helpers.accept_if(Condition(is_="A"))
        AExit = helpers.reject_if(lambda machine: machine.is_("B"))
        CEnter = helpers.needs_args("who", count=int)

    machine = make(handlers=Rules())
    assert machine.add("B").canceled
    assert machine.add("A").executed
    assert machine.add("B").executed
    assert machine.remove("A").canceled
    assert machine.add("C").canceled
    assert machine.add("C", args={"who": "me", "count": "many"}).canceled
    assert machine.add("C", args={"who": None, "count": 1}).canceled
    assert machine.add("C", args={"who": "me", "count": 1}).executed


# -- arguments ---------------------------------------------------------------------------


@dataclass
class Login:
    user: str = helpers.loggable()
    password: str = ""
    groups: list[str] = field(default_factory=list)
    note: str = helpers.loggable(default="-", how=str.upper, metadata={"more": 1})


def test_arguments_there_and_back() -> None:
    login = Login("ann", "secret")
    whole = {"user": "ann", "password": "secret", "groups": [], "note": "-"}
    assert helpers.args_to_dict(login) == whole
    assert helpers.args_to_dict(login, defaults=False) == {"user": "ann", "password": "secret"}
    assert helpers.args_to_dict(None) == {}
    assert helpers.args_to_dict({"x": 1}, defaults=False) == {"x": 1}
    assert helpers.args_from(Login, whole) == login
    assert helpers.args_from(Login, {"user": "ann", "other": 1}) == Login("ann")
    assert helpers.args_from(Login, login) is login
    with pytest.raises(InvalidArgument, match="did you mean 'user'"):
        helpers.args_from(Login, {"user": "ann", "usr": 1}, strict=True)
    with pytest.raises(InvalidArgument, match="needs 'user'"):
        helpers.args_from(Login, {})
    with pytest.raises(InvalidArgument, match="no dataclass"):
        helpers.args_from(dict, {})


def test_logs_show_what_they_may() -> None:
    login = Login("ann", "secret", note="hi")
    assert helpers.args_for_log(login) == {"user": "ann", "note": "HI"}
    assert helpers.args_for_log({"a": 1, "b": 2}, "b", "c") == {"b": "2"}
    assert helpers.args_for_log({"a": "x" * 200}, "a", longest=10) == {"a": "xxxxxxx..."}
    assert helpers.args_for_log(None) == {}


def test_arguments_match() -> None:
    assert helpers.args_match({"a": 1, "b": 2}, {"a": 1})
    assert not helpers.args_match({"a": 1}, {"a": 2})
    assert not helpers.args_match(None, {"a": None})
    assert helpers.args_match(Login("ann"), {"user": "ann"})


# -- in the background -------------------------------------------------------------------


async def test_sleep_ends_with_its_context() -> None:
    machine = make()
    ctx = machine.state_ctx("A")
    assert await helpers.sleep(ctx, 0)
    asyncio.get_running_loop().call_soon(machine.add, "A")
    assert not await helpers.sleep(ctx, 60)
    assert not await helpers.sleep(ctx, 60)


async def test_interval() -> None:
    machine = make()
    ctx = machine.state_ctx("A")
    calls: list[int] = []

    def three() -> bool:
        calls.append(1)
        return len(calls) < 3

    async def until_a() -> None:
        calls.append(1)
        if len(calls) == 5:
            machine.add("A")
        await asyncio.sleep(0)

    assert await helpers.interval(ctx, 0.001, three)
    assert len(calls) == 3
    assert await helpers.interval(ctx, 60, three, length=0.001)
    assert len(calls) == 3
    assert not await helpers.interval(ctx, 0.001, until_a)
    assert len(calls) == 5
    assert not await helpers.interval(ctx, 0.001, until_a)
    with pytest.raises(InvalidArgument, match="above 0"):
        await helpers.interval(ctx, 0, three)


async def test_healthchecks_and_what_comes_later() -> None:
    machine = make("Healthcheck!; A")
    ctx = machine.state_ctx("A")
    task = ctx.create_task(helpers.healthcheck(ctx, machine, 0.001))
    await machine.when_ticks_eq("Healthcheck", 5)

    async def value(number: int) -> int:
        return number

    assert await helpers.go_after(ctx, 0, value, 3) == 3
    assert await helpers.go_after(ctx, 0, lambda: "plain") == "plain"
    late = helpers.go_after(ctx, 60, pytest.fail, "the context has expired")
    machine.add("A")
    await asyncio.wait([task, late])
    assert late.cancelled()


async def test_a_loop_ends_with_its_state() -> None:
    rounds: list[int] = []

    async def state(machine: AnyMachine, ctx: Any) -> None:
        loop = StateLoop(ctx)
        while loop.ok():
            rounds.append(1)
            if len(rounds) == 3:
                machine.remove("A")
        rounds.append(0)

    machine = make(handlers={"AState": state})
    machine.add("A")
    await machine.when_ticks_eq("A", 2)
    assert rounds == [1, 1, 1, 0]
    assert machine.err is None


async def test_a_loop_that_runs_wild_is_an_error() -> None:
    async def state(ctx: Any) -> None:
        loop = StateLoop(ctx, threshold=10, window=60)
        while loop.ok():  # noqa: ASYNC110 - that is what is wrong with it
            await asyncio.sleep(0)

    machine = make(handlers={"AState": state})
    machine.add("A")
    await machine.when_err()
    assert isinstance(machine.err, helpers.BusyLoop)
    assert "10 rounds" in str(machine.err)
    with pytest.raises(InvalidArgument):
        StateLoop(machine.state_ctx("A"), threshold=0)


async def test_a_pool_has_a_limit() -> None:
    machine = make()
    pool = Pool(machine.state_ctx("A"), 2)
    running: set[int] = set()
    most: list[int] = []

    async def work(number: int, *, twice: bool = False) -> int:
        running.add(number)
        most.append(len(running))
        await asyncio.sleep(0)
        running.discard(number)
        return number * (2 if twice else 1)

    tasks = [pool.start(work, number, twice=True) for number in range(10)]
    assert pool.full
    assert pool.start_now(work, 0) is None
    await pool.join()
    assert [task.result() for task in tasks] == [2 * number for number in range(10)]
    assert max(most) == 2
    one = pool.start_now(work, 7)
    assert one is not None
    assert await one == 7


async def test_a_pool_ends_with_its_state() -> None:
    machine = make()
    machine.add("A")
    pool = Pool(machine.state_ctx("A"), 1)
    began: list[int] = []

    async def work(number: int) -> None:
        began.append(number)
        await asyncio.sleep(60)

    tasks = [pool.start(work, number) for number in range(3)]
    await asyncio.sleep(0)
    machine.remove("A")
    await pool.join()
    assert all(task.cancelled() for task in tasks)
    assert began == [0]
    assert pool.start_now(work, 4) is None
    assert len(pool) == 0


async def test_a_pool_goes_on_when_one_fails() -> None:
    machine = make()
    pool = Pool(machine.state_ctx("A"), 1)
    done: list[int] = []

    async def work(number: int) -> None:
        if not number:
            raise ValueError("zero")
        done.append(number)

    for number in range(3):
        pool.start(work, number)
    await pool.join()
    assert done == [1, 2]
    await machine.when_err()
    assert str(machine.err) == "zero"


# -- fan_out -----------------------------------------------------------------------------


async def test_workers_have_their_turns() -> None:
    fan = helpers.fan_out("Start; Fetch ?Start", "Fetch", 5)
    assert fan.schema.groups["FetchWorkers"] == fan.workers
    assert fan.schema["Fetch"].require == ("Start",)
    assert fan.schema.names[-1] == "Exception"
    machine = make(fan.schema)
    running: set[int] = set()
    most: list[int] = []

    async def work(number: int, ctx: Any) -> None:
        assert ctx.state == f"Fetch{number}"
        running.add(number)
        most.append(len(running))
        await asyncio.sleep(0)
        running.discard(number)

    fan.bind(machine, work, limit=2)
    machine.add("Start", "Fetch")
    await asyncio.wait_for(machine.when(fan.done), 5)
    assert max(most) == 2
    assert machine.is_(fan.dones)
    assert machine.not_(*fan.workers)
    machine.remove("Fetch")
    assert machine.active == ("Start",)
    machine.add("Fetch")
    await asyncio.wait_for(machine.when(fan.done), 5)
    assert len(most) == 10
    assert machine.err is None


async def test_workers_are_cancelled_with_the_whole() -> None:
    fan = helpers.fan_out("", "Fetch", 3)
    machine = make(fan.schema)
    ended: list[int] = []

    async def work(number: int, ctx: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    fan.bind(machine, work)
    machine.add("Fetch")
    await asyncio.sleep(0)
    machine.remove("Fetch")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(ended) == [1, 2, 3]
    assert not machine.active


async def test_a_worker_that_fails_leaves_the_others() -> None:
    fan = helpers.fan_out("", "Fetch", 3)
    machine = make(fan.schema)

    async def work(number: int, ctx: Any) -> None:
        if number == 1:
            raise ValueError("one")

    fan.bind(machine, work, limit=1)
    machine.add("Fetch")
    await asyncio.wait_for(machine.when("Fetch2Done", "Fetch3Done"), 5)
    assert machine.is_("Fetch1", "Exception")
    assert machine.not_(fan.done)


def test_wrong_fans() -> None:
    with pytest.raises(InvalidArgument, match="workers"):
        helpers.fan_out("", "Fetch", 0)
    with pytest.raises(InvalidArgument, match="Fetch1"):
        helpers.fan_out("Fetch1", "Fetch", 2)
    fan = helpers.fan_out("", "Fetch", 1)
    with pytest.raises(InvalidArgument, match="limit"):
        fan.bind(make(fan.schema), lambda n, ctx: asyncio.sleep(0), limit=0)
