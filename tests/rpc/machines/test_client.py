"""A remote machine, through the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from machine import InvalidArgument, Machine, Tracer, Transition, UnknownState
from rpc.machines.access import Access
from rpc.machines.client import Client
from rpc.machines.errors import AccessDenied, NotPlainData, RemoteError, UnknownCall
from rpc.machines.payloads import Payload, Progress
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

Connect = Callable[..., AbstractAsyncContextManager[tuple[Machine[Any], Any]]]


@pytest.fixture(params=["in process", "over a session"])
def connect(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    grid_server: Peer,
    grid_client: GridClient,
) -> Connect:
    """Makes a machine and a remote machine of it."""
    if request.param == "over a session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)

    @asynccontextmanager
    async def connected(
        server: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[tuple[Machine[Any], Any]]:
        machine: Machine[Any] = Machine(SCHEMA, id="lights")
        async with (
            Server(machine, grid_server, interval=0.01, **(server or {})),
            Client[Any](grid_client, "lights", **options) as client,
        ):
            yield machine, client.machine

    return connected


async def test_mutations_are_seen_when_they_return(connect: Connect) -> None:
    async with connect() as (machine, remote):
        assert (await remote.add("A", "B")).executed
        assert machine.is_("A", "B")
        assert remote.is_("A", "B")
        assert (await remote.add("D")).executed
        assert remote.not_("A")
        assert (await remote.set("C")).canceled
        assert remote.time() == machine.time()
        assert str(remote) == str(machine)


async def test_changes_at_the_source_come_by_themselves(connect: Connect) -> None:
    async with connect() as (machine, remote):
        wait = remote.when("A")
        machine.add("A")
        await wait
        context = remote.state_ctx("A")
        machine.remove("A")
        machine.add("A")
        await remote.when_ticks_eq("A", 3)
        assert context.expired


async def test_unknown_states_are_refused_here(connect: Connect) -> None:
    async with connect() as (_, remote):
        with pytest.raises(UnknownState):
            await remote.add("Nope")


async def test_arguments_that_cannot_be_sent_are_refused_here(connect: Connect) -> None:
    async with connect() as (machine, remote):
        with pytest.raises(NotPlainData, match="x is of type object, which cannot be sent"):
            await remote.add("A", args={"x": object()})
        assert machine.not_("A")


async def test_a_wait_for_arguments_matches_whoever_sets_them(connect: Connect) -> None:
    async with connect() as (machine, remote):
        wait, other = remote.when_args("A", {"by": "kim"}), remote.when_args("A", {"by": "eve"})
        await remote.sync()
        machine.add("A", args={"by": "kim", "at": 1})
        await wait
        assert not other.done


async def test_errors_come_with_type_and_text(connect: Connect) -> None:
    async with connect() as (machine, remote):
        machine.add_err(ValueError("too warm"))
        await remote.when_err()
        await remote.sync()
        assert isinstance(remote.err, RemoteError)
        assert (remote.err.type, remote.err.remote_text) == ("ValueError", "too warm")
        await remote.add_err(KeyError("from afar"))
        assert "from afar" in str(machine.err)


async def test_a_remote_machine_waits_for_any_end(connect: Connect) -> None:
    async with connect() as (_, remote):
        with pytest.raises(InvalidArgument, match="no state is final"):
            remote.when_final()
        assert not remote.is_final


@pytest.mark.parametrize("failing", [False, True])
async def test_final_states_of_a_remote_machine(
    failing: bool, grid_server: Peer, grid_client: GridClient
) -> None:
    machine = Machine("Working^; Done$", id="job")
    async with (
        Server(machine, grid_server, interval=0.01),
        Client[Any](grid_client, "job", states=machine.schema) as client,
    ):
        remote = client.machine
        assert remote.is_("Working")
        ended = remote.when_final()
        if failing:
            machine.add_err(ValueError("too warm"))
            with pytest.raises(RemoteError, match="too warm"):
                await asyncio.wait_for(ended, 5)
        else:
            machine.add("Done")
            await asyncio.wait_for(ended, 5)
            assert remote.is_final


async def test_functions_are_called_both_ways(connect: Connect) -> None:
    async def double(number: int) -> int:
        return 2 * number

    def fails() -> None:
        raise LookupError("no such thing")

    options = {"server": {"getters": {"double": double, "fails": fails}}}
    async with connect(**options, getters={"half": lambda n: n / 2}, mirror="me") as (_, remote):
        assert await remote.get("double", number=21) == 42
        with pytest.raises(RemoteError, match="LookupError: no such thing"):
            await remote.get("fails")
        with pytest.raises(UnknownCall, match="double, fails"):
            await remote.get("nope")


async def test_access_is_for_states(connect: Connect) -> None:
    rule = {"server": {"access": Access(read={"A", "B"}, mutate={"A"})}}
    async with connect(**rule) as (machine, remote):
        assert set(remote.names) == {"Exception", "A", "B"}
        assert (await remote.add("A")).executed
        with pytest.raises(AccessDenied):
            await remote.add("B")
        assert machine.not_("B")


async def test_part_of_a_machine(connect: Connect) -> None:
    async with connect(allowed=["C", "D"], skipped=["D"]) as (machine, remote):
        machine.add("A")
        machine.add("C")
        await remote.when("C")
        assert remote.tick("C") == machine.tick("C")
        assert (await remote.remove("C")).executed
        assert machine.is_("A")
        assert machine.not_("C")


async def test_a_shallow_mirror_follows_activity(connect: Connect) -> None:
    async with connect(shallow=True) as (machine, remote):
        for _ in range(3):
            machine.add("A")
            await remote.when("A")
            machine.remove("A")
            await remote.when_not("A")
        assert remote.tick("A") == 6


async def test_tracers_see_each_change_of_the_mirror(connect: Connect) -> None:
    class Seen(Tracer):
        def __init__(self) -> None:
            self.changes: list[Any] = []

        def transition_end(self, tx: Transition) -> None:
            self.changes.append([(one.name, one.ticks) for one in tx.changes])

    async with connect() as (_, remote):
        seen = Seen()
        remote.bind_tracer(seen)
        await remote.add("A")
        await remote.add("D")
        assert seen.changes == [[("A", 1)], [("A", 1), ("D", 1)]]


async def test_queued_mutations_are_told_twice(connect: Connect) -> None:
    async with connect() as (machine, remote):
        machine._m_busy.acquire()
        result = await remote.add("A")
        assert result.queued
        machine._m_busy.release()
        machine.add("B")
        assert (await result).executed


async def test_payloads_go_both_ways_with_progress(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    there: list[Payload] = []
    here: list[Payload] = []
    progress: list[Progress] = []
    async with (
        Server(machine, grid_server, on_payload=there.append) as server,
        Client[Any](grid_client, "lights", on_payload=here.append) as client,
    ):
        data = bytes(200_000)
        await client.send_payload(Payload("up", data, {"k": "v"}), progress.append)
        assert progress[-1] == Progress("up", len(data), len(data))
        assert len(progress) > 1
        came = client.mach.when_ticks("ServerPayload", 2)
        await server.send_payload(Payload("down", data))
        await came
        await client.machine.sync()
    assert [(one.name, one.data, one.metadata) for one in there] == [("up", data, {"k": "v"})]
    assert [(one.name, one.data) for one in here] == [("down", data)]
