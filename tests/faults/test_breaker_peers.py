"""A breaker leaves a dead or frozen peer alone, and nobody else, until the peer is back."""

import asyncio
import contextlib
import itertools
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from subprocess import PIPE

import pytest

import grid
from grid import BreakerPolicy, BreakerState, Retry
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import (
    BreakerOpen,
    DeadlineExceeded,
    GridError,
    OutcomeUnknown,
    PeerUnreachable,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
)
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
LONG = 20.0  # a lease that outlives a freeze
ONCE = Retry(attempts=1)

_PEER = """
import asyncio, sys, grid

async def main(namespace, etcd, listen, name, lease):
    held = []
    async with grid.Server(namespace, etcd=etcd, listen=listen, lease=float(lease)) as server:
        async with server.open_mailbox(name, size=64) as mailbox:
            async for request in mailbox:
                match request.message.msg:
                    case "hold":
                        held.append(request)
                    case "fail":
                        request.fail("no", code="UNAVAILABLE")
                    case "drop":
                        pass
                    case _:
                        request.respond(request.message)
                del request

asyncio.run(main(*sys.argv[1:]))
"""


class Peer:
    """A peer in a process of its own, at an address that it comes back to."""

    def __init__(self, namespace: str, etcd: str, name: str, lease: float) -> None:
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.name = name
        self._arguments = (namespace, etcd, self.address, name, str(lease))
        self._key = f"{namespace}.mailbox.{name}"
        self.process: Process | None = None

    async def start(self, client: grid.Client) -> None:
        """Start it, and wait until its mailbox can be found."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, *self._arguments, stderr=PIPE
        )
        known = await client._etcd.get(self._key)
        before = known.create_revision if known else 0

        async def there() -> bool:
            found = await client._etcd.get(self._key)
            return found is not None and found.create_revision > before

        await wait_until(there, f"{self.name} is there", timeout=20)
        await client._router._read(self._key, grid.deadline.Deadline.after(5))

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it without a word; the name stays until its lease ends."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        await self.process.communicate()


NewPeer = Callable[..., Awaitable[Peer]]
NewClient = Callable[..., Awaitable[grid.Client]]


@pytest.fixture
async def new_client(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[NewClient]:
    """Makes clients with a breaker."""
    async with contextlib.AsyncExitStack() as stack:

        async def new_client(rest: float = 10.0, retry: Retry = ONCE) -> grid.Client:
            client = grid.Client(
                grid_namespace,
                etcd=grid_etcd.endpoint,
                retry=retry,
                breaker=BreakerPolicy(rest=rest),
            )
            return await stack.enter_async_context(client)

        yield new_client


@pytest.fixture
async def new_peer(
    grid_etcd: Etcd, grid_namespace: str, grid_client: grid.Client
) -> AsyncIterator[NewPeer]:
    """Starts peers as processes."""
    peers: list[Peer] = []

    async def new_peer(name: str = "echo", lease: float = 2.0) -> Peer:
        peer = Peer(grid_namespace, grid_etcd.endpoint, name, lease)
        peers.append(peer)
        await peer.start(grid_client)
        return peer

    yield new_peer
    for peer in peers:
        await peer.kill()


async def say(
    client: grid.Client, text: str = "", *, to: str = "echo", timeout: float = 5.0
) -> str:
    reply = await client.request(to, EchoMsg(msg=text), reply=EchoMsg, timeout=timeout)
    return reply.msg


async def failures(client: grid.Client, *, to: str = "echo", timeout: float = 5.0) -> list[str]:
    """Errors of requests until the breaker opens."""
    ends: list[str] = []
    for _ in range(20):
        try:
            await say(client, to=to, timeout=timeout)
        except BreakerOpen:
            break
        except GridError as error:
            ends.append(type(error).__name__)
    return ends


def breaker(client: grid.Client, peer: Peer) -> grid.BreakerStatistics:
    told = client.statistics().pools[peer.address].breaker
    assert told is not None
    return told


async def test_a_killed_peer_is_left_alone_and_found_when_it_is_back(
    new_peer: NewPeer, new_client: NewClient, grid_client: grid.Client
) -> None:
    peer, client = await new_peer(), await new_client(rest=4.0)
    assert await say(client, "hi") == "hi"
    assert breaker(client, peer) == grid.BreakerStatistics(CLOSED, 0)
    await peer.kill()
    assert len(await failures(client)) == 5
    assert breaker(client, peer) == grid.BreakerStatistics(OPEN, 1)
    before = client.statistics().pools[peer.address].dials
    began = time.monotonic()
    for _ in range(200):
        with pytest.raises(BreakerOpen) as refused:
            await say(client)
    assert time.monotonic() - began < 3.5  # less than the rest
    assert refused.value.address == peer.address
    assert 0 < refused.value.retry_in <= 4
    assert client.statistics().pools[peer.address].dials == before
    await peer.start(grid_client)
    await wait_until(lambda: breaker(client, peer).state is HALF_OPEN, "the rest is over")
    states = []
    for number in range(3):
        assert await say(client, str(number)) == str(number)
        states.append(breaker(client, peer).state)
    assert states == [HALF_OPEN, HALF_OPEN, CLOSED]
    assert breaker(client, peer).trips == 1


async def test_half_open_lets_three_through_and_opens_again_on_a_failure(
    new_peer: NewPeer, new_client: NewClient
) -> None:
    peer, client = await new_peer(), await new_client(rest=0.5)
    await say(client)
    await peer.kill()
    await failures(client)
    await wait_until(lambda: breaker(client, peer).state is HALF_OPEN, "the rest is over")
    ends = await asyncio.gather(*(say(client) for _ in range(10)), return_exceptions=True)
    kinds = sorted(type(end).__name__ for end in ends)
    assert kinds == ["BreakerOpen"] * 7 + ["PeerUnreachable"] * 3
    assert breaker(client, peer) == grid.BreakerStatistics(OPEN, 2)


@pytest.mark.parametrize(
    ("text", "error"), [("fail", RequestFailed), ("drop", RequestDropped)], ids=["fail", "drop"]
)
async def test_an_actor_that_answers_with_errors_is_not_left_alone(
    new_peer: NewPeer, new_client: NewClient, text: str, error: type[GridError]
) -> None:
    peer, client = await new_peer(), await new_client()
    for _ in range(30):
        with pytest.raises(error):
            await say(client, text)
    assert breaker(client, peer) == grid.BreakerStatistics(CLOSED, 0)


async def test_a_full_mailbox_does_not_count(
    grid_server: grid.Server, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    client = await new_client()
    async with grid_server.open_mailbox("full", size=0):
        for _ in range(10):
            with pytest.raises(ReceiverBusy):
                await say(client, to="full")
    told = client.statistics().pools[grid_server.address].breaker
    assert told == grid.BreakerStatistics(CLOSED, 0)


async def test_each_address_has_a_breaker_of_its_own(
    new_peer: NewPeer, new_client: NewClient
) -> None:
    dead, alive = await new_peer("dead"), await new_peer("alive")
    client = await new_client()
    await say(client, to="dead")
    await dead.kill()
    for _ in range(5):
        with contextlib.suppress(OutcomeUnknown, PeerUnreachable):
            await say(client, to="dead")
        assert await say(client, "hi", to="alive") == "hi"
    with pytest.raises(BreakerOpen):
        await say(client, to="dead")
    assert breaker(client, dead).state is OPEN
    assert breaker(client, alive) == grid.BreakerStatistics(CLOSED, 0)
    assert await say(client, "hi", to="alive") == "hi"


async def test_silence_counts_and_a_slow_actor_does_not(
    new_peer: NewPeer, new_client: NewClient
) -> None:
    peer, client = await new_peer(lease=LONG), await new_client(rest=1.0)
    await say(client)
    for _ in range(6):  # more in a row than open it
        with pytest.raises(DeadlineExceeded):
            await say(client, "hold", timeout=0.3)
        await asyncio.sleep(0.1)
    assert breaker(client, peer) == grid.BreakerStatistics(CLOSED, 0)
    peer.signal(signal.SIGSTOP)
    ends = await failures(client, timeout=0.2)
    assert ends == ["DeadlineExceeded"] * len(ends)
    assert 5 <= len(ends) <= 11  # those of the first second do not count
    assert breaker(client, peer).state is OPEN
    peer.signal(signal.SIGCONT)
    await wait_until(lambda: breaker(client, peer).state is HALF_OPEN, "the rest is over")
    for _ in range(3):
        await say(client)
    assert breaker(client, peer) == grid.BreakerStatistics(CLOSED, 1)


async def test_a_lost_session_is_one_failure_however_much_it_carried(
    new_peer: NewPeer, new_client: NewClient
) -> None:
    peer, client = await new_peer(), await new_client()
    await say(client)
    waiting = [client.send("echo", EchoMsg(msg="hold")) for _ in range(50)]
    await wait_until(lambda: client.statistics().in_flight == 50, "all are under way")
    await say(client)  # it comes after them, on the same session: they have arrived
    await peer.kill()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(end) for end in ends} == {OutcomeUnknown}
    assert breaker(client, peer).state is CLOSED
    assert len(await failures(client)) == 4


async def test_cancelled_requests_do_not_count(new_peer: NewPeer, new_client: NewClient) -> None:
    peer, client = await new_peer(lease=LONG), await new_client()
    await say(client)
    peer.signal(signal.SIGSTOP)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(say(client), 0.05)
    assert breaker(client, peer) == grid.BreakerStatistics(CLOSED, 0)


async def test_tells_find_out_that_a_peer_is_back(new_peer: NewPeer, new_client: NewClient) -> None:
    peer, client = await new_peer(lease=LONG), await new_client(rest=0.5)
    await say(client)
    peer.signal(signal.SIGSTOP)
    for _ in range(10):  # a frozen peer takes them, which proves nothing
        await client.tell("echo", EchoMsg())
    await failures(client, timeout=0.1)
    with pytest.raises(BreakerOpen):
        await client.tell("echo", EchoMsg())
    with pytest.raises(BreakerOpen):
        await client.stream("echo", EchoMsg())
    peer.signal(signal.SIGCONT)
    await wait_until(lambda: breaker(client, peer).state is HALF_OPEN, "the rest is over")

    async def closed() -> bool:
        await client.tell("echo", EchoMsg())
        return breaker(client, peer).state is CLOSED

    await wait_until(closed, "tells have closed it")


async def test_who_is_patient_waits_for_the_peer(
    new_peer: NewPeer, new_client: NewClient, grid_client: grid.Client
) -> None:
    peer = await new_peer()
    patient = await new_client(6.0, Retry(attempts=None))
    waiting = await new_client(6.0, ONCE)
    hasty = await new_client(6.0, Retry())
    clients = (patient, waiting, hasty)
    for client in clients:
        await say(client)
    await peer.kill()
    for client, count in itertools.product(clients, range(5)):
        with contextlib.suppress(PeerUnreachable, OutcomeUnknown, BreakerOpen, DeadlineExceeded):
            await say(client, str(count), timeout=0.3)
    assert [breaker(client, peer).state for client in clients] == [OPEN] * 3
    began = time.monotonic()
    with pytest.raises(BreakerOpen):  # not by default
        await say(hasty, timeout=30)
    with pytest.raises(BreakerOpen):  # it would be in vain
        await say(patient, timeout=3.0)
    with pytest.raises(BreakerOpen):
        await waiting.request("echo", EchoMsg(), wait=True, timeout=3.0)
    assert time.monotonic() - began < 2.5  # less than those would take
    await peer.start(grid_client)
    said, waited = await asyncio.gather(
        say(patient, "here", timeout=20),
        waiting.request("echo", EchoMsg(msg="here"), wait=True, timeout=20),
    )
    assert (said, waited) == ("here", EchoMsg(msg="here"))
