"""A name between two owners, as in a rolling update, is looked for again."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import UnknownMailbox, UnregisteredMailbox
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]
_GAP = 0.7  # seconds without an owner


async def _request(client: grid.Client) -> object:
    return await client.request("m", EchoMsg(msg="hi"), timeout=20)


async def _send(client: grid.Client) -> object:
    return await client.send("m", EchoMsg(msg="hi"), timeout=20)


async def _tell(client: grid.Client) -> object:
    await client.tell("m", EchoMsg(msg="hi"), timeout=20)
    return EchoMsg(msg="hi")


async def _stream(client: grid.Client) -> object:
    async with client.stream("m", EchoMsg(), timeout=20) as stream:
        return await anext(stream)


async def serve(mailbox: grid.Mailbox, ready: asyncio.Event, until: asyncio.Event) -> None:
    """Answer until told to close the mailbox."""
    async with mailbox:
        ready.set()
        while not until.is_set():
            receiving = asyncio.ensure_future(mailbox.receive())
            closing = asyncio.ensure_future(until.wait())
            await asyncio.wait((receiving, closing), return_when=asyncio.FIRST_COMPLETED)
            closing.cancel()
            if not receiving.done():
                receiving.cancel()
                return
            request = receiving.result()
            assert request is not None
            if request.opens_stream:
                async with request.accept() as stream:
                    await stream.send(EchoMsg(msg="hi"))
            else:
                request.respond(request.message)


class Owner:
    """An owner of the mailbox `m` on a server."""

    def __init__(self, server: grid.Server) -> None:
        self._server = server
        self._until = asyncio.Event()

    async def start(self) -> None:
        ready = asyncio.Event()
        mailbox = await self._server.open_mailbox("m")
        self._serving = asyncio.create_task(serve(mailbox, ready, self._until))
        await ready.wait()

    async def stop(self) -> None:
        self._until.set()
        await self._serving


@pytest.mark.parametrize("local", [True, False], ids=["one process", "two processes"])
@pytest.mark.parametrize("use", [_request, _send, _tell, _stream])
async def test_what_is_sent_between_two_owners_reaches_the_second(
    use: Callable[[grid.Client], Coroutine[Any, Any, object]],
    local: bool,
    grid_servers: Servers,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not local:
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    first, second = grid_servers(), grid_servers()
    await first.start()
    await second.start()
    former, latter = Owner(first), Owner(second)
    await former.start()
    await grid_client.request("m", EchoMsg())
    await former.stop()
    using = [asyncio.create_task(use(grid_client))]
    await asyncio.sleep(_GAP)
    using.append(asyncio.create_task(use(grid_client)))
    await latter.start()
    assert await asyncio.gather(*using) == [EchoMsg(msg="hi")] * 2
    await latter.stop()


async def _seconds_to_fail(client: grid.Client, name: str) -> float:
    began = time.monotonic()
    with pytest.raises(UnregisteredMailbox):
        await client.request(name, EchoMsg(), timeout=60)
    return time.monotonic() - began


async def test_a_name_that_nobody_takes_again_fails_after_some_seconds(
    grid_server: grid.Server, grid_client: grid.Client, grid_etcd: Etcd
) -> None:
    owner = Owner(grid_server)
    await owner.start()
    await grid_client.request("m", EchoMsg())
    await owner.stop()
    assert 1 < await _seconds_to_fail(grid_client, "m") < 20
    # It has had its time.
    began = time.monotonic()
    for _ in range(5):
        await _seconds_to_fail(grid_client, "m")
    assert time.monotonic() - began < 3


async def test_a_name_that_never_was_fails_at_once(grid_client: grid.Client) -> None:
    began = time.monotonic()
    for number in range(5):
        await _seconds_to_fail(grid_client, f"n{number}")
    assert time.monotonic() - began < 3


async def test_without_retries_it_fails_at_once(
    grid_server: grid.Server, grid_namespace: str, grid_etcd: Etcd
) -> None:
    once = grid.Retry(attempts=1)
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, retry=once) as client:
        owner = Owner(grid_server)
        await owner.start()
        await client.request("m", EchoMsg())
        await owner.stop()
        began = time.monotonic()
        with pytest.raises(UnknownMailbox):  # by its peer, or by etcd if the view is behind
            await client.request("m", EchoMsg(), timeout=60)
        assert time.monotonic() - began < 2  # another owner would have three seconds


async def test_with_endless_retries_a_name_is_waited_for(
    grid_server: grid.Server, grid_namespace: str, grid_etcd: Etcd
) -> None:
    ever = grid.Retry(attempts=None)
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, retry=ever) as client:
        asking = asyncio.create_task(client.request("m", EchoMsg(msg="hi"), timeout=20))
        await asyncio.sleep(_GAP)
        owner = Owner(grid_server)
        await owner.start()
        assert await asking == EchoMsg(msg="hi")
        with pytest.raises(UnregisteredMailbox):
            await client.request("n", EchoMsg(), timeout=1.0)
        await owner.stop()
