"""Kept actors are started, spread, started again and stopped by an elected keeper."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import InvalidArgument
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.registration import encode_registration
from grid.server.keeper import KEEPER, Keeper
from grid.testing import MemoryRegistry, wait_until

Servers = Callable[..., grid.Server]


async def worker(ctx: grid.ActorContext) -> None:
    await ctx.stopping.wait()


class Fleet:
    """Servers that keep actors of the types `w` and `agent`."""

    def __init__(self, make: Servers, client: grid.Client) -> None:
        self._make = make
        self._client = client

    async def add(self, amount: int, name: str, **options: object) -> grid.Server:
        server = self._make(name=name, **options)
        server.define("w", lambda _: worker, keep=amount)
        server.actor("agent", keep="each-peer")(worker)
        await server.start()
        return server

    async def peers_of(self) -> dict[str, str]:
        return {one.name: one.peer for one in await self._client.query("actor")}

    async def wait(self, *names: str) -> dict[str, str]:
        async def there() -> bool:
            return set(await self.peers_of()) == {*names, KEEPER}

        await wait_until(there, f"{names} run", timeout=30)
        return await self.peers_of()


@pytest.fixture
def fleet(grid_servers: Servers, grid_client: grid.Client) -> Fleet:
    return Fleet(grid_servers, grid_client)


async def test_so_many_and_one_on_each_peer(fleet: Fleet) -> None:
    await fleet.add(4, "a")
    there = await fleet.wait("w-0", "w-1", "w-2", "w-3", "agent-a")
    assert set(there.values()) == {"a"}
    await fleet.add(4, "b")
    there = await fleet.wait("w-0", "w-1", "w-2", "w-3", "agent-a", "agent-b")
    assert there["agent-b"] == "b"


async def test_kept_actors_move_when_their_peer_leaves_and_come_back_when_stopped(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    await fleet.add(1, "a")
    keeping = (await fleet.wait("w-0", "agent-a"))[KEEPER]
    assert keeping == "a"
    await fleet.add(1, "b", allow_leadership=False)
    await fleet.add(6, "c")
    names = [f"w-{number}" for number in range(6)]
    there = await fleet.wait(*names, "agent-a", "agent-b", "agent-c")
    assert Counter(there[name] for name in names) == {"a": 2, "b": 2, "c": 2}
    before = {one.name: one.epoch for one in await grid_client.query("actor")}
    await grid_client.stop_actor("w-3")
    await fleet.wait(*names, "agent-a", "agent-b", "agent-c")
    after = {one.name: one.epoch for one in await grid_client.query("actor")}
    assert {name for name in after if after[name] != before[name]} == {"w-3"}


async def test_another_peer_keeps_when_the_keepers_peer_leaves(fleet: Fleet) -> None:
    first = await fleet.add(3, "a")
    await fleet.wait("w-0", "w-1", "w-2", "agent-a")
    await fleet.add(2, "b")
    await fleet.wait("w-0", "w-1", "agent-a", "agent-b")  # the last declaration counts
    await first.stop()
    there = await fleet.wait("w-0", "w-1", "agent-b")
    assert set(there.values()) == {"b"}


async def test_a_peer_that_does_not_answer_holds_up_no_other(
    fleet: Fleet, grid_client: grid.Client, grid_etcd: Etcd
) -> None:
    """It takes connections and says nothing, as a process that is stopped does."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        keys = [f"{grid_client.namespace}.{kind}.frozen" for kind in ("peer", "mailbox")]
        address, types = f"127.0.0.1:{frozen.getsockname()[1]}", ["w", "agent"]
        async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
            for key in keys:
                value = encode_registration(key, address, "frozen", session=1, types=types)
                await etcd.put(key, value)
            await fleet.add(80, "a")  # half of them would go to the other one
            names = {f"w-{number}" for number in range(80)}

            async def there(name: str, before: int = 0) -> int:
                found = {one.name: one.epoch for one in await grid_client.query("actor")}
                return found.get(name, 0) if found.get(name, 0) > before else 0

            await wait_until(lambda: there("agent-a"), "the peer's own actor runs", timeout=4)
            before = await there("agent-a")
            await grid_client.stop_actor("agent-a")
            await wait_until(lambda: there("agent-a", before), "it runs again", timeout=4)

            async def all_run() -> bool:
                return names <= set(await fleet.peers_of())

            await wait_until(all_run, "all run on the peer that answers", timeout=20)
            for key in keys:
                await etcd.delete(key)


async def test_nothing_is_kept_where_nothing_is_declared(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    with pytest.raises(InvalidArgument, match="before the server starts"):
        grid_server.actor("w", keep=1)(worker)
    (peer,) = await grid_client.query("peer")
    assert (peer.types, peer.keep) == ((), ())
    assert await grid_client.query("actor") == []


@pytest.mark.parametrize("turns", range(4))
async def test_a_keeper_that_is_cancelled_at_a_change_ends(turns: int) -> None:
    async with EtcdClient(MemoryRegistry()) as etcd:
        keeper = Keeper(etcd)
        waiting = asyncio.create_task(keeper._change_within(60))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        keeper._changed.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        again = asyncio.create_task(keeper._change_within(60))
        keeper._changed.clear()
        for _ in range(3):
            await asyncio.sleep(0)
        keeper._changed.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        if not again.done():
            again.cancel()
            with pytest.raises(asyncio.CancelledError):
                await again
