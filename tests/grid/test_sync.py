"""The blocking client does what the async one does, from any thread."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import ClientClosed, UnregisteredMailbox
from grid.sync import Client
from grid.wire_pb2 import EchoMsg


class Peer:
    """A server on an event loop in a thread of its own, as another process would have it."""

    def __init__(self, namespace: str, etcd: str) -> None:
        self.server = grid.Server(namespace, etcd=etcd, lease=2.0, drain_timeout=2.0)

        @self.server.actor("echo", mailbox=256)
        async def echo(ctx: grid.ActorContext) -> None:
            async for request in ctx.mailbox:
                request.respond(request.message)

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def peer(grid_etcd: Etcd, grid_namespace: str) -> Iterator[Peer]:
    peer = Peer(grid_namespace, grid_etcd.endpoint)
    yield peer
    peer.stop()


@pytest.fixture
def client(peer: Peer, grid_etcd: Etcd, grid_namespace: str) -> Iterator[Client]:
    with Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        yield client


def test_it_does_what_the_async_client_does(client: Client, peer: Peer) -> None:
    client.wait_until_serving(peer.server.name)
    assert client.check(peer.server.name) == "SERVING"
    assert client.start_actor("echo", name="e") == peer.server.name
    assert client.request("e", EchoMsg(msg="hi"), reply=EchoMsg).msg == "hi"
    result = client.broadcast(grid.Group("e"), EchoMsg(msg="all"))
    assert result.successes == {"e": EchoMsg(msg="all")}
    assert [actor.name for actor in client.query("actor")] == ["e"]
    with client.watch("actor") as events:
        assert next(events).entity.name == "e"
        client.stop_actor("e")
        assert isinstance(next(events), grid.EntityLost)
    with pytest.raises(UnregisteredMailbox):
        client.request("e", EchoMsg())


def test_many_threads_share_it(client: Client) -> None:
    client.start_actor("echo", name="e")

    def ask(i: int) -> str:
        return client.request("e", EchoMsg(msg=str(i)), reply=EchoMsg).msg

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(ask, range(200))) == [str(i) for i in range(200)]


def test_a_closed_client_refuses(client: Client) -> None:
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        client.request("e", EchoMsg())
    with pytest.raises(ClientClosed):
        client.query("peer")
    with pytest.raises(ClientClosed), client.watch("peer"):
        pass


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(grid.GridError):
        Client("a.b")
