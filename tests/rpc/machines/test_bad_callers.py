"""Bad input, failing functions and slow sources: the error reaches its cause, and no one else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument as InvalidSetting
from grid.errors import RequestFailed, UnknownMailbox
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import InvalidArgument, Machine
from rpc.machine_pb2 import Hello, Mutation, Outcome, Packed, Scalar, Subscribe, ToSource, Values
from rpc.machines.access import Access, Visitor
from rpc.machines.backoff import Backoff, RetryPolicy
from rpc.machines.client import Client
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    PayloadTooLarge,
    RemoteError,
)
from rpc.machines.payloads import Payload
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA, SpoilingClient, answer


def machine_of(schema: Any = SCHEMA) -> Machine[Any]:
    return Machine(schema, id="lights")


# -- numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda client, _: Client[Any](client, "lights", timeout=0.0),
        lambda client, _: Client[Any](client, "lights", timeout=float("nan")),
        lambda client, _: Client[Any](client, "lights", connect_timeout="1"),  # type: ignore[arg-type]
        lambda client, _: Client[Any](client, "lights", interval=-1.0),
        lambda client, _: Client[Any](client, "lights", interval=1e6),
        lambda client, _: Client[Any](client, "lights", payload_limit=True),
        lambda *_: RetryPolicy(first_pause=-0.1),
        lambda *_: RetryPolicy(longest_pause=float("inf")),
        lambda *_: RetryPolicy(timeout=float("nan")),
        lambda *_: RetryPolicy(first_timeout=True),
        lambda _, peer: Server(machine_of(), peer, interval=float("nan")),
        lambda _, peer: Server(machine_of(), peer, payload_limit=0),
    ],
)
async def test_numbers_are_checked_where_they_are_given(
    grid_client: GridClient, grid_server: Peer, make: Callable[[GridClient, Peer], object]
) -> None:
    with pytest.raises(InvalidSetting):
        make(grid_client, grid_server)


async def test_the_time_of_a_call_is_a_number(grid_client: GridClient, grid_server: Peer) -> None:
    async with Server(machine_of(), grid_server), Client[Any](grid_client, "lights") as client:
        for wrong in ("1", float("nan"), True):
            with pytest.raises(InvalidSetting):
                await client.machine.add("A", timeout=wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidSetting):
                await client.get("x", timeout=wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidSetting):
                await client.machine.sync(timeout=wrong)  # type: ignore[arg-type]


# -- timeouts ------------------------------------------------------------------------------


async def test_a_call_that_was_not_sent_says_so(grid_server: Peer, grid_client: GridClient) -> None:
    machine = machine_of()
    server = Server(machine, grid_server)
    await server.start()
    async with Client[Any](grid_client, "lights", timeout=0.2) as client:
        await server.stop()
        await client.mach.when_not("Ready")
        with pytest.raises(NotConnected, match=r"not connected within 0\.2 s; nothing was sent"):
            await client.machine.add("A")
        async with Server(machine, grid_server):
            await client.mach.when("Ready")
            await client.machine.sync()
            assert machine.not_("A")


async def test_a_call_without_an_answer_may_have_run(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of()
    spoiling: Any = SpoilingClient(grid_client)
    async with Server(machine, grid_server), Client[Any](spoiling, "lights") as client:
        spoiling.deaf = True
        started = time.monotonic()
        calls = [client.machine.add("A", timeout=timeout) for timeout in (0.3, 0.6, 0.4)]
        ends: list[float] = []

        async def ended(call: Any) -> None:
            with pytest.raises(CallTimeout, match="may have run"):
                await call
            ends.append(time.monotonic() - started)

        await asyncio.gather(*map(ended, calls))
        assert machine.is_("A")
        for end, timeout in zip(ends, (0.3, 0.4, 0.6), strict=True):
            assert timeout <= end < timeout + 0.25


async def test_a_start_that_takes_too_long_names_the_last_failure(grid_client: GridClient) -> None:
    client = Client[Any](grid_client, "nothing-here")
    with pytest.raises(
        CallTimeout, match=r"within 0\.4 s; the last attempt failed: \w+: .*nothing-here"
    ):
        await client.start(0.4)
    await client.close()


def test_pauses_grow_until_a_connection_has_lived() -> None:
    backoff = Backoff(RetryPolicy(0.1, 1.0, timeout=10.0), 0.0, lambda: 1.0)
    assert [backoff.pause(0.0) for _ in range(4)] == [0.0, 0.1, 0.2, 0.4]
    backoff.disconnected(5.0, lived=0.5)
    assert backoff.pause(5.0) == 0.8
    backoff.disconnected(9.0, lived=1.0)
    assert [backoff.pause(9.0), backoff.pause(18.0)] == [0.0, 0.1]
    assert backoff.pause(19.0) is None


def test_the_first_connection_has_a_limit_of_its_own() -> None:
    policy = RetryPolicy(first_timeout=0.0, timeout=10.0)
    assert Backoff(policy, 0.0, lambda: 1.0).pause(0.0) is None
    later = Backoff(policy, 0.0, lambda: 1.0)
    later.disconnected(1.0, 0.5)
    assert later.pause(1.0) == 0.0
    assert later.pause(10.0) is None


def test_a_series_without_an_end_goes_on_with_the_longest_pause() -> None:
    backoff = Backoff(RetryPolicy(0.1, 3.0, timeout=None), 0.0, lambda: 1.0)
    assert [backoff.pause(float(at)) for at in range(2000)][-1] == 3.0


async def test_a_name_without_an_owner_is_told_at_once_if_asked(grid_client: GridClient) -> None:
    client = Client[Any](grid_client, "nobody", retry=RetryPolicy(first_timeout=0.0))
    with pytest.raises(UnknownMailbox):
        await client.start(timeout=30)
    await client.close()


async def test_a_source_that_closes_each_connection_is_not_asked_without_pause(
    grid_server: Peer, grid_client: GridClient
) -> None:
    mailbox = await grid_server.open_mailbox("lights")
    opened = 0

    async def closes() -> None:
        nonlocal opened
        async for request in mailbox:
            opened += 1
            await request.accept().close()

    task = asyncio.create_task(closes())
    client = Client[Any](grid_client, "lights")
    with pytest.raises(CallTimeout):
        await client.start(0.5)
    await client.close()
    task.cancel()
    assert 1 < opened < 8


# -- waits for arguments -------------------------------------------------------------------


async def test_dropped_and_cancelled_waits_end_at_the_source(
    grid_server: Peer, grid_client: GridClient
) -> None:
    async with (
        Server(machine_of(), grid_server) as server,
        Client[Any](grid_client, "lights") as client,
    ):
        waits = [client.machine.when_args("A", {"n": n}) for n in range(3)]
        (mirror,) = server.mirrors
        await wait_until(lambda: len(mirror.waits) == 3, "three waits at the source")
        waits[0].cancel()
        del waits[1]
        await wait_until(lambda: len(mirror.waits) == 1, "one wait at the source")
        await client.machine.add("A", args={"n": 2})
        await waits[-1]
        assert not len(mirror.waits)


async def test_a_wait_that_cannot_be_made_ends_alone(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of()
    unknown = Values(fields={"x": Scalar(message=Packed(type_name="no.Such", data=b"1"))})
    async with (
        Server(machine, grid_server),
        grid_client.stream("lights", Hello(version=1, mirror="m")) as stream,
    ):
        await answer(stream)
        await stream.send(ToSource(subscribe=Subscribe(token=1, index=1, args=unknown)))
        refused = await answer(stream)
        assert refused.id == 1
        assert refused.fault.code == "not-plain-data"
        await stream.send(ToSource(subscribe=Subscribe(token=2, index=99)))
        assert "no state 99" in (await answer(stream)).fault.text
        await stream.send(ToSource(mutation=Mutation(id=1, indexes=[machine.index("A")])))
        assert (await answer(stream)).result == Outcome.EXECUTED


# -- mutations -----------------------------------------------------------------------------


async def test_a_call_that_is_sent_twice_has_one_final_outcome(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of()
    add_b = Mutation(id=1, indexes=[machine.index("B")])
    async with (
        Server(machine, grid_server, interval=0),
        grid_client.stream("lights", Hello(version=1, mirror="m")) as stream,
    ):
        await answer(stream)
        machine._m_busy.acquire()
        for _ in range(2):
            await stream.send(ToSource(mutation=add_b))
            assert (await answer(stream)).result == Outcome.QUEUED
        machine._m_busy.release()
        machine.add("A")
        assert (await answer(stream)).result == Outcome.EXECUTED
        await stream.send(ToSource(mutation=Mutation(id=2, indexes=[machine.index("C")])))
        assert (await answer(stream)).id == 2
        assert machine.tick("B") == 1


async def test_positions_are_those_of_the_names_that_the_mirror_had(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of({"A": {}, "B": {}})
    async with (
        Server(machine, grid_server),
        grid_client.stream("lights", Hello(version=1, mirror="m")) as stream,
    ):
        names = list((await answer(stream)).names)
        machine.set_schema({"A": {}, "B": {}, "C": {}})
        machine.verify_states(["Exception", "C", "B", "A"])
        await stream.send(ToSource(mutation=Mutation(id=1, indexes=[names.index("A")])))
        welcome = await answer(stream)
        assert list(welcome.names) == list(machine.names)
        assert (await answer(stream)).result == Outcome.EXECUTED
        assert machine.active == ("A",)
        at = list(machine.names).index("B")
        await stream.send(ToSource(mutation=Mutation(id=2, indexes=[at], welcome=1)))
        assert (await answer(stream)).result == Outcome.EXECUTED
        assert set(machine.active) == {"A", "B"}


async def test_a_mirror_follows_a_change_of_the_schema(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of({"A": {}, "B": {}})
    async with Server(machine, grid_server), Client[Any](grid_client, "lights") as client:
        await client.machine.add("A")
        machine.set_schema({"B": {}, "A": {}, "New": {}})
        machine.add("New")
        await wait_until(lambda: "New" in client.machine.names, "the new names")
        await client.machine.sync()
        assert client.machine.clock() == machine.clock()
        assert (await client.machine.remove("A")).executed
        assert machine.active == ("New",)


async def test_an_import_is_pushed(grid_server: Peer, grid_client: GridClient) -> None:
    machine = machine_of()
    machine.add("B")
    snapshot = machine.export()
    async with (
        Server(machine, grid_server, interval=0.01),
        Client[Any](grid_client, "lights") as client,
    ):
        await client.machine.add("A")
        machine.import_(snapshot)
        await client.machine.when_not("A")
        assert client.machine.clock() == machine.clock()


# -- pushes --------------------------------------------------------------------------------


async def test_another_interval_takes_effect_at_once(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of()
    async with (
        Server(machine, grid_server) as server,
        Client[Any](grid_client, "lights", interval=0) as client,
    ):
        machine.add("A")
        await client.machine.sync()
        machine.add("B")
        assert server.mirrors[0].pushes == 0
        change = client.machine.when("B")
        await client.set_interval(0.01)
        await change
        await client.set_interval(3000)
        machine.remove("B")
        machine.add("B")
        change = client.machine.when_ticks_eq("B", machine.tick("B"))
        await client.set_interval(0.01)
        await change


async def test_a_mirror_that_follows_transitions_sees_each_of_them(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = machine_of()
    async with (
        Server(machine, grid_server, interval=0.01),
        Client[Any](grid_client, "lights", steps=True) as client,
    ):
        for _ in range(5):
            assert (await client.machine.add("B")).executed
            machine.add("A")
            machine.remove("A")
        await client.machine.sync()
        assert client.machine.time() == machine.time()
        assert client.resyncs == 0


# -- functions of the user -----------------------------------------------------------------


async def test_payloads_that_are_refused_fail_at_their_sender(
    grid_server: Peer, grid_client: GridClient
) -> None:
    def fails(payload: Payload) -> None:
        if payload.name == "bad":
            raise ValueError("not this one")

    machine = machine_of()
    async with (
        Server(machine, grid_server, on_payload=fails, payload_limit=100_000) as server,
        Client[Any](grid_client, "lights", on_payload=fails, payload_limit=100_000) as client,
    ):
        sends = client.send_payload, server.send_payload
        for send in sends:
            with pytest.raises(PayloadTooLarge, match="limit is 100000"):
                await send(Payload("large", bytes(1_000_000)))
            with pytest.raises(RemoteError, match="ValueError: not this one"):
                await send(Payload("bad", b"1"))
            await send(Payload("good", bytes(90_000)))
        assert (await client.machine.add("A")).executed
        assert client.mach.tick("Connected") == 1


def test_other_objects_are_not_served(grid_server: Peer) -> None:
    with pytest.raises(InvalidArgument, match="a Machine or a RemoteMachine, not dict"):
        Server({}, grid_server)  # type: ignore[arg-type]


async def test_a_rule_that_raises_refuses_one_client(
    grid_server: Peer, grid_client: GridClient
) -> None:
    def rule(visitor: Visitor) -> Access | None:
        if visitor.token == "odd":  # noqa: S105
            raise KeyError("odd")
        return Access.all() if visitor.token else None

    async with Server(machine_of(), grid_server, access=rule):
        with pytest.raises(RequestFailed, match="access rule of 'lights' failed"):
            await grid_client.stream("lights", Hello(version=1, mirror="m", token="odd"))  # noqa: S106
        with pytest.raises(AccessDenied):
            await Client[Any](grid_client, "lights").start()
        async with Client[Any](grid_client, "lights", token="right") as client:  # noqa: S106
            assert (await client.machine.add("A")).executed


@pytest.mark.parametrize("error", [asyncio.CancelledError("mine"), SystemExit("mine")])
async def test_a_function_that_is_cancelled_or_exits_answers_with_that(
    grid_server: Peer, grid_client: GridClient, error: BaseException
) -> None:
    async def fails() -> None:
        raise error

    async with (
        Server(machine_of(), grid_server, getters={"fails": fails}),
        Client[Any](grid_client, "lights", timeout=20.0) as client,
    ):
        with pytest.raises(RemoteError, match=f"{type(error).__name__}: mine"):
            await client.get("fails")
        assert (await client.machine.add("A")).executed
