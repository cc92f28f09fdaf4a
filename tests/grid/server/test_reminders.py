"""Reminders come when they are due, to actors that run and to those that have to be started."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import DoubleValue, StringValue

import grid
from grid.embedded import Etcd
from grid.errors import (
    EtcdUnavailable,
    InvalidArgument,
    InvalidName,
    LeaseLost,
    MessageTooLarge,
    UnregisteredMailbox,
    UnsupportedMessage,
)
from grid.etcd import EtcdClient, api_pb2
from grid.registry.reminders import marker_key, reminder_key
from grid.server.reminders import ReminderSender
from grid.sync import BlockingContext
from grid.testing import wait_until

Servers = Callable[..., grid.Server]


class Alarms:
    """Servers with a type of actors that ask to be reminded, and what came."""

    def __init__(self, make: Servers) -> None:
        self._make = make
        self.rings: list[tuple[str, str, float]] = []
        self.contexts: dict[str, grid.ActorContext] = {}

    async def add(self, **options: Any) -> grid.Server:
        alarms, server = self, self._make()

        @server.actor("alarm", **options)
        class Alarm:
            def __init__(self, data: bytes) -> None:
                self.data = data

            async def on_start(self, ctx: grid.ActorContext) -> None:
                alarms.contexts[ctx.name] = ctx

            @grid.handler
            async def set(self, after: DoubleValue, ctx: grid.ActorContext) -> None:
                await ctx.remind("ring", StringValue(value="wake up"), after=after.value)

            @grid.handler
            async def ring(
                self, text: StringValue, ctx: grid.ActorContext, request: grid.Request[StringValue]
            ) -> None:
                assert request.metadata["grid-reminder"] == "ring"
                late = time.time() - float(request.metadata["grid-reminder-due"])
                alarms.rings.append((ctx.name, text.value + self.data.decode(), late))
                if text.value == "fail":
                    raise ValueError("it fails")

        await server.start()
        return server

    async def rung(self, count: int = 1) -> list[tuple[str, str]]:
        await wait_until(lambda: len(self.rings) >= count, f"{count} rings", timeout=30)
        return [(name, text) for name, text, _ in self.rings]


@pytest.fixture
async def alarms(
    grid_servers: Servers, grid_namespace: str, grid_etcd: Etcd
) -> AsyncIterator[Alarms]:
    """Alarms; their reminders are forgotten at the end."""
    yield Alarms(grid_servers)
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        for one in await client.reminders():
            await client.forget_reminder(one.actor, one.name)
        await unmarked(client)  # the sender may learn of the last one a little later


async def nothing_waits(client: grid.Client) -> None:
    async def empty() -> bool:
        return not await client.reminders()

    await wait_until(empty, "no reminder waits", timeout=30)


async def unmarked(client: grid.Client) -> None:
    async def gone() -> bool:
        return await client.etcd.get(marker_key(client.namespace)) is None

    await wait_until(gone, "the mark to go", timeout=30)


async def test_a_reminder_comes_once_when_it_is_due(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    await grid_client.request("alarm", DoubleValue(value=0.3))
    [waiting] = await grid_client.reminders("alarm")
    assert (waiting.actor, waiting.name, waiting.type, waiting.every) == (
        "alarm",
        "ring",
        "alarm",
        0,
    )
    assert await alarms.rung() == [("alarm", "wake up")]
    assert alarms.rings[0][2] >= 0
    await nothing_waits(grid_client)
    assert len(alarms.rings) == 1


async def test_an_actor_that_has_ended_is_started_with_its_bytes(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    for _ in range(2):
        await alarms.add()
    await grid_client.start_actor("alarm", name="eve", data=b"!")
    await grid_client.request("eve", DoubleValue(value=0.5))
    await grid_client.stop_actor("eve")
    assert await alarms.rung() == [("eve", "wake up!")]
    await nothing_waits(grid_client)


async def test_a_repeated_reminder_comes_until_it_is_forgotten(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add(activate=True)
    with pytest.raises(UnregisteredMailbox):
        await grid_client.request("nobody", DoubleValue(value=0))
    await grid_client.request("alarm-a", DoubleValue(value=60))
    ctx = alarms.contexts["alarm-a"]
    first = await ctx.remind("ring", StringValue(value="again"), after=0, every=1)
    await alarms.rung(2)
    [waiting] = await ctx.reminders()
    periods = (waiting.due - first.due) / 1.0
    assert periods >= 1
    assert periods == pytest.approx(round(periods), abs=0.01)  # it keeps its rhythm
    assert await ctx.forget("ring")
    assert not await ctx.forget("ring")
    seen = len(alarms.rings)
    await asyncio.sleep(1.5)  # longer than its period, in which nothing may happen
    assert len(alarms.rings) <= seen + 1  # the one that was under way


async def test_a_forgotten_or_replaced_reminder_does_not_come(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    await grid_client.request("alarm", DoubleValue(value=0.6))
    ctx = alarms.contexts["alarm"]
    assert await grid_client.forget_reminder("alarm", "ring")
    await ctx.remind("ring", StringValue(value="first"), after=0.6)
    await ctx.remind("ring", StringValue(value="second"), after=0.7)
    assert await alarms.rung() == [("alarm", "second")]
    await nothing_waits(grid_client)
    assert len(alarms.rings) == 1


async def test_a_failed_answer_counts_and_the_error_is_shown(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    await grid_client.request("alarm", DoubleValue(value=60))
    ctx = alarms.contexts["alarm"]
    await ctx.remind("ring", StringValue(value="fail"), after=0, every=3600)

    async def noted() -> bool:
        [one] = await grid_client.reminders()
        return "it fails" in one.error

    await wait_until(noted, "the error is noted", timeout=30)
    assert len(alarms.rings) == 1


async def test_a_reminder_for_a_type_that_no_peer_offers_is_shown_and_tried_again(
    alarms: Alarms, grid_servers: Servers, grid_client: grid.Client
) -> None:
    other = grid_servers()

    @other.actor("rest")
    async def rest(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    await other.start()
    first = await alarms.add()
    await grid_client.start_actor("alarm", peer=first.name)
    await grid_client.request("alarm", DoubleValue(value=0.5))
    await first.stop()

    async def noted() -> bool:
        [one] = await grid_client.reminders()
        return "UnknownActorType" in one.error or "NotPlaced" in one.error

    await wait_until(noted, "the error is noted", timeout=30)
    await alarms.add()
    assert await alarms.rung() == [("alarm", "wake up")]
    await nothing_waits(grid_client)


async def test_an_owner_that_has_lost_its_name_sets_no_reminder(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    await grid_client.request("alarm", DoubleValue(value=60))
    ctx = alarms.contexts["alarm"]
    await grid_client.stop_actor("alarm")
    with pytest.raises(LeaseLost):
        await ctx.remind("ring", StringValue(), after=1)


async def test_wrong_arguments_are_refused_where_they_are_given(
    alarms: Alarms, grid_servers: Servers, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    await grid_client.request("alarm", DoubleValue(value=60))
    remind: Any = alarms.contexts["alarm"].remind
    for wrong in ({}, {"after": -1}, {"after": "x"}, {"every": 0}, {"after": 1, "every": True}):
        with pytest.raises(InvalidArgument):
            await remind("ring", StringValue(), **wrong)
    with pytest.raises(InvalidName):
        await remind("a.b", StringValue(), after=1)
    with pytest.raises(UnsupportedMessage):
        await remind("ring", 5, after=1)
    with pytest.raises(MessageTooLarge):
        await remind("ring", StringValue(value="x" * 300_000), after=1)
    with pytest.raises(InvalidName):
        await grid_client.forget_reminder("a b", "ring")
    server, refused = grid_servers(), asyncio.Event()

    @server.actor("mute")
    async def mute(ctx: grid.ActorContext) -> None:
        with pytest.raises(InvalidArgument, match="mailbox"):
            await ctx.remind("ring", StringValue(), after=1)
        refused.set()

    await server.start()
    await grid_client.start_actor("mute", peer=server.name)
    await asyncio.wait_for(refused.wait(), 30)


async def test_a_blocking_actor_is_reminded_too(
    alarms: Alarms, grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()
    came: list[str] = []

    @server.actor("plain", mailbox=4)
    def plain(ctx: BlockingContext) -> None:
        ctx.remind("x", StringValue(value="now"), after=0)
        ctx.remind("y", StringValue(value="later"), after=60)
        for request in ctx.mailbox:
            came.append(f"{request.message} {[one.name for one in ctx.reminders()]}")
            ctx.forget("y")
            request.ack()

    await server.start()
    await grid_client.start_actor("plain", peer=server.name)
    await wait_until(lambda: len(came) == 1, "the reminder", timeout=30)
    assert "now" in came[0]
    assert "y" in came[0]
    await nothing_waits(grid_client)


async def test_a_mark_without_reminders_goes(
    alarms: Alarms, grid_client: grid.Client, grid_namespace: str
) -> None:
    await grid_client.etcd.put(marker_key(grid_namespace), b"")
    await alarms.add()
    await unmarked(grid_client)


async def test_the_mark_goes_with_the_last_reminder_whoever_removes_it(
    alarms: Alarms, grid_client: grid.Client, grid_namespace: str
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    ctx = alarms.contexts["alarm"]
    # As one that is forgotten while another is sent: the sender learns of it by its watch.
    await ctx.remind("later", StringValue(value="later"), after=3600)
    await ctx.remind("ring", StringValue(value="now"), after=0)
    await alarms.rung()
    await grid_client.etcd.delete(reminder_key(grid_namespace, "alarm", "later"))
    await unmarked(grid_client)


class DeafEtcd(EtcdClient):
    """A connection to etcd over which nothing can be written."""

    async def txn(
        self, request: api_pb2.TxnRequest, *, timeout: float | None = None
    ) -> api_pb2.TxnResponse:
        raise EtcdUnavailable("away")


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "not sent"])
async def test_the_log_says_whether_a_reminder_was_sent_when_etcd_cannot_note_it(
    alarms: Alarms, grid_client: grid.Client, caplog: pytest.LogCaptureFixture, sent: bool
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    ctx = alarms.contexts["alarm"]
    reminder = await ctx.remind("ring", StringValue(value="wake up"), after=3600)
    if not sent:
        reminder = replace(reminder, actor="nobody", type="nothing")
    async with DeafEtcd(grid_client.etcd.config) as etcd:
        sender = ReminderSender(etcd)
        await sender._slots.acquire()
        await sender._send(ctx, "the reminder", reminder, 1)
    said = "was sent, and will be again" if sent else "was not sent, and will be tried again"
    assert [one.getMessage() for one in caplog.records if one.name == "grid.reminders"] == [
        next(one for one in caplog.messages if one.startswith(f"the reminder {said}"))
    ]


async def test_a_reminder_that_failed_for_days_is_still_tried_again(
    alarms: Alarms, grid_client: grid.Client
) -> None:
    await alarms.add()
    await grid_client.start_actor("alarm")
    ctx = alarms.contexts["alarm"]
    reminder = await ctx.remind("ring", StringValue(value="wake up"), after=3600)
    async with DeafEtcd(grid_client.etcd.config) as etcd:
        sender = ReminderSender(etcd)
        sender._failures["the reminder"] = 5000  # at a minute each
        await sender._slots.acquire()
        lost = replace(reminder, actor="nobody", type="nothing")
        await sender._send(ctx, "the reminder", lost, 1)
    assert sender._failures == {"the reminder": 5001}
