"""Frozen, cut off and killed peers keep the promises on names, fences and requests."""

import asyncio
import contextlib
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from subprocess import PIPE

import pytest

import grid
from grid.deadline import Deadline
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import (
    DeadlineExceeded,
    LeaseLost,
    OutcomeUnknown,
    PeerNotServing,
    PeerUnreachable,
    StaleEpoch,
    UnknownMailbox,
)
from grid.testing import FaultProxy, wait_until
from grid.transport.transport import Destination, Outgoing
from grid.wire_pb2 import EchoMsg

LEASE = 2.0

_PEER = """
import asyncio, sys, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=float(sys.argv[3]))

@server.actor("echo", mailbox=64)
async def echo(ctx):
    async for request in ctx.mailbox:
        if request.opens_stream:
            async with request.accept() as stream:
                async for item in stream:
                    await stream.send(grid.EchoMsg(msg=f"{ctx.epoch}"))
                    with open(item.msg, "a") as taken:
                        taken.write("x")
            continue
        if request.message.msg == "hold":
            await asyncio.sleep(3600)
        request.respond(grid.EchoMsg(msg=f"{ctx.epoch}"))

@server.actor("leader")
async def leader(ctx):
    await ctx.stopping.wait()

server.run()
"""

Spawn = Callable[..., Awaitable[Process]]


@pytest.fixture
async def spawn(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[Spawn]:
    """Starts peers as processes."""
    processes: list[Process] = []

    async def spawn(etcd: str = grid_etcd.endpoint) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, grid_namespace, etcd, str(LEASE), stderr=PIPE
        )
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def peers(client: grid.Client, count: int) -> list[grid.Entity]:
    found: list[grid.Entity] = []

    async def there() -> bool:
        found[:] = await client.query("peer")
        return len(found) == count

    await wait_until(there, f"{count} peers are there", timeout=20)
    return found


async def test_a_frozen_peer_acknowledges_nothing_under_its_old_epoch(
    spawn: Spawn, grid_client: grid.Client, grid_namespace: str
) -> None:
    process = await spawn()
    (peer,) = await peers(grid_client, 1)
    await grid_client.start_actor("echo", name="e")
    old = await grid_client.request("e", EchoMsg(), reply=EchoMsg)
    key = f"{grid_namespace}.mailbox.e"
    process.send_signal(signal.SIGSTOP)
    # In the frozen peer's socket these wait; it reads them when it wakes up,
    # long after its lease has ended.
    stale = Outgoing(key, int(old.msg), "grid.EchoMsg", b"", None)
    waiting = [
        asyncio.create_task(grid_client._transport.ask(there, stale, Deadline.after(20)))
        for there in (Destination(peer.address, "", sessions) for sessions in (True, False))
        for _ in range(10)
    ]

    async def gone() -> bool:
        return await grid_client._etcd.get(key) is None

    await wait_until(gone, "the lease ended", timeout=LEASE + 2)
    process.send_signal(signal.SIGCONT)
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    refusals = (PeerNotServing, StaleEpoch, UnknownMailbox, OutcomeUnknown)
    assert all(isinstance(end, refusals) for end in ends), ends
    # It joins again, under a larger epoch, and takes new work.
    (back,) = await peers(grid_client, 1)
    assert back.epoch > peer.epoch
    await grid_client.wait_until_serving(back.name)
    await grid_client.start_actor("echo", name="e", timeout=5)
    new = await grid_client.request("e", EchoMsg(), reply=EchoMsg)
    assert int(new.msg) > int(old.msg)


@pytest.mark.parametrize("socket", [True, False], ids=["unix socket", "tcp"])
async def test_a_frozen_peer_takes_and_sends_no_items_under_its_old_epoch(
    spawn: Spawn,
    grid_client: grid.Client,
    grid_namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    socket: bool,
) -> None:
    # So that this side does not give the frozen one up before it wakes.
    monkeypatch.setattr("grid.transport._liveness._STOPPED", 60.0)
    if not socket:
        monkeypatch.setattr("grid.client.router.reachable_socket", lambda _: "")
    process = await spawn()
    await peers(grid_client, 1)
    await grid_client.start_actor("echo", name="e")
    item = EchoMsg(msg=str(tmp_path / "taken"))
    stream = await grid_client.stream("e", EchoMsg())
    await stream.send(item)
    assert await stream.receive() is not None
    process.send_signal(signal.SIGSTOP)
    for _ in range(5):
        await stream.send(item)

    async def gone() -> bool:
        return await grid_client._etcd.get(f"{grid_namespace}.mailbox.e") is None

    await wait_until(gone, "the lease ended", timeout=LEASE + 2)
    process.send_signal(signal.SIGCONT)
    with pytest.raises((OutcomeUnknown, LeaseLost)):  # by the gate, or by the end of the actor
        await asyncio.wait_for(stream.receive(), 10)
    await peers(grid_client, 1)  # it is back, and would have taken them by now
    assert (tmp_path / "taken").read_text() == "x"


async def test_a_short_freeze_costs_time_only(spawn: Spawn, grid_client: grid.Client) -> None:
    process = await spawn()
    (peer,) = await peers(grid_client, 1)
    await grid_client.start_actor("echo", name="e")
    before = await grid_client.query("actor")
    process.send_signal(signal.SIGSTOP)
    asking = asyncio.create_task(grid_client.request("e", EchoMsg(), timeout=10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asking), LEASE / 4)
    process.send_signal(signal.SIGCONT)
    await asking
    assert await grid_client.query("actor") == before
    assert [one.epoch for one in await peers(grid_client, 1)] == [peer.epoch]


async def test_a_killed_peers_requests_end_at_once_as_unknown(
    spawn: Spawn, grid_client: grid.Client
) -> None:
    process = await spawn()
    (peer,) = await peers(grid_client, 1)
    await grid_client.start_actor("echo", name="e")
    asking = [
        asyncio.create_task(grid_client.request("e", EchoMsg(msg="hold"), timeout=30))
        for _ in range(8)
    ]
    with pytest.raises(DeadlineExceeded):
        await grid_client.request("e", EchoMsg(msg="hold"), timeout=0.5)
    process.send_signal(signal.SIGKILL)
    ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 5)
    assert {type(end) for end in ends} == {OutcomeUnknown}
    # Nothing was sent of these, so they are another kind of error.
    with pytest.raises((PeerUnreachable, UnknownMailbox)):
        await grid_client.request("e", EchoMsg(), timeout=2)
    assert peer.address


async def test_who_waits_for_a_peer_outlives_a_connection_that_breaks(
    grid_etcd: Etcd, grid_client: grid.Client, grid_namespace: str
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with FaultProxy(listen) as proxy:
        server = grid.Server(
            grid_namespace, etcd=grid_etcd.endpoint, listen=listen, advertise=proxy.endpoint
        )
        async with server:
            assert await grid_client.check(server.name) == "SERVING"
            proxy.blackhole()
            before = proxy.taken
            waiting = asyncio.create_task(grid_client.wait_until_serving(server.name, timeout=20))
            await wait_until(lambda: proxy.taken > before, "it has asked")
            proxy.cut()
            proxy.heal()
            await waiting


async def test_a_peer_cut_off_from_etcd_fences_itself_before_its_names_go(
    spawn: Spawn, grid_etcd: Etcd, grid_client: grid.Client, grid_namespace: str
) -> None:
    once = grid.Retry(attempts=1)
    async with (
        FaultProxy(grid_etcd.endpoint) as proxy,
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint, retry=once) as impatient,
    ):
        await spawn(proxy.endpoint)
        (peer,) = await peers(grid_client, 1)
        await grid_client.start_actor("echo", name="e")
        await grid_client.request("e", EchoMsg())
        proxy.blackhole()

        async def refused() -> bool:
            try:
                await impatient.request("e", EchoMsg(), timeout=1)
            except PeerNotServing:
                return True
            return False

        await wait_until(refused, "the peer refuses", timeout=LEASE + 1)
        # It refuses while etcd still has the name: no moment with two owners.
        assert [one.name for one in await grid_client.query("actor")][:1] == ["e"]
        proxy.heal()

        async def back() -> bool:
            found = await grid_client.query("peer")
            return bool(found) and found[0].epoch > peer.epoch

        await wait_until(back, "the peer has joined again", timeout=20)
        await grid_client.wait_until_serving(peer.name, timeout=10)
        await grid_client.start_actor("echo", name="e2")
        await grid_client.request("e2", EchoMsg())


async def test_the_next_leader_follows_a_killed_one_within_its_lease_and_a_second(
    spawn: Spawn, grid_client: grid.Client
) -> None:
    processes = [await spawn() for _ in range(2)]
    found = await peers(grid_client, 2)
    async with grid_client.watch("actor") as events:
        first = await asyncio.wait_for(anext(events), 10)
        by_address = {one.name: one.address for one in found}
        owner = await _process_at(processes, by_address[first.entity.peer])
        owner.send_signal(signal.SIGKILL)
        began = asyncio.get_running_loop().time()
        lost = await asyncio.wait_for(anext(events), LEASE + 2)
        following = await asyncio.wait_for(anext(events), 5)
        took = asyncio.get_running_loop().time() - began
    assert isinstance(lost, grid.EntityLost)
    assert isinstance(following, grid.EntityFound)
    assert following.entity.peer != first.entity.peer
    assert following.entity.epoch > first.entity.epoch
    assert took < LEASE + 3  # a second, and a busy machine


async def _process_at(processes: list[Process], address: str) -> Process:
    port = int(address.rpartition(":")[2])
    for process in processes:
        if port in _listening(process.pid):
            return process
    raise AssertionError(f"no process listens at {address}")


def _listening(pid: int) -> set[int]:
    from pathlib import Path

    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(link.readlink()))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


async def test_an_actor_that_stalls_its_peer_acknowledges_nothing_after_the_lease(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = grid_servers(lease=LEASE)

    @server.actor("staller", mailbox=4)
    async def staller(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            time.sleep(LEASE + 1 if request.message.msg else 0)  # type: ignore[attr-defined]  # noqa: ASYNC251
            request.ack()

    await server.start()
    await grid_client.start_actor("staller")
    (before,) = await grid_client.query("actor")
    monkeypatch.setattr("grid.mailbox.dispatcher._local", {})  # ask over the wire
    with pytest.raises(OutcomeUnknown, match="lost its lease"):
        await grid_client.request("staller", grid.EchoMsg(msg="stall"), timeout=10)

    async def back() -> bool:
        names = [one.name for one in await grid_client.query("peer")]
        return server.name in names and str(server.state) == "serving"

    await wait_until(back, "the peer to be back under a new lease")
    await grid_client.start_actor("staller")
    (after,) = await grid_client.query("actor")
    assert after.epoch > before.epoch
    assert await grid_client.request("staller", grid.EchoMsg(), reply=grid.Ack)
