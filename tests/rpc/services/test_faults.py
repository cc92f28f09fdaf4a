"""Servers that are killed and peers that lose their lease, on the grid."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import MessageTooLarge
from grid.testing import wait_until
from rpc.services import OutcomeUnclear, ServiceError
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter

SOON = 30.0


@contextlib.asynccontextmanager
async def served(
    etcd: Etcd, namespace: str, name: str, topics: str = "etcd"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server in a process of its own, killed in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.rpc.services.served",
        etcd.endpoint,
        namespace,
        name,
        topics,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), SOON) == b"ready\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_server_takes_nothing_with_it_but_what_it_had(
    grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with (
        served(grid_etcd, grid_namespace, "a") as killed,
        served(grid_etcd, grid_namespace, "b"),
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as grid_client,
        GreeterClient(grid_client, timeout=SOON) as client,
        client.subscribe_news() as news,
    ):
        names = {(await client.greet(Hello(text="hi"))).server for _ in range(10)}
        assert names == {"a", "b"}
        stuck = [asyncio.create_task(client.greet(Hello(text="wait:"))) for _ in range(4)]
        everyone = asyncio.create_task(_everyone(client))
        assert killed.stdout is not None
        assert await asyncio.wait_for(killed.stdout.readline(), SOON) == b"waiting\n"
        killed.kill()
        # What it had is told at once, and goes to no other server.
        done, _ = await asyncio.wait(stuck, timeout=SOON, return_when=asyncio.FIRST_EXCEPTION)
        lost = [task.exception() for task in done]
        assert lost
        assert all(isinstance(error, OutcomeUnclear) for error in lost)
        assert {error.members for error in lost if isinstance(error, OutcomeUnclear)} == {("a",)}
        # The others are called, and their messages come.
        for number in range(20):
            assert (await client.greet(Hello(text=f"publish:{number}"))).server == "b"
            update = await asyncio.wait_for(anext(news), SOON)
            assert update.text == f"publish:{number} by b"
        assert not everyone.done()
        for task in (everyone, *stuck):
            task.cancel()
        await asyncio.gather(everyone, *stuck, return_exceptions=True)

        # With the lease the registration goes, and a call to all is one to the rest.
        async def only_b() -> bool:
            outcomes = await client.all(Hello(text="hi"))
            return [one.member for one in outcomes] == ["b"]

        await wait_until(only_b, "the registration of the killed server to go", timeout=SOON)


async def _everyone(client: GreeterClient) -> int:
    return len(await client.all(Hello(text="wait:")))


async def test_an_idempotent_call_goes_to_the_next_server(
    grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with (
        served(grid_etcd, grid_namespace, "a") as killed,
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as grid_client,
        GreeterClient(grid_client, timeout=SOON) as client,
    ):
        calling = asyncio.create_task(client.greet(Hello(text="wait:"), idempotent=True))
        with pytest.raises(ServiceError):
            await client.greet(Hello(text="fail:aborted"))  # so the other one is there, too
        async with grid.Server(grid_namespace, etcd=grid_etcd.endpoint) as peer:
            greeter = Greeter("b")
            greeter.release.set()
            async with GreeterServer(greeter, peer, server_id="b"):
                killed.kill()
                assert (await asyncio.wait_for(calling, SOON)).server == "b"


async def test_a_server_registers_again_after_its_peer_lost_the_lease(
    grid_servers: Callable[..., grid.Server],
) -> None:
    peer = grid_servers()
    await peer.start()
    async with (
        GreeterServer(Greeter("a"), peer, server_id="a") as server,
        grid.Client(peer.config.namespace, etcd=peer.config.etcd) as grid_client,
        GreeterClient(grid_client) as client,
        client.subscribe_news() as news,
    ):
        await server.register_owned_topic("x")
        assert (await client.owned("x", Hello())).server == "a"
        lifecycle = peer._lifecycle
        assert lifecycle is not None
        await lifecycle.peer.joined().lease.abandon("the test takes it")

        async def served_again() -> bool:
            with contextlib.suppress(ServiceError):
                await client.greet(Hello(), timeout=1)
                return (await client.owned("x", Hello(), timeout=1)).server == "a"
            return False

        await wait_until(served_again, "the server to register again", timeout=SOON)

        async def heard() -> bool:
            await server.publish_news(Hello(text="again"))
            with contextlib.suppress(TimeoutError):
                return (await asyncio.wait_for(anext(news), 0.2)).text == "again"
            return False

        await wait_until(heard, "the publisher to register again", timeout=SOON)


async def test_a_request_that_cannot_be_sent_leaves_no_callback(
    grid_servers: Callable[..., grid.Server],
) -> None:
    limit = 100_000
    async with (
        grid_servers(max_message_bytes=limit) as peer,
        GreeterServer(Greeter("a"), peer, server_id="a"),
        GreeterServer(Greeter("b"), peer, server_id="b"),
        GreeterClient(peer) as client,
    ):
        await client.all(Hello(), timeout=SOON)  # the directory is there from now
        table: Any = client._calls._table  # type: ignore[attr-defined]
        before = len(table.on_left)
        for call in (client.all, client.pick, client.greet):
            with pytest.raises(MessageTooLarge):
                await call(Hello(text="x" * (limit + 1)), timeout=SOON)
        assert len(table.on_left) == before
        assert not client._calls._load  # type: ignore[attr-defined]
