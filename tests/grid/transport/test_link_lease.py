"""Every way in and out of a peer's sessions asks the same lease."""

import asyncio
from typing import Any

import pytest

import grid
from grid.deadline import Deadline
from grid.errors import GridError, OutcomeUnknown
from grid.mailbox.dispatcher import Dispatcher
from grid.testing import wait_until
from grid.transport.stream_end import StreamEnd
from grid.transport.transport import Destination, Transport
from tests.grid.transport.link_kit import Gatekeeper, outgoing, serving, transport


async def open_stream(
    way: Transport, gate: Gatekeeper, address: str
) -> tuple[StreamEnd, StreamEnd]:
    """Both ends of a stream: the one that asked for it, and the one of the peer."""
    to = Destination(address, "", True)
    opening = asyncio.create_task(
        way.stream(to, outgoing(b"open", "later"), Deadline.after(10)), name="opening"
    )
    await wait_until(lambda: b"open" in gate.held, "the stream is asked for")
    answer = gate.held.pop(b"open")
    there = StreamEnd()
    assert answer.accept(there)
    return await opening, there


async def test_items_that_come_after_the_lease_are_not_taken() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        here, there = await open_stream(way, gate, address)
        await here.send("grid.EchoMsg", b"in time")
        assert await there.receive() == ("grid.EchoMsg", b"in time")
        gate.valid = False
        await here.send("grid.EchoMsg", b"too late")
        for end in (here, there):
            with pytest.raises(GridError, match="the lease is lost"):
                await asyncio.wait_for(end.receive(), 5)


async def test_items_that_a_lost_lease_catches_in_the_queue_do_not_leave() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        here, there = await open_stream(way, gate, address)
        await there.send("grid.EchoMsg", b"in time")
        assert await here.receive() == ("grid.EchoMsg", b"in time")
        await there.send("grid.EchoMsg", b"too late")
        await there.send("grid.EchoMsg", bytes(2 * 1024 * 1024))  # in chunks
        there.finish()
        gate.valid = False  # before the writer has had its turn
        with pytest.raises(GridError, match="the lease is lost"):
            await asyncio.wait_for(here.receive(), 5)
        with pytest.raises(GridError, match="the lease is lost"):
            await there.send("grid.EchoMsg", b"never")


async def test_a_stream_that_is_accepted_after_the_lease_does_not_open() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        to = Destination(address, "", True)
        opening = asyncio.create_task(
            way.stream(to, outgoing(b"open", "later"), Deadline.after(10)), name="opening"
        )
        await wait_until(lambda: b"open" in gate.held, "the stream is asked for")
        gate.valid = False
        there = StreamEnd()
        assert gate.held.pop(b"open").accept(there)
        with pytest.raises(OutcomeUnknown, match="the lease is lost"):
            await asyncio.wait_for(opening, 5)
        with pytest.raises(GridError, match="the lease is lost"):
            await asyncio.wait_for(there.receive(), 5)


async def test_a_stream_inside_of_a_process_asks_the_lease_too(
    grid_server: grid.Server, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: dict[str, grid.Stream] = {}

    async def serve(mailbox: grid.Mailbox) -> None:
        async for request in mailbox:
            ends[request.message.msg] = request.accept()  # type: ignore[attr-defined]

    async with grid_server.open_mailbox("m", size=4) as mailbox:
        serving = asyncio.create_task(serve(mailbox))
        for sender in ("caller", "owner"):
            here = await grid_client.stream("m", grid.EchoMsg(msg=sender))
            sending, other = here, ends[sender]
            if sender == "owner":
                sending, other = other, here
            await sending.send(grid.EchoMsg(msg="in time"))
            assert await other.receive() == grid.EchoMsg(msg="in time")
            dispatcher: Any = Dispatcher
            monkeypatch.setattr(dispatcher, "may_answer", lambda _: False)
            await sending.send(grid.EchoMsg(msg="too late"))
            for end in (here, ends[sender]):
                with pytest.raises(OutcomeUnknown, match="lost its lease"):
                    await end.receive()
            monkeypatch.undo()
    await serving
