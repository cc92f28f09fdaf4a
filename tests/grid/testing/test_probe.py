"""Actors alone, by the probe: no etcd, no peer, and time that passes when it is told to."""

from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.errors import NotDelivered, RequestDropped, RequestFailed, StateFenced, UnexpectedReply
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
