"""The blocking client does what the async one does, from any thread."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    Filtered,
    InvalidName,
    RequestFailed,
    StreamClosed,
    UnregisteredMailbox,
)
from grid.sync import Client
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg


class Peer:
    """A server on an event loop in a thread of its own, as another process would have it."""

    def __init__(self, namespace: str, etcd: str) -> None:
        self.server = grid.Server(namespace, etcd=etcd, lease=60.0, drain_timeout=2.0)

        @self.server.actor("echo", mailbox=256)
        async def echo(ctx: grid.ActorContext) -> None:
            async for request in ctx.mailbox:
                request.respond(request.message)

        self.told: list[str] = []
        self.cancelled = threading.Event()

        self.server.define("noting", lambda _: self._note, mailbox=256)
        self.server.define("blocking", lambda _: _echo_streams, mailbox=256)
        self.server.define("asking", lambda _: _asks, mailbox=256)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _note(self, ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            assert isinstance(request.message, EchoMsg)
            self.told.append(request.message.msg)
            if request.message.msg == "wait":
                await request.until_cancelled()
                self.cancelled.set()
            elif not request.opens_stream:
                request.respond(EchoMsg(msg=",".join(self.told)))
            else:
                async with request.accept() as stream:
                    async for item in stream:
                        await stream.send(item)
                    if request.message.msg == "fail":
                        await stream.close("no more")


def _echo_streams(ctx: grid.sync.BlockingContext) -> None:
    for request in ctx.mailbox:
        if not request.opens_stream:
            request.ack()
            continue
        with request.accept() as stream:
            for item in stream:
                stream.send(item)


def _asks(ctx: grid.sync.BlockingContext) -> None:
    for request in ctx.mailbox:
        with ctx.client as client:
            names = [one.name for one in client.query("actor")]
            result = client.broadcast(grid.Group("e"), EchoMsg(msg=",".join(names)))
            sent = client.send("e", request.message, reply=EchoMsg)
            with client.watch("actor") as events:
                first = next(events).entity.name
            assert client.request("e", request.message) == sent.result(5)
            request.respond(EchoMsg(msg=f"{result.successes['e']} {first}"))


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
        client.request("e", EchoMsg(), timeout=1.0)


def test_a_blocking_actor_has_the_peers_client(client: Client) -> None:
    client.start_actor("echo", name="e")
    client.start_actor("asking", name="asking")
    for _ in range(2):  # a block left by the actor does not close the client of the peer
        answer = client.request("asking", EchoMsg(), reply=EchoMsg)
        assert answer.msg == f"{EchoMsg(msg='asking,e')} asking"
    client.stop_actor("asking")


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
    with pytest.raises(ClientClosed):
        client.send("e", EchoMsg())
    with pytest.raises(ClientClosed):
        client.tell("e", EchoMsg())
    with pytest.raises(ClientClosed):
        client.stream("e", EchoMsg())


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(grid.GridError):
        Client("a.b")


def _methods(cls: type) -> dict[str, inspect.Signature]:
    public = inspect.getmembers(cls, inspect.isfunction)
    return {name: inspect.signature(one) for name, one in public if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(_methods(grid.Client)))
def test_a_call_takes_what_that_of_the_async_client_takes(name: str) -> None:
    blocking = _methods(Client)[name]
    assert blocking.parameters == _methods(grid.Client)[name].parameters
    assert blocking.return_annotation != inspect.Signature.empty


def test_it_is_made_as_the_async_client_is() -> None:
    blocking, other = (dict(inspect.signature(one).parameters) for one in (Client, grid.Client))
    assert blocking.pop("etcd").annotation != other.pop("etcd").annotation  # no client of etcd
    assert blocking == other


def test_many_are_sent_before_the_first_answer_is_waited_for(client: Client) -> None:
    client.start_actor("echo", name="e")
    sent = [client.send("e", EchoMsg(msg=str(i)), reply=EchoMsg) for i in range(100)]
    assert [one.result(10) for one in sent] == [EchoMsg(msg=str(i)) for i in range(100)]
    with pytest.raises(UnregisteredMailbox):
        client.send("nobody", EchoMsg()).result(10)
    with pytest.raises(InvalidName):
        client.send("a b", EchoMsg()).result(10)


def test_a_cancelled_future_is_seen_by_the_receiver(client: Client, peer: Peer) -> None:
    client.start_actor("noting", name="n")
    sent = client.send("n", EchoMsg(msg="wait"))
    _wait_until(lambda: peer.told == ["wait"], "the request arrived")
    assert sent.cancel()
    assert peer.cancelled.wait(5)
    with pytest.raises(CancelledError):
        sent.result(5)


def test_what_is_told_arrives_in_order(client: Client, peer: Peer) -> None:
    client.start_actor("noting", name="n")
    client.tell("n", EchoMsg(msg="a"), metadata={"x": "y"})
    client.tell("n", EchoMsg(msg="b"))
    assert client.request("n", EchoMsg(msg="c"), reply=EchoMsg).msg == "a,b,c"
    with pytest.raises(UnregisteredMailbox):
        client.tell("nobody", EchoMsg())


@pytest.mark.parametrize("actor", ["noting", "blocking"])
def test_a_stream_goes_both_ways(client: Client, actor: str) -> None:
    client.start_actor(actor, name="n")
    items = [EchoMsg(msg=str(i)) for i in range(1000)]
    with client.stream("n", EchoMsg(msg="open")) as stream:
        with pytest.raises(DeadlineExceeded):
            stream.receive(timeout=0.05)

        def send() -> None:
            for item in items:
                stream.send(item)
            stream.finish()

        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(send)
            assert stream.receive(timeout=5) == items[0]
            assert stream.receive(timeout=5, of=EchoMsg) == items[1]
            assert list(stream.items(EchoMsg)) == items[2:]
            sending.result(5)
        assert stream.receive() is None
        with pytest.raises(StreamClosed):
            stream.send(EchoMsg())
    stream.close()
    assert "over" in repr(stream)
    assert client.request("n", EchoMsg())


def test_a_stream_ends_by_the_reason_of_the_other_side(client: Client) -> None:
    client.start_actor("noting", name="n")
    with client.stream("n", EchoMsg(msg="fail")) as stream:
        stream.finish()
        with pytest.raises(StreamClosed, match="no more"):
            stream.receive()
    with pytest.raises(UnregisteredMailbox):
        client.stream("nobody", EchoMsg())


def test_filters_and_interceptors_run_on_the_loop_of_the_client(
    peer: Peer, grid_etcd: Etcd, grid_namespace: str
) -> None:
    threads: set[str] = set()

    async def no_bad_ones(call: grid.OutgoingCall) -> bool:
        threads.add(threading.current_thread().name)
        return call.message != EchoMsg(msg="bad")

    async def refuse(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
        if call.message == EchoMsg(msg="refused"):
            raise RequestFailed("no")
        return await proceed(call)

    with Client(
        grid_namespace, etcd=grid_etcd.endpoint, filters=[no_bad_ones], interceptors=[refuse]
    ) as client:
        client.start_actor("echo", name="e")
        assert client.request("e", EchoMsg(msg="good"))
        with pytest.raises(Filtered):
            client.tell("e", EchoMsg(msg="bad"))
        with pytest.raises(RequestFailed):
            client.send("e", EchoMsg(msg="refused")).result(5)
    assert threads == {"grid.sync"}


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    asyncio.run(wait_until(condition, what))


def test_a_cancelled_blocking_actor_is_no_error(
    peer: Peer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = threading.Event()

    def waits(ctx: grid.sync.BlockingContext) -> None:
        waiting.set()
        ctx.client.request("noting", EchoMsg(msg="wait"), timeout=60)

    peer.server.define("waits", lambda _: waits)
    client.start_actor("noting")
    client.start_actor("waits")
    assert waiting.wait(5)
    _wait_until(lambda: peer.told == ["wait"], "it waits in a call")
    with caplog.at_level("INFO", "grid.actor"):
        client.stop_actor("waits", grace=0)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
    assert "was cancelled" in caplog.text
    assert peer.cancelled.wait(5)


def test_a_blocking_request_says_whether_its_caller_waits(peer: Peer, client: Client) -> None:
    seen: list[tuple[bool, bool]] = []
    arrived = threading.Event()

    def looks(ctx: grid.sync.BlockingContext) -> None:
        for request in ctx.mailbox:
            seen.append((request.done, request.cancelled))
            arrived.set()
            while not request.cancelled:
                ctx.wait_stopping(0.01)
            seen.append((request.done, request.cancelled))

    peer.server.define("looks", lambda _: looks, mailbox=4)
    client.start_actor("looks")
    sent = client.send("looks", EchoMsg())
    assert arrived.wait(5)
    sent.cancel()
    _wait_until(lambda: len(seen) == 2, "it has seen that its caller left")
    assert seen == [(False, False), (True, True)]


_AT_EXIT = """
import sys, grid.sync
etcd, wish = sys.argv[1:]
client = grid.sync.Client("shop", etcd=etcd)
client.query("peer")

class Holder:
    def __del__(self):
        client.close()

def events():
    with client.watch("peer") as events:
        yield "began"
        yield from events

def call():
    try:
        client.query("peer")
    except RuntimeError as error:
        print(error)

class Caller:
    def __del__(self, call=call):
        call()

if wish == "del":
    holder = Holder()
    sys.modules["keeps"] = holder
elif wish == "generator":
    opened = events()
    assert next(opened) == "began"
elif wish == "call":
    sys.modules["keeps"] = Caller()
"""


@pytest.mark.parametrize("wish", ["nothing", "del", "generator", "call"])
def test_the_end_of_the_interpreter_does_not_wait(grid_etcd: Etcd, wish: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_EXIT, grid_etcd.endpoint, wish],
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
