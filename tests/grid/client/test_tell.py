"""A tell arrives in order, is done when written, and is answered by nobody."""

import asyncio
from typing import Any

import pytest

import grid
from grid.deadline import Deadline
from grid.errors import (
    DeadlineExceeded,
    InvalidName,
    MessageTooLarge,
    OutcomeUnknown,
    PeerUnreachable,
    UnregisteredMailbox,
)
from grid.registry.registration import encode_registration
from grid.testing import FaultProxy, wait_until
from grid.transport.transport import Destination
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import go_over_the_wire
from tests.grid.transport.link_kit import Gatekeeper, ask, link_of, outgoing, serving, transport

# Half of the tells are 20 MB: far more than what gRPC writes (some MB, by version and machine)
# to a peer that acknowledges nothing.
HALF, SIZE = 1000, 20_000


@pytest.fixture(params=["session", "local"])
async def client(
    request: pytest.FixtureRequest, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> grid.Client:
    """A client on both ways: over a session, and inside the process."""
    go_over_the_wire(request.param, monkeypatch)
    return grid_client


def texts(requests: list[Any]) -> list[str]:
    return [request.message.msg for request in requests]


async def take(mailbox: grid.Mailbox, count: int) -> list[Any]:
    return [await asyncio.wait_for(mailbox.receive(), 5) for _ in range(count)]


async def test_tells_and_requests_arrive_in_the_order_they_were_sent(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=1000) as mailbox:
        await client.tell("m", EchoMsg(msg="0"), metadata={"user": "bob"})
        for number in range(1, 200, 2):
            await client.tell("m", EchoMsg(msg=str(number)))
            asking = asyncio.create_task(client.request("m", EchoMsg(msg=str(number + 1))))
            await wait_until(lambda many=number: len(mailbox) == many + 2, "it arrived")  # type: ignore[misc]
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        first = await mailbox.receive()
        assert first is not None
        assert dict(first.metadata) == {"user": "bob"}
        assert first.message.msg == "0"  # type: ignore[attr-defined]
        # The cancelled requests are skipped; the tells are all there.
        assert texts(await take(mailbox, 100)) == [str(n) for n in range(1, 200, 2)]


async def test_many_tells_at_once_arrive_in_order(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=5000) as mailbox:
        await client.tell("m", EchoMsg(msg="first"))
        await asyncio.gather(*(client.tell("m", EchoMsg(msg=str(n))) for n in range(3000)))
        await take(mailbox, 1)
        assert texts(await take(mailbox, 3000)) == [str(n) for n in range(3000)]


async def test_a_tell_may_be_answered_and_nobody_hears(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        for _ in range(3):
            await client.tell("m", EchoMsg())
        first, second, third = await take(mailbox, 3)
        first.respond(EchoMsg())
        second.fail("no")
        del third
        assert first.done
        assert second.done


async def test_a_full_mailbox_drops_a_tell_and_counts_it(
    grid_client: grid.Client, grid_server: grid.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    async with grid_server.open_mailbox("m", size=2) as mailbox:
        for number in range(5):
            await grid_client.tell("m", EchoMsg(msg=str(number)))
        assert grid_server._lifecycle is not None
        (link,) = grid_server._lifecycle._service._links
        await wait_until(lambda: link.session.tells_refused == 3, "three are refused")
        assert texts(await take(mailbox, 2)) == ["0", "1"]


async def test_a_full_mailbox_of_this_process_drops_a_tell(
    grid_client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=2) as mailbox:
        for number in range(5):
            await grid_client.tell("m", EchoMsg(msg=str(number)))
        assert texts(await take(mailbox, 2)) == ["0", "1"]
        assert len(mailbox) == 0


async def test_what_is_wrong_before_it_is_written_is_told(
    client: grid.Client, grid_namespace: str
) -> None:
    with pytest.raises(UnregisteredMailbox):
        await client.tell("nobody", EchoMsg())
    with pytest.raises(InvalidName):
        await client.tell("a.b", EchoMsg())
    with pytest.raises(MessageTooLarge):
        await client.tell("m", EchoMsg(msg="x" * (101 << 20)))
    key = f"{grid_namespace}.mailbox.go"
    await client._etcd.put(key, encode_registration(key, "127.0.0.1:1", "p"))
    with pytest.raises(PeerUnreachable):
        await client.tell("go", EchoMsg(), timeout=5)
    await client._etcd.delete(key)


async def test_a_tell_is_done_when_it_is_written_and_not_before() -> None:
    gate = Gatekeeper()
    async with (
        serving(gate) as (address, _),
        FaultProxy(address) as proxy,
        transport() as way,
    ):
        await ask(way, proxy.endpoint)
        proxy.blackhole()
        link = link_of(way)
        to = Destination(proxy.endpoint, "", True)
        telling = [
            asyncio.create_task(
                way.tell(to, outgoing(b"%d" % n + bytes(SIZE)), Deadline.after(1.5))
            )
            for n in range(2 * HALF)
        ]
        await asyncio.sleep(0)
        await wait_until(lambda: any(task.done() for task in telling), "some are written")
        ends = await asyncio.gather(*telling, return_exceptions=True)
        done = [end for end in ends if end is None]
        assert 0 < len(done) < HALF
        assert {type(end) for end in ends} == {type(None), DeadlineExceeded}
        # What was given up is not sent later.
        proxy.heal()
        assert await ask(way, proxy.endpoint, b"after") == b"after"
        assert len(done) <= len(gate.seen) - 2 <= len(done) + 64  # and one frame on the way
        assert link_of(way) is link


async def test_an_unwritten_tell_goes_to_the_next_session() -> None:
    gate = Gatekeeper()
    async with (
        serving(gate) as (address, _),
        FaultProxy(address) as proxy,
        transport() as way,
    ):
        await ask(way, proxy.endpoint)
        proxy.blackhole()
        to = Destination(proxy.endpoint, "", True)
        telling = [
            asyncio.create_task(
                way.tell(to, outgoing(b"%d " % n + bytes(SIZE)), Deadline.after(60))
            )
            for n in range(2 * HALF)
        ]
        await asyncio.sleep(0)
        await wait_until(lambda: any(task.done() for task in telling), "some are written")
        proxy.cut()
        proxy.heal()
        ends = await asyncio.gather(*telling, return_exceptions=True)
        assert {type(end) for end in ends[:HALF]} <= {type(None), OutcomeUnknown}
        assert not any(ends[HALF:])
        await ask(way, proxy.endpoint, b"after")
        arrived = [int(data.split()[0]) for data in gate.seen[1:-1]]
        assert arrived == sorted(set(arrived))
        assert arrived[-HALF:] == list(range(HALF, 2 * HALF))
