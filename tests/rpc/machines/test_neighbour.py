"""Mutations inside one process: they need no messages, and are as with messages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Machine
from rpc.machines.access import Access
from rpc.machines.client import Client
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    NotPlainData,
    RemoteError,
)
from rpc.machines.neighbour import Neighbour
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

Served = Callable[..., AbstractAsyncContextManager[Client[Any]]]


class Source(Machine[Any], schema=SCHEMA):
    seen: list[Any]
    remote: Any = None
    holds: threading.Event | None = None
    held: threading.Event

    def DState(self) -> None:
        if self.holds is not None:
            self.held.set()
            self.holds.wait(20)

    def AState(self, event: Any) -> None:
        self.seen.append(event.args.get("list"))

    def CState(self) -> None:
        raise ValueError("broken")

    async def BState(self) -> None:
        if self.remote is not None:  # it begins inside of the mutation of its own mirror
            remote, self.remote = self.remote, None
            assert (await remote.add("A")).executed


@pytest.fixture
def source() -> Source:
    machine = Source(id="lights")
    machine.seen, machine.held = [], threading.Event()
    return machine


@pytest.fixture(params=["a call", "messages"])
def served(
    request: pytest.FixtureRequest,
    grid_server: Peer,
    grid_client: GridClient,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
) -> Served:
    """A client of the source in the same process, with and without the short way."""
    carried = 0
    mutate = Neighbour.mutate

    def counting(self: Neighbour, asked: Any) -> Any:
        nonlocal carried
        response = None if request.param == "messages" else mutate(self, asked)
        carried += response is not None
        return response

    monkeypatch.setattr(Neighbour, "mutate", counting)

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Client[Any]]:
        async with (
            Server(source, grid_server, interval=0.001, **options),
            Client[Any](grid_client, "lights", interval=0.001) as client,
        ):
            yield client
            assert bool(carried) is (request.param == "a call")

    return run


async def test_mutations_and_pushes_keep_their_order(served: Served, source: Source) -> None:
    async with served() as client:
        remote = client.machine
        await remote.remove("A")
        for _ in range(20):
            source.add("B")  # to be pushed
            assert (await remote.add("B")).executed
            assert remote.clock() == source.clock()
        calls = [remote.add("A"), remote.add_ns("B"), remote.remove("A"), remote.add("D")]
        await asyncio.gather(*calls, *(remote.add("B") for _ in range(20)))
        await remote.sync()
        assert remote.clock() == source.clock()
        assert client.resyncs == 0


async def test_arguments_are_checked_and_copied(served: Served, source: Source) -> None:
    async with served() as client:
        given = [1, {"x": 2}]
        await client.machine.add("A", args={"list": given})
        (got,) = source.seen
        assert got == given
        assert got is not given
        assert got[1] is not given[1]
        with pytest.raises(NotPlainData):
            await client.machine.add("A", args={"list": object()})


async def test_errors_come_as_from_elsewhere(served: Served, source: Source) -> None:
    async with served(access=Access(mutate={"A", "B", "C"})) as client:
        remote = client.machine
        with pytest.raises(AccessDenied, match="may not mutate D"):
            await remote.add("D")
        await remote.add("A")
        assert not (await remote.add("C")).queued
        assert remote.clock() == source.clock()
        assert remote.is_("Exception")
        assert isinstance(remote.err, RemoteError)
        assert "broken" in str(remote.err)
        assert (await remote.remove("A")).executed


async def test_a_handler_may_use_a_mirror_of_its_own_machine(
    served: Served, source: Source
) -> None:
    async with served() as client:
        source.remote = client.machine
        assert (await client.machine.add("B")).executed
        await client.machine.when("A")
        assert source.is_("A")


async def test_a_mutation_that_has_to_wait_is_told_when_it_has_run(
    served: Served, source: Source
) -> None:
    async with served() as client:
        remote = client.machine
        await remote.add("B")
        source.holds = threading.Event()
        busy = asyncio.create_task(asyncio.to_thread(source.add, "D"))
        await wait_until(lambda: source.held.is_set(), "another thread is at work")
        first, second = await remote.add("B"), await remote.remove("B")
        assert first.queued
        assert second.queued
        source.holds.set()
        await busy
        assert (await first).executed
        assert (await second).executed
        assert remote.not_("B")


async def test_a_caller_that_asks_and_asks_lets_others_run(served: Served) -> None:
    async with served() as client:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(50):
            await client.machine.add("B")
        task.cancel()
        assert turns >= 25


async def test_a_change_of_the_schema_is_followed(served: Served, source: Source) -> None:
    async with served() as client:
        remote = client.machine
        await remote.add("A")
        source.set_schema({"New": {}, **SCHEMA})
        assert (await remote.add("B")).executed
        assert "New" in remote.names
        assert (await remote.add("New")).executed
        assert remote.clock() == source.clock()


async def test_a_peer_without_its_lease_carries_nothing_out(
    served: Served, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served() as client:
        await client.machine.add("A")
        before = source.clock()
        with monkeypatch.context() as lost:
            lost.setattr("grid.mailbox.dispatcher.Dispatcher.may_answer", lambda _: False)
            with pytest.raises((CallTimeout, NotConnected)):
                await client.machine.add("B", timeout=0.2)
        assert source.clock() == before
