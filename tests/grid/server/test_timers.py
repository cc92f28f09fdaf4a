"""Timers and logs of actors: in their order of events, until they end, with their name on it."""

import asyncio
import logging

import pytest

import grid
from grid.errors import InvalidArgument
from grid.testing import wait_until
from grid.timers import Timers
from grid.wire_pb2 import EchoMsg

LOG = logging.getLogger("test.timers")


async def test_timers_of_an_actor_end_with_it(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    ticks: list[str] = []

    @grid_server.actor("clock")
    class Clock:
        async def on_start(self, ctx: grid.ActorContext) -> None:
            ctx.every(0.01, lambda: ticks.append("every"))
            ctx.after(0.01, self.once)

        async def once(self) -> None:
            ticks.append("once")

        @grid.handler
        async def ask(self, message: EchoMsg) -> EchoMsg:
            return message

    await grid_client.start_actor("clock")
    await wait_until(lambda: ticks.count("every") >= 3, "three ticks")
    await grid_client.request("clock", EchoMsg())
    assert ticks.count("once") == 1
    await grid_client.stop_actor("clock")
    seen = len(ticks)
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("timer")]
    assert len(ticks) == seen


async def test_a_timer_takes_its_turn_among_the_requests(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    events: list[str] = []
    begun, go_on, timed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @grid_server.actor("orderly")
    class Orderly:
        @grid.handler
        async def work(self, message: EchoMsg, ctx: grid.ActorContext) -> None:
            events.append(f"begin {message.msg}")
            ctx.after(0, self.timer)
            begun.set()
            await go_on.wait()
            events.append(f"end {message.msg}")

        async def timer(self) -> None:
            events.append("begin timer")
            await asyncio.sleep(0)
            events.append("end timer")
            timed.set()

    await grid_client.start_actor("orderly", name="o")
    first = asyncio.create_task(grid_client.request("o", EchoMsg(msg="1")))
    second = asyncio.create_task(grid_client.request("o", EchoMsg(msg="2")))
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, second)
    await timed.wait()
    pairs = list(zip(events[::2], events[1::2], strict=True))
    assert all(begin.removeprefix("begin") == end.removeprefix("end") for begin, end in pairs)
    assert ("begin timer", "end timer") in pairs


async def test_actors_with_a_loop_of_their_own_have_timers(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    fired = asyncio.Event()

    @grid_server.actor("loop", mailbox=4)
    async def loop(ctx: grid.ActorContext) -> None:
        ctx.after(0.01, fired.set)
        async for request in ctx.mailbox:
            request.ack()

    await grid_client.start_actor("loop")
    await asyncio.wait_for(fired.wait(), 5)
    await grid_client.request("loop", EchoMsg())


async def test_no_timer_outlives_its_actor(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    held: list[grid.ActorContext] = []

    @grid_server.actor("short")
    async def short(ctx: grid.ActorContext) -> None:
        held.append(ctx)

    await grid_client.start_actor("short")

    async def gone() -> bool:
        return not await grid_client.query("actor")

    await wait_until(gone, "it has ended")
    timer = held[0].every(0.001, lambda: held.clear())
    assert not timer.active
    timer.cancel()
    assert "had ended" in repr(timer)


async def test_an_error_of_a_call_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    timers, calls = Timers("n.actor.a", LOG), list[int]()

    def fails() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no disk")
        if len(calls) == 2:
            raise SystemExit(3)

    timer = timers.start(0.005, fails, again=True)
    await wait_until(lambda: len(calls) >= 3, "it goes on")
    assert timer.active
    timer.cancel()
    await timers.close()
    assert not timer.active
    assert "a timer of actor n.actor.a failed" in caplog.text
    assert "SystemExit(3)" in caplog.text


async def test_a_call_may_cancel_its_own_timer() -> None:
    timers, calls = Timers("n.actor.a", LOG), list[str]()

    async def once() -> None:
        timer.cancel()
        calls.append("begun")
        await asyncio.sleep(0)
        calls.append("never")

    timer = timers.start(0.001, once, again=True)
    await wait_until(lambda: not timer.active, "it ends")
    assert calls[0] == "begun"
    await timers.close()


async def test_calls_that_come_due_during_a_call_are_skipped() -> None:
    timers, begun = Timers("n.actor.a", LOG), []
    go_on = asyncio.Event()

    async def slow() -> None:
        begun.append(asyncio.get_running_loop().time())
        await go_on.wait()

    timers.start(0.01, slow, again=True)
    await wait_until(lambda: bool(begun), "the first call")
    await asyncio.sleep(0.1)  # ten come due
    go_on.set()
    await wait_until(lambda: len(begun) >= 3, "further calls")
    # The rhythm goes on, and none is made up for.
    beats = [round((one - begun[0]) / 0.01) for one in begun]
    assert beats[1] >= 10
    await timers.close()


async def test_turns_go_round_in_the_order_of_asking() -> None:
    turns, order = Timers("n.actor.a", LOG).turns, []

    async def take(name: str) -> None:
        await turns.take()
        order.append(name)
        await asyncio.sleep(0)
        turns.give()

    await turns.take()
    tasks = [asyncio.create_task(take(name)) for name in "abcd"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    turns.give()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "c", "d"]
    assert not turns.busy


@pytest.mark.parametrize("seconds", [-1, "1", None, float("nan"), True])
async def test_wrong_times_are_refused(seconds: object) -> None:
    with pytest.raises(InvalidArgument, match="the time of a timer"):
        Timers("n.actor.a", LOG).start(seconds, print, again=False)  # type: ignore[arg-type]


async def test_wrong_calls_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="above 0"):
        Timers("n.actor.a", LOG).start(0, print, again=True)
    with pytest.raises(InvalidArgument, match="the call of a timer"):
        Timers("n.actor.a", LOG).start(1, "tick", again=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a function without arguments"):
        Timers("n.actor.a", LOG).start(1, len, again=True)  # type: ignore[arg-type]


async def test_lines_of_an_actor_say_whose_they_are(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    @grid_server.actor("talker")
    class Talker:
        @grid.handler
        async def say(self, message: EchoMsg, ctx: grid.ActorContext) -> None:
            ctx.log.warning("said %s", message.msg, extra={"order": 7})

    await grid_client.start_actor("talker", name="t")
    await grid_client.request("t", EchoMsg(msg="hello"))
    (actor,) = await grid_client.query("actor")
    (record,) = [one for one in caplog.records if one.name == "grid.actor"]
    full = f"{grid_client.namespace}.actor.t"
    assert record.getMessage() == f"{full}@{actor.epoch} on {actor.peer}: said hello"
    keys = ("actor", "actor_type", "actor_name", "epoch", "peer", "order")
    told = {key: record.__dict__[key] for key in keys}
    assert told == {
        "actor_name": "t",
        "actor": full,
        "actor_type": "talker",
        "epoch": actor.epoch,
        "peer": actor.peer,
        "order": 7,
    }
