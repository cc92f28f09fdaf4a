"""Topics of shards, as clients see them: awaited ones stay watched, and closing ends the waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from grid.errors import GridError
from grid.testing import wait_until
from rpc.buses import LocalBus, topic_view
from rpc.buses.bus import BusClosed
from rpc.buses.members import SHARD, TOPICAL, MemberTable, member_path
from rpc.buses.shard import Shard
from rpc.buses.topic_view import TopicView
from rpc.service_pb2 import Enroll, TopicMethods

SOON = 20.0
SERVICE = "shop.Orders"


@pytest.fixture
async def bus() -> AsyncIterator[LocalBus]:
    """A bus that is closed in the end."""
    made = LocalBus()
    yield made
    await made.close()


async def test_a_topic_that_is_awaited_stays_watched(
    bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_view, "_MOST", 1)
    # The shard is registered and does not read yet, so that the calls wait for it together.
    mailbox = await bus.open_inbox(
        "shard-1", {member_path(SERVICE, SHARD, (), "shard-1"): ()}, size=100
    )

    async def opened() -> object:
        return mailbox

    async def members(_: bool) -> MemberTable:
        return await bus.members(SERVICE)

    view = TopicView(bus, SERVICE, await bus.members(SERVICE))
    finds = [asyncio.create_task(view.find(topic, "Say")) for topic in ("a", "b", "c")]
    await wait_until(lambda: len(mailbox) > 0, "a watcher at the shard", timeout=SOON)
    shard = Shard(opened, members)  # type: ignore[arg-type]
    await shard.start()
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*finds) == [(), (), ()]
        assert await view.find("d", "Say") == ()
    assert [topic for topic in "abcd" if view.known(topic, "Say") is not None] == ["d"]
    await view.close()
    await shard.close()


async def test_closing_a_view_fails_its_calls(bus: LocalBus) -> None:
    await bus.open_inbox("shard-1", {member_path(SERVICE, SHARD, (), "shard-1"): ()}, size=100)
    view = TopicView(bus, SERVICE, await bus.members(SERVICE))
    waiting = asyncio.create_task(view.find("a", "Say"))
    await asyncio.sleep(0)
    await view.close()
    async with asyncio.timeout(SOON):
        with pytest.raises(BusClosed):
            await waiting
        with pytest.raises(BusClosed):
            await view.find("a", "Say")


async def test_a_shard_that_cannot_start_closes_its_mailbox(bus: LocalBus) -> None:
    path = member_path(SERVICE, SHARD, (), "shard-1")

    async def members(_: bool) -> MemberTable:
        raise GridError("the directory cannot be read")

    shard = Shard(lambda: bus.open_inbox("shard-1", {path: ()}, size=10), members)
    with pytest.raises(GridError, match="cannot be read"):
        await shard.start()
    assert not (await bus.members(SERVICE)).of_role(SHARD)


async def test_a_shard_keeps_topics_of_servers_that_are_registered(bus: LocalBus) -> None:
    async def members(_: bool) -> MemberTable:
        return await bus.members(SERVICE)

    path = member_path(SERVICE, SHARD, (), "shard-1")
    shard = Shard(lambda: bus.open_inbox("shard-1", {path: ()}, size=10), members)
    await shard.start()
    enroll = Enroll(member="srv-1", server="s", add=[TopicMethods(topic="a", methods=["Say"])])
    with pytest.raises(GridError, match="not registered"):
        await bus.send("shard-1", enroll, SOON)
    server = await bus.open_inbox(
        "srv-1", {member_path(SERVICE, TOPICAL, (), "srv-1"): ["Say"]}, size=10
    )
    await bus.send("shard-1", enroll, SOON)
    assert len(shard) == 1
    await server.close()
    assert len(shard) == 0
    await shard.close()
