"""Wrong input is refused at once, by a typed error, and nothing is left behind."""

import asyncio
import math
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
import grid.mailbox.dispatcher
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import (
    AlreadyResponded,
    FactoryFailed,
    InvalidActorType,
    InvalidAddress,
    InvalidArgument,
    InvalidName,
    MessageTooLarge,
    RequestDropped,
    RequestFailed,
    UnsupportedMessage,
    WrongEventLoop,
)
from tests.grid.cli.cli_kit import Running
from tests.grid.cli.cli_kit import grid as run

Servers = Callable[..., grid.Server]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# -- configuration --------------------------------------------------------------


@pytest.mark.parametrize("advertise", ["here:there", "", "[::1", "[::]", "auto:x", "a b"])
async def test_an_address_nobody_can_dial_is_refused_before_the_port_is_taken(
    advertise: str,
) -> None:
    (port,) = free_ports(1)
    with pytest.raises((InvalidAddress, InvalidName)):
        await grid.Server("t", listen=f"127.0.0.1:{port}", advertise=advertise).start()
    assert is_free(port)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lease": float("nan")}, "lease must be a number of seconds, not nan"),
        ({"lease": float("inf")}, "lease must be a number of seconds, not inf"),
        ({"lease": "10"}, "lease must be a number of seconds, not '10'"),
        ({"drain_timeout": -1}, "drain_timeout must be a number of seconds, not -1"),
        ({"drain_timeout": float("nan")}, "drain_timeout must be a number of seconds, not nan"),
        ({"max_message_bytes": 0}, "max_message_bytes must be 1 or more, not 0"),
        ({"on_lease_lost": "weep"}, "on_lease_lost must be 'rejoin' or 'exit', not weep"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_io(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        grid.Server("t", etcd="127.0.0.1:1", **options)


@pytest.mark.parametrize("annotations", ["gpu", [1]])
def test_annotations_are_strings_and_not_the_letters_of_one(annotations: Any) -> None:
    with pytest.raises(InvalidArgument, match="annotations must be a list of strings"):
        grid.Server("t", annotations=annotations)


def test_a_decorator_without_its_type_is_told_at_once() -> None:
    async def act(ctx: grid.ActorContext) -> None: ...

    with pytest.raises(InvalidActorType):
        grid.Server("t").actor(act)  # type: ignore[arg-type]


def test_a_mailbox_of_less_than_nothing_is_told_where_it_is_defined() -> None:
    server = grid.Server("t")
    with pytest.raises(InvalidArgument, match="mailbox must be 0 or more, not -1"):
        server.define("echo", lambda _: None, mailbox=-1)
    with pytest.raises(InvalidArgument, match="mailbox must be 0 or more, not -1"):
        server.actor("echo", mailbox=-1)


def test_variables_that_are_set_to_nothing_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # As compose files do: GRID_ETCD_USER: ${GRID_ETCD_USER:-}
    for name in ("GRID_NAMESPACE", "GRID_ETCD", "GRID_ETCD_USER", "GRID_ETCD_PASSWORD"):
        monkeypatch.setenv(name, "")
    config = grid.Server().config
    assert config.namespace == "default"
    assert config.etcd == grid.etcd.EtcdConfig(("127.0.0.1:2379",))


# -- requests ---------------------------------------------------------------------


@pytest.fixture
def over_the_wire(grid_server: grid.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No short way to the peer, although it is in this process."""
    assert grid_server.address in grid.mailbox.dispatcher._local
    monkeypatch.setattr("grid.mailbox.dispatcher._local", {})


async def refuse(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        assert isinstance(request.message, grid.EchoMsg)
        request.fail(request.message.msg)


@pytest.mark.usefixtures("over_the_wire")
@pytest.mark.parametrize(
    "text", ["a" * 100_000, "\N{SNOWMAN}" * 3000, "%" * 3000, "line\nline\0", "\N{SNOWMAN}"]
)
async def test_any_text_of_an_error_arrives_as_far_as_there_is_room(
    text: str, grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("refuse", lambda _: refuse, mailbox=4)
    await grid_client.start_actor("refuse", peer=grid_server.name)
    with pytest.raises(RequestFailed) as caught:
        await grid_client.request("refuse", grid.EchoMsg(msg=text), timeout=3)
    assert text.startswith(caught.value.text)
    assert len(caught.value.text) >= min(len(text), 400)


@pytest.mark.usefixtures("over_the_wire")
async def test_what_utf8_cannot_say_does_not_keep_an_error_back(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("orders") as mailbox:
        asking = asyncio.create_task(grid_client.request("orders", grid.EchoMsg(), timeout=20))
        request = await mailbox.receive()
        assert request is not None
        request.fail("half a pair: \ud800")
        with pytest.raises(RequestFailed, match=r"half a pair: \?"):
            await asking


@pytest.mark.usefixtures("over_the_wire")
@pytest.mark.parametrize("size", [1000, 2900, 3500, 50_000])
async def test_a_long_error_keeps_its_type(
    size: int, grid_server: grid.Server, grid_client: grid.Client
) -> None:
    def factory(_: bytes) -> None:
        raise RuntimeError("x" * size)

    grid_server.define("broken", factory)
    with pytest.raises(FactoryFailed, match="RuntimeError: xxx"):
        await grid_client.start_actor("broken", peer=grid_server.name)


@pytest.mark.usefixtures("over_the_wire")
async def test_metadata_counts_for_the_size_of_a_message(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("orders", size=0):
        for metadata, payload in (("x" * 5_000_000, ""), ("x" * 2_200_000, "x" * 2_200_000)):
            with pytest.raises(MessageTooLarge):
                await grid_client.request(
                    "orders", grid.EchoMsg(msg=payload), metadata={"key": metadata}
                )
        with pytest.raises(InvalidArgument, match="metadata must be strings by strings"):
            await grid_client.request("orders", grid.EchoMsg(), metadata={"key": 1})  # type: ignore[dict-item]


def test_a_client_is_of_one_event_loop(grid_etcd: Etcd) -> None:
    client = grid.Client("two-loops", etcd=grid_etcd.endpoint)

    async def use() -> None:
        await client.query("peer")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use())
        with pytest.raises(WrongEventLoop):
            second.run(use())
        first.run(use())
        first.run(client.close())


async def test_a_broadcast_of_what_cannot_be_sent_is_refused_before_any_io() -> None:
    group = grid.Group("a", "b")
    async with grid.Client("t", etcd="127.0.0.1:1", max_message_bytes=1000) as client:
        with pytest.raises(UnsupportedMessage):
            await client.broadcast(group, "hello")  # type: ignore[arg-type]
        with pytest.raises(MessageTooLarge):
            await client.broadcast(group, grid.EchoMsg(msg="x" * 1000))


@pytest.mark.usefixtures("over_the_wire")
async def test_endless_is_a_timeout_and_not_a_number_is_none(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("orders") as mailbox:
        asking = asyncio.create_task(
            grid_client.request("orders", grid.EchoMsg(), timeout=math.inf)
        )
        request = await mailbox.receive()
        assert request is not None
        request.ack()
        await asking
    assert await grid_client.query("peer", timeout=math.inf)
    for doing in (
        grid_client.request("orders", grid.EchoMsg(), timeout=math.nan),
        grid_client.query("peer", timeout=math.nan),
        grid_client.stop_actor("orders", grace=math.nan),
        grid_client.stop_actor("orders", grace=-1),
        grid_client.stop_actor("orders", grace=math.inf),
    ):
        with pytest.raises(InvalidArgument, match="must be a number of seconds"):
            await doing


# -- the receiver's side -------------------------------------------------------------


@pytest.mark.parametrize("answer", ["respond", "fail"])
async def test_an_answer_given_in_another_thread_leaves_at_once(
    answer: str, grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers(lease=60.0)  # a short lease wakes the loop often
    await server.start()
    async with server.open_mailbox("orders") as mailbox:
        for _ in range(3):
            asking = asyncio.create_task(grid_client.request("orders", grid.EchoMsg(), timeout=20))
            request = await mailbox.receive()
            assert request is not None
            give = {"respond": lambda r=request: r.ack(), "fail": lambda r=request: r.fail("no")}
            thread = threading.Timer(0.05, give[answer])
            began = time.monotonic()
            thread.start()
            await asyncio.wait([asking])
            assert time.monotonic() - began < 10
            assert (asking.exception() is None) == (answer == "respond")
            thread.join()


async def test_a_request_answered_after_its_mailbox_closed_has_had_its_answer(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("orders") as mailbox:
        asking = asyncio.create_task(grid_client.request("orders", grid.EchoMsg()))
        request = await mailbox.receive()
        assert request is not None
    with pytest.raises(RequestDropped):
        await asking
    with pytest.raises(AlreadyResponded):
        request.ack()


_STUCK = """
import asyncio, time, grid
server = grid.Server(drain_timeout=0.1, lease=2)

@server.actor("swallows")
async def swallows(ctx):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@server.actor("thread")
def thread(ctx):
    time.sleep(60)

@server.actor("pool")
async def pool(ctx):
    await asyncio.to_thread(time.sleep, 60)
"""


@pytest.mark.parametrize("stuck", ["swallows", "thread", "pool"])
async def test_what_does_not_end_does_not_keep_the_process(
    stuck: str, grid_etcd: Etcd, tmp_path: Path
) -> None:
    (tmp_path / "stuck.py").write_text(_STUCK)
    where = ("--etcd", grid_etcd.endpoint, "-n", f"stuck-{stuck}")
    with Running("serve", "stuck", *where, cwd=tmp_path) as peer:
        await peer.says("serves stuck")
        assert run("start", stuck, *where).returncode == 0
        peer.signal(signal.SIGTERM)
        began = time.monotonic()
        assert peer.ended() == 1
        assert time.monotonic() - began < 8
    what = "a thread" if stuck == "pool" else stuck
    assert any(f"the process ends without what still runs: {what}" in line for line in peer.err)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("timeout", "1"),
        ("timeout", float("nan")),
        ("sessions_per_peer", 0),
        ("sessions_per_peer", "2"),
        ("max_message_bytes", 0),
        ("compression", "lz4"),
        ("checksum", "yes"),
        ("breaker", "yes"),
    ],
)
async def test_a_client_that_cannot_work_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        grid.Client("shop", **{argument: value})


@pytest.mark.parametrize(
    ("argument", "value"), [("compression", "lz4"), ("checksum", 1), ("unix_socket", "here")]
)
def test_a_peer_whose_sessions_cannot_work_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        grid.Server("shop", etcd="127.0.0.1:1", **{argument: value})


async def test_a_timeout_that_is_no_number_is_refused(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    anything: Any = "1"
    async with grid_server.open_mailbox("m"):
        with pytest.raises(InvalidArgument, match="timeout"):
            await grid_client.request("m", grid.EchoMsg(), timeout=anything)
        with pytest.raises(InvalidArgument, match="timeout"):
            grid_client.send("m", grid.EchoMsg(), timeout=anything)
        with pytest.raises(InvalidArgument, match="timeout"):
            await grid_client.tell("m", grid.EchoMsg(), timeout=anything)
        with pytest.raises(InvalidArgument, match="timeout"):
            await grid_client.stream("m", grid.EchoMsg(), timeout=anything)
