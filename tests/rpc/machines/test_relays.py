"""Remote machines that are served again, several levels deep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Machine, UnknownState
from rpc.machines.access import Access
from rpc.machines.client import Client
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    RemoteError,
    SourceGone,
    SourceRestarted,
)
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA, SpoilingClient

FAST: dict[str, Any] = {"interval": 0.01}


class Source(Machine[Any], schema=SCHEMA):
    runs: int

    def BState(self) -> None:
        self.runs += 1

    def CEnter(self) -> bool:
        raise ValueError("too warm")


def source() -> Source:
    machine = Source(id="lights")
    machine.runs = 0
    return machine


@asynccontextmanager
async def levels(
    peer: Peer, client: Any, count: int = 2, **options: Any
) -> AsyncIterator[list[Client[Any]]]:
    """Clients of `lights` and of relays of it, each of the one before; the last is the leaf."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client[Any](client, "lights", **options))]
        for level in range(1, count + 1):
            relay = Server(clients[-1].machine, peer, name=f"level-{level}", **FAST)
            await stack.enter_async_context(relay)
            clients.append(await stack.enter_async_context(Client[Any](client, f"level-{level}")))
        yield clients


@pytest.fixture(params=["in process", "over a session"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "over a session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


async def test_the_leaves_of_a_tree_use_its_root(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = source()
    getters = {"double": lambda number: 2 * number}
    async with (
        Server(machine, grid_server, getters=getters, **FAST),
        levels(grid_server, grid_client, 3) as clients,
    ):
        leaf = clients[-1].machine
        assert leaf.id == "lights"
        assert (await leaf.add("A")).executed
        assert leaf.is_("A")  # its own change is seen at once, on all levels
        assert all(one.machine.is_("A") for one in clients[:-1])
        results = await asyncio.gather(*(leaf.add("B") for _ in range(20)))
        assert all(result.executed for result in results)
        assert machine.runs == 20
        assert leaf.clock() == machine.clock()
        wait = leaf.when_args("B", {"by": "kim"})
        for one in reversed(clients):  # each passes the wait on
            await one.machine.sync()
        machine.add("B", args={"by": "kim"})
        await asyncio.wait_for(wait, 20)
        machine.remove("A")
        await asyncio.wait_for(leaf.when_not("A"), 20)
        assert (await leaf.add("A")).executed
        assert (await leaf.add("C")).canceled
        assert isinstance(leaf.err, RemoteError)
        assert (leaf.err.type, leaf.err.remote_text) == ("ValueError", "too warm")
        await leaf.remove("Exception")
        await leaf.add_err(KeyError("from afar"))
        assert "from afar" in str(machine.err)
        assert await leaf.get("double", number=21) == 42
        await leaf.add_ns("D")
        await asyncio.wait_for(leaf.when("D"), 20)
        with pytest.raises(UnknownState):
            await leaf.add("Nope")
    assert not machine.tracers


async def test_a_root_that_restarts_is_noticed_at_the_leaves(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = source()
    root = Server(machine, grid_server, **FAST)
    await root.start()
    async with levels(grid_server, grid_client) as clients:
        leaf = clients[-1].machine
        await leaf.add("B")
        ticks, state = leaf.when_ticks_eq("B", 99), leaf.when("D")
        await root.stop()
        await wait_until(lambda: not leaf.connected, "the leaf is told", timeout=20)
        with pytest.raises(NotConnected):
            await leaf.add("B", timeout=0.05)
        assert leaf.tick("B") == 1  # the last that was known
        machine = source()
        async with Server(machine, grid_server, **FAST):
            machine.add("D")
            await asyncio.wait_for(state, 30)
            with pytest.raises(SourceRestarted):
                await ticks
            assert leaf.connected
            assert leaf.clock() == machine.clock()
            assert clients[-1].resyncs == 0
            machine.dispose()
            await wait_until(lambda: leaf.disposed, "the leaf ends with its root", timeout=20)
            with pytest.raises(SourceGone):
                await leaf.add("A")


async def test_calls_through_a_relay_run_once(grid_server: Peer, grid_client: GridClient) -> None:
    machine = source()
    spoiling: Any = SpoilingClient(grid_client)
    async with (
        Server(machine, grid_server, **FAST),
        levels(grid_server, spoiling, 1) as clients,
    ):
        leaf = clients[-1].machine
        for count in range(1, 4):
            spoiling.cut_after_sending = count  # of the leaf, then also of the relay
            assert (await leaf.add("B", timeout=30)).executed
            assert machine.runs == count
            assert leaf.tick("B") == machine.tick("B")


async def test_a_relay_shows_and_allows_a_part(grid_server: Peer, grid_client: GridClient) -> None:
    machine = source()
    access = Access(mutate={"D"})
    async with (
        Server(machine, grid_server, **FAST),
        Client[Any](grid_client, "lights", states=machine.schema, allowed=["B", "D"]) as upper,
        Server(upper.machine, grid_server, name="part", access=access, **FAST),
        Client[Any](grid_client, "part") as lower,
    ):
        leaf = lower.machine
        assert set(leaf.mirrored) == {"B", "D"}
        machine.add("A")
        assert (await leaf.add("D")).executed
        assert machine.is_("D")
        assert leaf.tick("D") == machine.tick("D") == 1
        with pytest.raises(AccessDenied):
            await leaf.add("B")
        assert machine.runs == 0


@asynccontextmanager
async def held_up(
    peer: Peer, client: GridClient, timeout: float, **options: Any
) -> AsyncIterator[tuple[SpoilingClient, Client[Any], Client[Any]]]:
    """A relay with a `timeout` whose source does not answer until `open` is set, and its leaf."""
    holding: Any = SpoilingClient(client)
    async with (
        Server(source(), peer, **FAST, **options),
        Client[Any](holding, "lights", timeout=timeout) as upper,
        Server(upper.machine, peer, name="relay", **FAST),
        Client[Any](client, "relay") as leaf,
    ):
        holding.open.clear()
        yield holding, upper, leaf
        holding.open.set()


def _passed_on() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("relayed to")]


async def test_a_relay_waits_no_longer_than_its_caller(
    grid_server: Peer, grid_client: GridClient
) -> None:
    async with held_up(grid_server, grid_client, 600.0) as (_, _, leaf):
        with pytest.raises(CallTimeout):
            await leaf.machine.add("B", timeout=0.3)
        with pytest.raises(CallTimeout):
            await leaf.machine.add_err(KeyError("from afar"), timeout=0.3)
        await wait_until(lambda: not _passed_on(), "the relay waits no more", timeout=20)


async def test_a_relay_waits_as_long_as_its_caller(
    grid_server: Peer, grid_client: GridClient
) -> None:
    getters = {"double": lambda number: 2 * number}
    async with held_up(grid_server, grid_client, 0.3, getters=getters) as (holding, upper, leaf):
        changing = asyncio.create_task(leaf.machine.add("B", timeout=60))
        asking = asyncio.create_task(leaf.machine.get("double", number=21, timeout=60))
        await wait_until(lambda: bool(_passed_on()), "the mutation is passed on", timeout=20)
        with pytest.raises(CallTimeout):  # the relay's own time, begun later, is over
            await upper.machine.add("D")
        assert not changing.done()
        assert not asking.done()
        holding.open.set()
        assert (await changing).executed
        assert await asking == 42


async def test_a_call_that_is_sent_again_has_the_time_that_is_left(
    grid_server: Peer, grid_client: GridClient
) -> None:
    spoiling: Any = SpoilingClient(grid_client)
    async with (
        Server(source(), grid_server, **FAST),
        Client[Any](spoiling, "lights", timeout=60) as client,
    ):
        spoiling.cut_after_sending = 1
        assert (await client.machine.add("B", timeout=30)).executed
        assert (await client.machine.add("B")).executed
        first, again, another = [one.timeout for one in spoiling.mutations]
        assert first == 30_000_000
        assert 0 < again < first
        assert another == 60_000_000
