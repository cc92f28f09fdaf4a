"""Subscriptions go on where they were when their actor moves, ends or cannot be reached."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.embedded import Etcd
from grid.errors import (
    ActorEnded,
    ClientClosed,
    EtcdUnavailable,
    Filtered,
    InvalidArgument,
    InvalidName,
    MailboxClosed,
    NotDelivered,
    OutcomeUnknown,
    RequestFailed,
    Retryable,
    StreamClosed,
    UnexpectedReply,
    UnregisteredMailbox,
)
from grid.sync import Client as BlockingClient
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Feed:
    """Numbers from the one that is asked for on."""

    @grid.handler
    async def numbers(self, start: Int64Value) -> AsyncIterator[Int64Value]:
        number = start.value
        while True:
            yield Int64Value(value=number)
            number += 1

    @grid.handler
    async def two(self, start: EchoMsg) -> AsyncIterator[Int64Value]:
        yield Int64Value(value=1)
        yield Int64Value(value=2)

    @grid.handler
    async def failing(self, reason: StringValue) -> AsyncIterator[Int64Value]:
        yield Int64Value(value=1)
        if reason.value == "retryable":
            raise EtcdUnavailable("away")
        raise ValueError(reason.value)


def after(last: Int64Value) -> Int64Value:
    return Int64Value(value=last.value + 1)


async def some(items: grid.Subscription[Int64Value], count: int) -> list[int]:
    return [(await anext(items)).value for _ in range(count)]


@pytest.fixture
async def peers(grid_servers: Servers) -> list[grid.Server]:
    """Two peers that have the type."""
    servers = [grid_servers(), grid_servers()]
    for server in servers:
        server.actor("feed")(Feed)
        await server.start()
    return servers


async def test_a_subscription_follows_its_actor_from_peer_to_peer(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed", peer=peers[0].name)
    feed = grid_client.actor(Feed, "feed")
    async with grid_client.subscribe(feed.numbers, Int64Value(), resume=after) as items:
        found = await some(items, 50)
        for moves in (1, 2):
            await grid_client.stop_actor("feed")
            await grid_client.start_actor("feed", peer=peers[moves % 2].name)
            found += await some(items, 500)
        assert items.openings == 3
    assert found == list(range(1050))
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_without_a_position_the_first_message_opens_each_stream(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    async with grid_client.subscribe("feed", Int64Value(value=7), item=Int64Value) as items:
        assert await some(items, 3) == [7, 8, 9]
        await grid_client.stop_actor("feed")
        await grid_client.start_actor("feed")
        while await some(items, 1) != [7]:
            pass
        assert await some(items, 2) == [8, 9]


async def test_a_stream_that_ends_ends_the_subscription(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    items = grid_client.subscribe("feed", EchoMsg(), item=Int64Value)
    assert [one.value async for one in items] == [1, 2]
    assert items.openings == 1
    assert await items.receive() is None


async def test_errors_of_the_actor_end_it_unless_they_are_retryable(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    feed = grid_client.actor(Feed, "feed")
    items = grid_client.subscribe(feed.failing, StringValue(value="broken"))
    assert (await anext(items)).value == 1
    with pytest.raises((RequestFailed, StreamClosed), match="broken"):
        await anext(items)
    assert await items.receive() is None
    items = grid_client.subscribe(feed.failing, StringValue(value="retryable"))
    async with items:
        assert await some(items, 3) == [1, 1, 1]
        assert items.openings >= 3


async def test_patience_ends_and_the_last_error_is_raised(
    peers: list[grid.Server], grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    await grid_client.start_actor("feed")
    items = grid_client.subscribe("feed", Int64Value(), item=Int64Value, patience=0.3)
    once = grid_client.subscribe("feed", Int64Value(), item=Int64Value, patience=0)
    async with items, once:
        await some(items, 1)
        await some(once, 1)
        await grid_client.stop_actor("feed")
        with caplog.at_level(logging.WARNING), pytest.raises(UnregisteredMailbox):
            await some(items, 10_000)
        with pytest.raises((MailboxClosed, ActorEnded)):
            await some(once, 10_000)
    assert sum("'feed' cannot be opened" in one.message for one in caplog.records) == 1


async def test_patience_goes_on_from_one_wait_to_the_next(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    items = grid_client.subscribe("feed", Int64Value(), item=Int64Value, patience=0.5)
    async with items:
        await some(items, 1)
        await grid_client.stop_actor("feed")

        async def short_waits() -> None:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await some(items, 10_000)

        with pytest.raises(UnregisteredMailbox):
            await asyncio.wait_for(short_waits(), 10)


async def test_a_cancelled_wait_loses_no_item_and_closing_ends_it(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    items = grid_client.subscribe("feed", Int64Value(), item=Int64Value, resume=after)
    found = await some(items, 300)
    await grid_client.stop_actor("feed")
    while len(found) < 600:
        try:
            async with asyncio.timeout(0.05):
                found += await some(items, 1)
        except TimeoutError:  # while it looks for the actor
            await grid_client.start_actor("feed", if_exists="return")
    assert found == list(range(600))
    waiting = asyncio.create_task(items.receive())
    await grid_client.stop_actor("feed")
    waiting.cancel()
    await asyncio.wait([waiting])
    await items.close()
    assert await items.receive() is None


async def test_a_name_without_an_owner_is_told_at_once(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    with pytest.raises(UnregisteredMailbox):
        async with grid_client.subscribe("fed", Int64Value()):
            pass


async def test_items_of_another_class_end_it(
    peers: list[grid.Server], grid_client: grid.Client
) -> None:
    await grid_client.start_actor("feed")
    async with grid_client.subscribe("feed", Int64Value(), item=EchoMsg) as items:
        with pytest.raises(UnexpectedReply):
            await items.receive()


async def test_wrong_arguments_are_refused_where_they_are_given(
    grid_namespace: str, grid_etcd: Etcd
) -> None:
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        feed: Any = client.actor(Feed, "feed")
        subscribe: Any = client.subscribe
        for wrong in ({"item": 3}, {"resume": "x"}, {"patience": -1}, {"patience": float("nan")}):
            with pytest.raises(InvalidArgument, match=next(iter(wrong))):
                subscribe("feed", Int64Value(), **wrong)
        for source in (5, None, lambda message: message):
            with pytest.raises(InvalidArgument, match="source"):
                subscribe(source, Int64Value())
        with pytest.raises(InvalidName):
            subscribe("a b", Int64Value())
        assert "broken" in repr(subscribe(feed.numbers, Int64Value()))
    with pytest.raises(ClientClosed):
        subscribe("feed", Int64Value())


async def test_blocking_subscriptions_follow_their_actor_too(
    peers: list[grid.Server], grid_namespace: str, grid_etcd: Etcd
) -> None:
    def script() -> None:
        with BlockingClient(grid_namespace, etcd=grid_etcd.endpoint) as client:
            client.start_actor("feed", peer=peers[0].name)
            numbers = client.actor(Feed, "feed").numbers
            with client.subscribe(numbers, Int64Value(), resume=after) as items:
                found = [next(iter(items)).value for _ in range(300)]
                client.stop_actor("feed")
                client.start_actor("feed", peer=peers[1].name)
                found += [next(iter(items)).value for _ in range(300)]
                assert found == list(range(600))
                assert items.last == Int64Value(value=599)
            assert items.receive() is None

    await asyncio.to_thread(script)


def test_all_retryable_errors_can_be_caught_by_one_class() -> None:
    import node
    import rpc.buses.errors
    import rpc.services.errors

    assert node
    assert rpc
    pending, seen = [grid.GridError], set()
    while pending:
        for cls in pending.pop().__subclasses__():
            pending.append(cls)
            seen.add(cls)
            assert not cls.retryable or issubclass(cls, Retryable), cls
    assert {NotDelivered, EtcdUnavailable, node.errors.NoWorker} <= seen
    assert not issubclass(OutcomeUnknown, Retryable)
    assert not Filtered.retryable
