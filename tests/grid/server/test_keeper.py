"""Kept actors are started, spread, started again and stopped by an elected keeper."""

from collections import Counter
from collections.abc import Callable

import pytest

import grid
from grid.errors import InvalidArgument
from grid.server.keeper import KEEPER
from grid.testing import wait_until

Servers = Callable[..., grid.Server]


@pytest.fixture
def lease() -> float:
    """Seconds that no busy machine takes away: no lease is lost here."""
    return 60.0


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


async def test_nothing_is_kept_where_nothing_is_declared(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    with pytest.raises(InvalidArgument, match="before the server starts"):
        grid_server.actor("w", keep=1)(worker)
    (peer,) = await grid_client.query("peer")
    assert (peer.types, peer.keep) == ((), ())
    assert await grid_client.query("actor") == []
