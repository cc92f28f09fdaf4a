"""Messages to a peer that was killed a moment ago: its names last until its lease is over."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import OutcomeUnknown, PeerUnreachable
from grid.testing import kill
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]

HINT = re.compile(
    r"unreachable: .*; if it has died, its lease ends within (\d+) s and its names are free: send "
    r"again after that, or with Retry\(attempts=None\), which tries until the timeout"
)


async def _request(client: grid.Client) -> object:
    return await client.request("room", EchoMsg(msg="hi"), timeout=20)


async def _idempotent(client: grid.Client) -> object:
    return await client.request("room", EchoMsg(msg="hi"), timeout=20, idempotent=True)


async def _send(client: grid.Client) -> object:
    return await client.send("room", EchoMsg(msg="hi"), timeout=20)


async def _tell(client: grid.Client) -> object:
    await client.tell("room", EchoMsg(msg="hi"), timeout=20)
    return EchoMsg(msg="hi")


async def _stream(client: grid.Client) -> object:
    async with client.stream("room", EchoMsg(), timeout=20) as stream:
        return await anext(stream)


class Room:
    """An actor that echoes."""

    @grid.handler
    async def say(self, message: EchoMsg) -> EchoMsg:
        return message


@pytest.fixture
def killed(
    grid_servers: Servers, grid_client: grid.Client
) -> Callable[..., Coroutine[Any, Any, grid.Server]]:
    async def made(lease: float) -> grid.Server:
        """A peer that was killed while it had an actor."""
        server = grid_servers(name="killed", lease=lease)
        server.actor("room", activate=True)(Room)
        await server.start()
        await _request(grid_client)
        await kill(server)
        return server

    return made


@asynccontextmanager
async def client_with(
    grid_client: grid.Client, etcd: Etcd, **retry: Any
) -> AsyncIterator[grid.Client]:
    policy = grid.Retry(**retry)
    async with grid.Client(grid_client.namespace, etcd=etcd.endpoint, retry=policy) as client:
        yield client


@pytest.mark.parametrize("call", [_request, _send, _tell, _stream])
@pytest.mark.parametrize("attempts", [1, 6])
async def test_the_error_says_when_the_names_of_a_dead_peer_are_free(
    killed: Callable[..., Coroutine[Any, Any, grid.Server]],
    grid_client: grid.Client,
    grid_etcd: Etcd,
    call: Callable[[grid.Client], Coroutine[Any, Any, object]],
    attempts: int,
) -> None:
    await killed(20)
    async with client_with(grid_client, grid_etcd, attempts=attempts) as client:
        with pytest.raises(PeerUnreachable) as caught:
            await call(client)
        found = HINT.search(str(caught.value))
        assert found is not None, caught.value
        assert 10 <= int(found[1]) <= 20


async def test_an_unknown_outcome_says_it_too(
    grid_servers: Servers, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    server = grid_servers(name="killed", lease=20)
    await server.start()
    mailbox = await server.open_mailbox("room")
    asking = asyncio.create_task(_idempotent(grid_client))
    assert await mailbox.receive() is not None
    await kill(server)
    with pytest.raises(OutcomeUnknown) as caught:
        await asking
    assert HINT.search(str(caught.value)), caught.value


async def test_many_callers_of_a_dead_peer_ask_etcd_once(
    killed: Callable[..., Coroutine[Any, Any, grid.Server]],
    grid_client: grid.Client,
    grid_etcd: Etcd,
) -> None:
    await killed(20)
    async with client_with(grid_client, grid_etcd, attempts=1) as client:
        asked, lease_time = [], client.etcd.lease_time

        async def counted(lease: int, **options: Any) -> tuple[float, float]:
            asked.append(lease)
            return await lease_time(lease, **options)

        client.etcd.lease_time = counted  # type: ignore[method-assign]
        calls = (_request(client) for _ in range(100))
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert all(HINT.search(str(one)) for one in errors)
        assert len(asked) == 1


async def test_sending_again_until_the_timeout_reaches_the_next_owner(
    killed: Callable[..., Coroutine[Any, Any, grid.Server]],
    grid_servers: Servers,
    grid_client: grid.Client,
    grid_etcd: Etcd,
) -> None:
    await killed(2)
    other = grid_servers(name="other")
    other.actor("room", activate=True)(Room)
    await other.start()
    async with client_with(grid_client, grid_etcd, attempts=None) as client:
        assert await _request(client) == EchoMsg(msg="hi")


async def test_a_start_does_not_wait_for_peers_that_have_died(
    grid_servers: Servers, grid_client: grid.Client, grid_etcd: Etcd
) -> None:
    peers = [grid_servers(name=f"peer-{number}", lease=2) for number in range(3)]
    for peer in peers:
        peer.actor("room", activate=True)(Room)
        await peer.start()
    *others, last = grid.Ring(peer.name for peer in peers).owners("room")
    going = [peer for peer in peers if peer.name in others]
    async with grid.Client(
        grid_client.namespace,
        etcd=grid_etcd.endpoint,
        retry=grid.Retry(attempts=None),
        timeout=40,
    ) as client:
        await client.query("peer")
        for peer in going:
            await kill(peer)
        began = asyncio.get_running_loop().time()
        answer = await client.request("room", EchoMsg(msg="hi"), reply=EchoMsg)
        assert answer.msg == "hi"
        assert asyncio.get_running_loop().time() - began < 30  # the lease is over after 2
        assert [(one.name, one.peer) for one in await client.query("actor")] == [("room", last)]
