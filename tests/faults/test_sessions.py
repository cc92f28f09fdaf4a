"""Sessions that are cut, blocked or silent: what each request comes to, and when."""

import asyncio
import contextlib
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import ClientClosed, DeadlineExceeded, GridError, OutcomeUnknown, PeerUnreachable
from grid.testing import FaultProxy, wait_until
from grid.transport.transport import Transport
from grid.wire_pb2 import EchoMsg
from tests.grid.transport.link_kit import Gatekeeper, ask, link_of, serving, transport

KILOBYTE = bytes(1000)
QUEUED = 5000

_PEER = """
import asyncio, sys, time, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], name=sys.argv[3], lease=60)

@server.actor("busy", mailbox=64)
async def busy(ctx):
    async for request in ctx.mailbox:
        what, _, seconds = request.message.msg.partition(" ")
        if what == "block":
            time.sleep(float(seconds))
        elif what == "wait":
            await asyncio.sleep(float(seconds))
        request.ack()

server.run()
"""

Spawn = Callable[[str], Awaitable[Process]]


@pytest.fixture
async def spawn(
    grid_etcd: Etcd, grid_namespace: str, grid_client: grid.Client
) -> AsyncIterator[Spawn]:
    """Starts a peer as a process, and an actor "busy" of the peer's name on it."""
    processes: list[Process] = []

    async def spawn(name: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint, name, stderr=PIPE
        )
        processes.append(process)
        await grid_client.wait_until_serving(name, timeout=20)
        await grid_client.start_actor("busy", name=f"{name}-actor", peer=name)
        await grid_client.request(f"{name}-actor", EchoMsg())
        return process

    yield spawn
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def blocked(
    gate: Gatekeeper,
) -> AsyncIterator[tuple[FaultProxy, Transport]]:
    """A session that is up, and over which nothing goes any more."""
    async with (
        serving(gate) as (address, _),
        FaultProxy(address) as proxy,
        transport() as way,
    ):
        await ask(way, proxy.endpoint, b"first")
        proxy.blackhole()
        yield proxy, way


async def send_until_stuck(way: Transport, address: str, **options: Any) -> list[asyncio.Task[Any]]:
    """Requests of which the first are written, and the last cannot be."""
    asking = [
        asyncio.create_task(ask(way, address, b"%d " % number + KILOBYTE, **options))
        for number in range(QUEUED)
    ]
    link = link_of(way)
    before = -1

    def stuck() -> bool:
        nonlocal before
        now, before_ = link.session.sent.deliveries, before
        before = now
        return bool(link.session.queued) and now == before_

    await asyncio.sleep(0)
    await wait_until(stuck, "nothing more can be written")
    return asking


async def test_what_was_not_written_goes_to_the_next_session() -> None:
    gate = Gatekeeper()
    async with blocked(gate) as (proxy, way):
        asking = await send_until_stuck(way, proxy.endpoint, timeout=30)
        unwritten = link_of(way).session.queued
        assert 0 < unwritten < QUEUED
        proxy.cut()
        proxy.heal()
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
    answered = [end for end in ends if isinstance(end, bytes)]
    unknown = [end for end in ends if isinstance(end, OutcomeUnknown)]
    assert len(answered) + len(unknown) == QUEUED
    # Until the cut is noticed the system's buffers may take more of what was queued.
    assert answered
    assert unknown
    assert len({id(error) for error in unknown}) == len(unknown)
    assert len(gate.seen) == len(set(gate.seen))  # nothing twice
    first_answered = ends.index(answered[0])
    assert all(isinstance(end, bytes) for end in ends[first_answered:])  # in order
    moved = [data for data in gate.seen if data != b"first"]
    assert moved[-len(answered) :] == answered


async def test_what_may_be_sent_twice_is_answered_after_a_cut() -> None:
    gate = Gatekeeper()
    async with blocked(gate) as (proxy, way):
        asking = await send_until_stuck(way, proxy.endpoint, timeout=30, again=True)
        proxy.cut()
        proxy.heal()
        ends = await asyncio.wait_for(asyncio.gather(*asking), 10)
    assert [end.split()[0] for end in ends] == [b"%d" % number for number in range(QUEUED)]


async def test_deadlines_hold_for_what_waits_for_the_next_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A dial outlasts the deadline.
    monkeypatch.setattr("grid.transport.pool._DIAL_SECONDS", 60.0)
    patient = (("grpc.min_reconnect_backoff_ms", 60_000), ("grpc.use_local_subchannel_pool", 1))
    monkeypatch.setattr("grid.transport._grpc_dial._KEEPALIVE", patient)
    async with blocked(Gatekeeper()) as (proxy, way):
        began = time.monotonic()
        asking = await send_until_stuck(way, proxy.endpoint, timeout=8)
        # Connections are taken, and nothing comes of them.
        proxy._abort()
        ends = await asyncio.gather(*asking, return_exceptions=True)
        took = time.monotonic() - began
        assert took < 20
        assert {type(end) for end in ends} == {OutcomeUnknown, DeadlineExceeded}
        assert sum(isinstance(end, DeadlineExceeded) for end in ends) > 100


async def test_what_waits_for_the_next_session_can_be_cancelled() -> None:
    gate = Gatekeeper()
    async with blocked(gate) as (proxy, way):
        asking = await send_until_stuck(way, proxy.endpoint, timeout=30)
        proxy._abort()
        await wait_until(lambda: way.pools[0]._pending, "they wait")
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        seen = len(gate.seen)
        proxy.heal()
        assert await ask(way, proxy.endpoint, b"last") == b"last"
        assert len(gate.seen) == seen + 1


async def test_a_peer_that_does_not_come_back_is_unreachable_for_the_unwritten() -> None:
    async with blocked(Gatekeeper()) as (proxy, way):
        asking = await send_until_stuck(way, proxy.endpoint, timeout=30)
        proxy.cut()
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
    assert {type(end) for end in ends} == {OutcomeUnknown, PeerUnreachable}


@pytest.mark.parametrize("homeless", [False, True])
async def test_closing_ends_what_is_under_way(homeless: bool) -> None:
    async with blocked(Gatekeeper()) as (proxy, way):
        asking = await send_until_stuck(way, proxy.endpoint, timeout=30)
        if homeless:
            proxy._abort()
            await wait_until(lambda: way.pools[0]._pending, "some wait for a session")
        await asyncio.wait_for(way.close(), 5)
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
    assert {type(end) for end in ends} == {OutcomeUnknown, ClientClosed}


async def test_a_frozen_peer_is_noticed_and_a_busy_one_is_left_alone(
    spawn: Spawn, grid_client: grid.Client
) -> None:
    frozen, _ = await asyncio.gather(spawn("frozen"), spawn("busy"))
    began = time.monotonic()
    held = [
        asyncio.create_task(grid_client.request("frozen-actor", EchoMsg(msg="wait 60"), timeout=60))
        for _ in range(3)
    ]
    blocking = asyncio.create_task(
        grid_client.request("busy-actor", EchoMsg(msg="block 8"), timeout=30)
    )
    waiting = asyncio.create_task(
        grid_client.request("busy-actor", EchoMsg(msg="wait 1"), timeout=30)
    )
    await wait_until(
        lambda: sum(one.in_flight for one in _sessions(grid_client)) == 5, "all are sent"
    )
    frozen.send_signal(signal.SIGSTOP)
    ends = await asyncio.gather(*held, return_exceptions=True)
    noticed = time.monotonic() - began
    assert {type(end) for end in ends} == {OutcomeUnknown}
    assert noticed < 10
    assert isinstance(await blocking, grid.Ack)
    assert isinstance(await waiting, grid.Ack)
    assert time.monotonic() - began > 9


def _sessions(client: grid.Client) -> list[Any]:
    return [link.session for pool in client._transport.pools for link in pool.links]


async def test_a_peer_that_is_silent_for_long_is_given_up_even_in_the_midst_of_a_write(
    spawn: Spawn, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.transport.link._SILENCE", 1.5)
    await spawn("p")
    blocking = asyncio.create_task(
        grid_client.request("p-actor", EchoMsg(msg="block 6"), timeout=30)
    )
    (session,) = _sessions(grid_client)
    await wait_until(lambda: session.in_flight == 1, "it is sent")
    large = EchoMsg(msg="x" * 20_000_000)
    writing = asyncio.create_task(grid_client.request("p-actor", large, timeout=4))
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="nothing came"):
        await blocking
    assert 1.5 < time.monotonic() - began < 5
    with pytest.raises(GridError):
        await writing


async def test_a_peer_that_stops_answers_what_it_has(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    first, second = grid_servers(name="first"), grid_servers(name="second")
    go_on = asyncio.Event()
    go_on.set()

    async def slow(ctx: grid.ActorContext) -> None:
        assert ctx.mailbox is not None
        async for request in ctx.mailbox:
            await go_on.wait()
            request.respond(EchoMsg(msg=ctx.peer))

    for server in (first, second):
        server.define("slow", lambda _: slow, mailbox=64)
        await server.start()
    await grid_client.start_actor("slow", name="m", peer="first")
    await grid_client.request("m", EchoMsg())
    go_on.clear()
    asking = [
        asyncio.create_task(grid_client.request("m", EchoMsg(), reply=EchoMsg)) for _ in range(10)
    ]
    await wait_until(lambda: sum(s.in_flight for s in _sessions(grid_client)) == 10, "all are sent")
    stopping = asyncio.create_task(first.stop())
    await wait_until(lambda: str(first.state) == "draining", "it drains")
    go_on.set()
    await stopping
    assert [reply.msg for reply in await asyncio.gather(*asking)] == ["first"] * 10
    await grid_client.start_actor("slow", name="m", peer="second")
    assert (await grid_client.request("m", EchoMsg(), reply=EchoMsg)).msg == "second"
