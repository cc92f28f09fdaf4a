"""Actors alone, by the probe: no etcd, no peer, and time that passes when it is told to."""

import asyncio
import math
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.errors import (
    InvalidArgument,
    NotDelivered,
    RequestDropped,
    RequestFailed,
    StateFenced,
    UnexpectedReply,
)
from grid.state import MemoryStore
from grid.testing import ActorProbe, VirtualClock


@dataclass
class Rates:
    factor: int = 10


class Meter:
    """Counts, reports each minute, and asks others."""

    def __init__(self, data: bytes, rates: Rates) -> None:
        self.used = int(data or b"0")
        self.rates = rates

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.ctx = ctx
        self.used = (await ctx.state.load(Int64Value) or Int64Value(value=self.used)).value
        ctx.every(60.0, self.report)

    async def report(self) -> None:
        await self.ctx.client.tell("ledger", Int64Value(value=self.used))
        self.used = 0

    @grid.handler
    async def use(self, units: Int64Value) -> Int64Value:
        if units.value < 0:
            raise ValueError("negative")
        self.used += units.value * self.rates.factor
        await self.ctx.state.save(Int64Value(value=self.used))
        return Int64Value(value=self.used)

    @grid.handler
    async def ask(self, question: StringValue) -> StringValue:
        return await self.ctx.client.request("oracle", question, reply=StringValue)


async def test_handlers_resources_and_timers_in_virtual_time() -> None:
    async with ActorProbe(Meter, data=b"1", resources=[Rates(2)]) as meter:
        assert (await meter.request(Int64Value(value=3), reply=Int64Value)).value == 7
        await meter.clock.advance(59)
        assert meter.client.sent == []
        await meter.clock.advance(121)
        assert meter.client.sent == [("ledger", Int64Value(value=value)) for value in (7, 0, 0)]
        with pytest.raises(RequestFailed, match="negative"):
            await meter.request(Int64Value(value=-1))
        with pytest.raises(UnexpectedReply):
            await meter.request(Int64Value(value=1), reply=StringValue)


async def test_the_fake_client_answers_as_it_is_told() -> None:
    async with ActorProbe(Meter, resources=[Rates()]) as meter:
        with pytest.raises(RequestFailed) as raised:
            await meter.request(StringValue(value="why"))
        assert isinstance(raised.value.cause, NotDelivered)
        meter.client.answer("oracle", lambda question: StringValue(value=question.value + "!"))
        assert (await meter.request(StringValue(value="why"))).value == "why!"
        assert meter.client.sent[-1] == ("oracle", StringValue(value="why"))
        with pytest.raises(AttributeError, match="has no 'broadcast'"):
            _ = meter.client.broadcast


async def test_a_state_outlives_a_probe_and_fences_older_ones() -> None:
    store = MemoryStore()
    first = ActorProbe(Meter, resources=[Rates(), store], epoch=1)
    second = ActorProbe(Meter, resources=[Rates(), store], epoch=2)
    async with first:
        await first.request(Int64Value(value=1))
        async with second:
            assert (await second.request(Int64Value(value=1))).value == 20
            with pytest.raises(RequestFailed) as raised:
                await first.request(Int64Value(value=1))
            assert isinstance(raised.value.cause, StateFenced)


async def test_the_loop_style_and_an_actor_that_fails() -> None:
    async def fragile(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(request.message)
            async for _ in ctx.mailbox:
                raise OSError("no disk")

    probe = ActorProbe(fragile)
    async with probe:
        assert await probe.request(StringValue(value="a")) == StringValue(value="a")
        with pytest.raises(RequestDropped):
            await probe.request(StringValue(value="b"))
        with pytest.raises(OSError, match="no disk"):
            await probe.stop()


async def test_a_clock_that_nothing_sleeps_by_goes_on() -> None:
    clock = VirtualClock()
    await clock.advance(5)
    assert clock.time() == 5
    await clock.sleep(0)
    for seconds in (-1, math.nan):
        with pytest.raises(InvalidArgument):
            await clock.advance(seconds)


class Log(list[str]):
    """The reminders that came."""


class Shop:
    """Opens again and again, until it is reminded to close."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @grid.handler
    async def order(self, seconds: Int64Value, ctx: grid.ActorContext) -> None:
        await ctx.remind("open", StringValue(value="open"), every=float(seconds.value))
        await ctx.remind("close", StringValue(value="close"), after=90.0)

    @grid.handler
    async def reminded(
        self, text: StringValue, request: grid.Request[StringValue], ctx: grid.ActorContext
    ) -> None:
        self.log.append(f"{text.value} {request.metadata['grid-reminder-due']}")
        if text.value == "close":
            assert await ctx.forget("open")
            raise ValueError("a failed answer counts as one")


async def test_reminders_come_in_virtual_time() -> None:
    log = Log()
    async with ActorProbe(Shop, resources=[log], name="shop") as shop:
        with pytest.raises(RequestFailed, match="every"):
            await shop.request(Int64Value(value=0))
        await shop.request(Int64Value(value=60))
        await shop.clock.advance(45)
        await shop.request(Int64Value(value=30))  # in the place of the ones before
        found = await shop.context.reminders()
        assert [(one.name, one.due, one.every) for one in found] == [
            ("close", 135.0, 0.0),
            ("open", 75.0, 30.0),
        ]
        await shop.clock.advance(3600)
        assert log == ["open 75.000", "open 105.000", "close 135.000"]
        assert not await shop.context.reminders()
        assert not await shop.context.forget("open")


class Patrol:
    """Goes round, and has itself reminded of the next round before the end of this one."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @grid.handler
    async def round(self, number: Int64Value, ctx: grid.ActorContext) -> None:
        await ctx.remind("round", Int64Value(value=number.value + 1), after=60.0)
        for _ in range(10):
            await asyncio.sleep(0)
        self.log.append(f"round {number.value}")


async def test_a_reminder_that_is_replaced_while_it_is_handled_is_handled() -> None:
    log = Log()
    async with ActorProbe(Patrol, resources=[log]) as patrol:
        await patrol.request(Int64Value(value=1))
        for number in (2, 3):
            await patrol.clock.advance(60)
            assert log[-1] == f"round {number}"
