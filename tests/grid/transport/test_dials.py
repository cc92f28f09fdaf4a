"""Dials: directly, to where a name is now, and not longer than its name is there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from grid.deadline import Deadline
from grid.embedded.ports import free_ports
from grid.errors import OutcomeUnknown, PeerUnreachable
from grid.testing import wait_until
from grid.transport.transport import Destination, Transport
from tests.grid.transport.link_kit import Gatekeeper, outgoing, serving, transport

WAYS = pytest.mark.parametrize("sessions", [True, False], ids=["session", "unary"])


async def ask(way: Transport, address: str, sessions: bool, timeout: float = 10) -> bytes:
    to = Destination(address, "", sessions)
    return (await way.ask(to, outgoing(b"x"), Deadline.after(timeout)))[1]


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """An address that takes connections and never answers."""

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@WAYS
async def test_no_proxy_stands_between_peers(
    sessions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(Gatekeeper()) as (address, _), transport() as way:
        assert await ask(way, address, sessions) == b"x"


@WAYS
async def test_a_wait_for_a_connection_ends_when_the_name_has_moved(sessions: bool) -> None:
    async with black_hole() as address, transport() as way:
        began = time.monotonic()
        asking = [asyncio.create_task(ask(way, address, sessions)) for _ in range(3)]
        if sessions:
            await wait_until(lambda: bool(way.pools) and way.pools[0].links, "it is dialled")
        else:
            await wait_until(lambda: bool(way._unary._addresses), "it is dialled")
        way.moved("127.0.0.1:9")  # another address
        await asyncio.sleep(0)
        assert not any(one.done() for one in asking)
        # Names go one by one: some while the wait is ending.
        while not all(one.done() for one in asking):
            way.moved(address)
            await asyncio.sleep(0)
        for one in asking:
            with pytest.raises(PeerUnreachable, match="has moved"):
                await one
        assert time.monotonic() - began < 5


@WAYS
async def test_a_session_that_stands_goes_on_when_a_name_moves(sessions: bool) -> None:
    async with serving(Gatekeeper()) as (address, _), transport() as way:
        assert await ask(way, address, sessions) == b"x"
        way.moved(address)
        assert await ask(way, address, sessions) == b"x"


@WAYS
async def test_a_peer_that_comes_back_is_dialled_at_once(sessions: bool) -> None:
    gate = Gatekeeper()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with transport() as way:
        async with serving(gate, address):
            assert await ask(way, address, sessions) == b"x"
        for _ in range(5):  # gRPC's own back-off grows with each of these
            with pytest.raises((PeerUnreachable, OutcomeUnknown)):
                await ask(way, address, sessions, timeout=5)
        async with serving(gate, address):
            began = time.monotonic()
            assert await ask(way, address, sessions) == b"x"
            assert time.monotonic() - began < 3


@WAYS
async def test_a_name_is_resolved_anew_by_each_dial(
    sessions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both addresses listen, as where another container has taken the old one.
    (port,) = free_ports(1)
    old, new = Gatekeeper(), Gatekeeper()
    async with transport() as way:
        async with serving(old, f"127.0.0.1:{port}"):
            assert await ask(way, f"localhost:{port}", sessions) == b"x"
            channels = _channels(way)
        async with serving(new, f"127.0.0.1:{port}"):
            await wait_until(lambda: _lost(way), "the connection is gone")
            assert await ask(way, f"localhost:{port}", sessions) == b"x"
            assert not channels & _channels(way)  # gRPC would keep the old resolution for 30 s
        assert (len(old.seen), len(new.seen)) == (1, 1)


def _channels(way: Transport) -> set[object]:
    links: set[object] = {link for pool in way.pools for link in pool.links}
    return links | set(way._unary._addresses.values())


def _lost(way: Transport) -> bool:
    unary = all(target.lost for target in way._unary._addresses.values())
    return unary and not any(pool.links for pool in way.pools)


def test_a_wait_that_a_loops_timer_ends_early_has_not_moved() -> None:
    # Timers of uvloop have steps of a millisecond, and so end before a time between two.
    uvloop = pytest.importorskip("uvloop")

    async def ask_in_vain() -> list[str]:
        async with black_hole() as address, transport() as way:
            times = [0.02 + turn * 0.00037 for turn in range(40)]
            asking = [ask(way, address, False, timeout) for timeout in times]
            ends = await asyncio.gather(*asking, return_exceptions=True)
            return [type(one).__name__ for one in ends]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask_in_vain()) == ["DeadlineExceeded"] * 40
