"""Peers that are killed or frozen in the midst of loads and saves, on each store at once.

A process has a peer for each kind of store, in a namespace of its own, so that one signal
strikes all of them.
"""

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from subprocess import PIPE

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.embedded import Etcd
from grid.errors import GridError
from grid.testing import wait_until
from tests.grid.state.store_kit import forget, place_of, redis_server, sql_server

__all__ = ["redis_server", "sql_server"]

LEASE = 2.0

_PEER = """
import asyncio, contextlib, json, sys
from pathlib import Path
from google.protobuf.wrappers_pb2 import Int64Value
import grid
from grid.state import EtcdStore, PostgresStore, RedisStore, SqliteStore

etcd, lease, folder, kinds = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

def say(kind, point, text):
    (folder / "new").write_text(text)
    (folder / "new").rename(folder / f"{kind} {point}")

async def trap(ctx, point):
    if (folder / "trap").exists() and (folder / "trap").read_text() == point:
        say(ctx.namespace, point, "reached")
        await asyncio.sleep(3600)

class Account:
    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.state = ctx.state
        self.balance = await self.state.load(Int64Value) or Int64Value()
        await trap(ctx, "activation")

    @grid.handler
    async def move(self, by: Int64Value, ctx: grid.ActorContext) -> Int64Value:
        self.balance.value += by.value
        await self.state.save(self.balance)
        await trap(ctx, "saved")
        return self.balance

    async def on_stop(self, ctx: grid.ActorContext) -> None:
        try:  # as its author may think fit, whatever it is ended by
            await self.state.save(Int64Value(value=1_000_000))
        except grid.GridError as error:
            say(ctx.namespace, "end", type(error).__name__)
        else:
            say(ctx.namespace, "end", "saved")

async def main():
    async with contextlib.AsyncExitStack() as stack:
        for namespace, code in json.loads(kinds).items():
            server = grid.Server(namespace, etcd=etcd, lease=lease)
            server.provide(eval(code), enter=True)
            server.actor("account", activate=True)(Account)
            await stack.enter_async_context(server)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Place:
    """Clients of each kind's namespace, and processes with a peer for each of them."""

    def __init__(self, etcd: Etcd, folder: Path, codes: dict[str, str]) -> None:
        self._words = [etcd.endpoint, str(LEASE), str(folder), json.dumps(codes)]
        self._folder = folder
        self.processes: list[Process] = []
        self.clients: dict[str, grid.Client] = {}

    async def spawn(self) -> Process:
        """A process with its peers."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, *self._words, stderr=PIPE
        )
        self.processes.append(process)
        return process

    def trap(self, point: str) -> None:
        """Let actors stand still at that point, or, for an empty one, at none."""
        (self._folder / "trap").write_text(point)

    async def at(self, point: str) -> set[str]:
        """Wait until the actor of each kind is there; returns the texts that they left."""
        files = [self._folder / f"{namespace} {point}" for namespace in self.clients]
        await wait_until(
            lambda: all(one.exists() for one in files), f"all are at {point}", timeout=20
        )
        return {one.read_text() for one in files}

    async def each(self, call: Callable[[grid.Client], Awaitable[int]]) -> list[int]:
        """Results of a call for each kind."""
        return await asyncio.gather(*(call(one) for one in self.clients.values()))

    async def kill(self, process: Process) -> None:
        """Kill a process with its peers, and end their leases, as time would."""
        process.kill()
        await process.wait()
        for client in self.clients.values():
            for peer in await client.query("peer"):
                await client.etcd.revoke(peer.lease)

    async def gone(self) -> None:
        """Wait until the actors' names are free."""
        for client in self.clients.values():

            async def free(client: grid.Client = client) -> bool:
                return not await client.query("actor")

            await wait_until(free, "the names are free", timeout=LEASE + 5)


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> AsyncIterator[Place]:
    """The stores that there are: those of missing servers are left out, and it is said."""
    codes = {}
    for kind in ("sqlite", "etcd", "redis", "postgres"):
        with contextlib.suppress(pytest.skip.Exception):
            codes[f"{grid_namespace}-{kind}"] = place_of(kind, request, tmp_path).code
    made = Place(grid_etcd, tmp_path, codes)
    async with contextlib.AsyncExitStack() as stack:
        for namespace in codes:
            client = grid.Client(namespace, etcd=grid_etcd.endpoint)
            made.clients[namespace] = await stack.enter_async_context(client)
        yield made
        for process in made.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
    await forget(grid_etcd, grid_namespace)


async def move(client: grid.Client, by: int = 1) -> int:
    """A request that is sent again until it is answered."""
    while True:
        with contextlib.suppress(GridError):
            reply = await client.request("account-kim", Int64Value(value=by), reply=Int64Value)
            return reply.value
        await asyncio.sleep(0.05)


async def test_a_frozen_owner_cannot_change_its_successors_state(place: Place) -> None:
    frozen = await place.spawn()
    assert set(await place.each(move)) == {1}
    frozen.send_signal(signal.SIGSTOP)
    await place.spawn()
    await place.gone()
    assert set(await place.each(move)) == {2}
    frozen.send_signal(signal.SIGCONT)  # it has lost its lease, and its actors save as they end
    assert await place.at("end") == {"StateFenced"}
    assert set(await place.each(move)) == {3}


async def test_a_peer_killed_in_an_activation_does_no_harm_to_the_state(place: Place) -> None:
    place.trap("activation")
    killed = await place.spawn()
    asking = [asyncio.create_task(move(client)) for client in place.clients.values()]
    await place.at("activation")
    await place.kill(killed)
    place.trap("")
    await place.spawn()
    assert set(await asyncio.gather(*asking)) == {1}


async def test_a_resend_finds_what_was_saved_and_not_acknowledged(place: Place) -> None:
    killed = await place.spawn()
    assert set(await place.each(move)) == {1}
    place.trap("saved")
    asking = [asyncio.create_task(move(client)) for client in place.clients.values()]
    await place.at("saved")
    await place.kill(killed)
    place.trap("")
    await place.spawn()
    # The state had the first attempt; an actor that shall not act twice keeps the ids of requests.
    assert set(await asyncio.gather(*asking)) == {3}


async def test_a_kill_amid_saves_loses_nothing_that_was_acknowledged(place: Place) -> None:
    killed = await place.spawn()
    assert set(await place.each(move)) == {1}
    sent = dict.fromkeys(place.clients, 1)
    known = dict.fromkeys(place.clients, 1)

    async def go_on(namespace: str, client: grid.Client) -> None:
        with contextlib.suppress(GridError):
            while True:
                sent[namespace] += 1
                reply = await client.request("account-kim", Int64Value(value=1), reply=Int64Value)
                known[namespace] = reply.value

    going = [asyncio.create_task(go_on(*one)) for one in place.clients.items()]
    await wait_until(lambda: min(known.values()) > 5, "some were acknowledged")
    await place.kill(killed)
    await asyncio.gather(*going)
    await place.spawn()
    for namespace, client in place.clients.items():
        assert known[namespace] <= await move(client, 0) <= sent[namespace]
