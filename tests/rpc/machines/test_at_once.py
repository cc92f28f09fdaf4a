"""Mutations that are carried out as they come, without a task's turn."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Machine
from rpc.machine_pb2 import Hello, Mutation, Outcome, ToSource
from rpc.machines.client import Client
from rpc.machines.errors import SourceGone
from rpc.machines.messages import VERSION
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA, answer

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Ending(Machine[Any], schema=SCHEMA):
    seen: list[str]

    def AState(self) -> None:
        self.seen.append(who.get())

    def DState(self) -> None:
        self.dispose()


@pytest.fixture(params=["in process", "over a session"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "over a session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


async def test_handlers_run_in_the_context_of_their_server(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = Ending(id="lights")
    machine.seen = []
    token = who.set("the server")
    async with Server(machine, grid_server):
        who.reset(token)
        async with Client[Any](grid_client, "lights") as client:
            await client.machine.add("A")
    assert machine.seen == ["the server"]


async def test_a_machine_that_a_call_ends_is_gone_for_its_only_mirror(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = Ending(id="lights")
    async with Server(machine, grid_server), Client[Any](grid_client, "lights") as client:
        remote = client.machine
        calls = await asyncio.gather(remote.add("D"), return_exceptions=True)
        assert machine.disposed
        await wait_until(lambda: remote.disposed, "the mirror has ended")
        with pytest.raises(SourceGone):
            await remote.add("A")
        assert len(calls) == 1


async def test_a_mirror_that_does_not_read_holds_itself_up(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    count = 1000
    async with Server(machine, grid_server, interval=0.0) as server:
        stream = await grid_client.stream("lights", Hello(version=VERSION, mirror="me"))
        welcome = await answer(stream)
        index = list(welcome.names).index("B")

        async def send() -> None:
            for number in range(1, count + 1):
                mutation = Mutation(id=number, indexes=[index])
                await stream.send(ToSource(mutation=mutation))

        sending = asyncio.create_task(send())
        (mirror,) = server.mirrors
        await wait_until(lambda: machine.tick("B") >= 256, "the source is held up")
        for _ in range(50):
            await asyncio.sleep(0)
            assert len(mirror._work) < 300
        assert not sending.done()
        outcomes: list[Outcome] = [await answer(stream) for _ in range(count)]
        await sending
        assert sorted(one.id for one in outcomes) == list(range(1, count + 1))
        assert [one.clock.sequence for one in outcomes if one.HasField("clock")] == sorted(
            one.clock.sequence for one in outcomes if one.HasField("clock")
        )
        assert machine.tick("B") == 2 * count - 1
        await stream.close()
