"""Ways of using a remote machine: queues, contexts, functions, files, logs, other peers, TLS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.testing import wait_until
from machine import Machine
from rpc.machines.client import Client
from rpc.machines.errors import NotConnected, RemoteError, UnknownCall
from rpc.machines.files import read_payload, save_payload
from rpc.machines.payloads import Payload, Progress
from rpc.machines.server import Server
from tests.grid.tls_kit import Authority
from tests.rpc.machines.kit import SCHEMA


@pytest.fixture(params=["in process", "over a session"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "over a session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    way: str = request.param
    return way


def machine_of(schema: Any = SCHEMA) -> Machine[Any]:
    return Machine(schema, id="lights")


async def test_a_mirror_waits_for_the_queue_of_its_source(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine = machine_of({"A": {}, "B": {}, "C": {}, "D": {}})
    async with (
        Server(machine, grid_server, interval=0.01),
        Client[Any](grid_client, "lights") as client,
    ):
        remote = client.machine
        await remote.add("A")
        turn = remote.when_queue(machine.queue_tick + 3)
        for state in ("B", "C"):
            machine.add(state)
        await remote.sync()
        assert not turn.done
        machine.add("D")
        await turn
        assert remote.is_("A", "B", "C", "D")


async def test_a_handler_between_a_state_and_itself_refuses(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine = machine_of({"A": {"multi": True}, "B": {}})
    asked: list[int] = []

    def again() -> bool:
        asked.append(1)
        return False

    machine.add("A")
    machine.bind({"AA": again})
    async with Server(machine, grid_server), Client[Any](grid_client, "lights") as client:
        result = await client.machine.set("A", "B")
        assert result.canceled
        assert asked == [1]
        assert client.machine.active == ("A",)
        assert client.machine.clock() == machine.clock()


async def test_a_context_ends_with_an_off_and_on_inside_of_one_update(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine = machine_of()
    machine.add("A")
    async with (
        Server(machine, grid_server) as server,
        Client[Any](grid_client, "lights", interval=0) as client,
    ):
        remote = client.machine
        context, ticked = remote.state_ctx("A"), remote.when_ticks("A", 2)
        never = remote.when_not("A")
        machine.remove("A")
        machine.add("A")
        await remote.sync()
        assert remote.is_("A")
        assert context.expired
        assert ticked.done
        assert not never.done  # it was never seen without the state
        assert server.mirrors[0].pushes == 0


async def test_arguments_are_waited_for_whoever_sets_them(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with (
        Server(machine_of(), grid_server),
        Client[Any](grid_client, "lights") as waiting,
        Client[Any](grid_client, "lights") as acting,
    ):
        wait = waiting.machine.when_args("B", {"by": "kim"})
        other = waiting.machine.when_args("B", {"by": "eve"})
        await waiting.machine.add("B", args={"by": "joe"})  # after the waits, in their order
        await acting.machine.add("B", args={"by": "kim", "at": 1})
        await wait
        assert not other.done


async def test_the_source_calls_functions_of_its_clients(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async def half(number: float) -> float:
        return number / 2

    def fails() -> None:
        raise LookupError("no such thing")

    getters: dict[str, Any] = {"half": half, "fails": fails}
    async with (
        Server(machine_of(), grid_server) as server,
        Client[Any](grid_client, "lights", mirror="me", getters=getters),
    ):
        assert await server.call("me", "half", number=84) == 42
        with pytest.raises(RemoteError, match="LookupError: no such thing"):
            await server.call("me", "fails")
        with pytest.raises(UnknownCall, match="fails, half"):
            await server.call("me", "nope")
        with pytest.raises(NotConnected, match="'you' is not connected"):
            await server.call("you", "half", number=1)


async def test_a_client_writes_into_the_log_of_the_source(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Server(machine_of(), grid_server),
        Client[Any](grid_client, "lights", mirror="me") as client,
    ):
        with caplog.at_level(logging.INFO, "rpc.server"):
            await client.machine.log("the lamp flickers")
            await client.machine.sync()
    assert "mirror 'me': the lamp flickers" in caplog.messages


async def test_files_go_both_ways_with_progress(
    grid_server: grid.Server, grid_client: grid.Client, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(bytes(range(256)) * 1000)
    progress: dict[str, list[Progress]] = {"up": [], "down": [], "came": []}

    async def taken(payload: Payload) -> None:
        await save_payload(payload, tmp_path / f"{payload.metadata['way']}.jpg")

    async with (
        Server(machine_of(), grid_server, on_payload=taken) as server,
        Client[Any](
            grid_client, "lights", on_payload=taken, on_progress=progress["came"].append
        ) as client,
    ):
        up = await read_payload(photo, {"way": "up"})
        await client.send_payload(up, progress["up"].append)
        down = await read_payload(photo, {"way": "down"})
        await server.send_payload(down, on_progress=progress["down"].append)
    for way, seen in progress.items():
        assert len(seen) > 1, way
        assert seen[-1] == Progress("photo.jpg", 256_000, 256_000)
        assert [one.done for one in seen] == sorted(one.done for one in seen)
    for way in ("up", "down"):
        assert (tmp_path / f"{way}.jpg").read_bytes() == photo.read_bytes()


async def test_a_mirror_follows_its_machine_to_another_peer(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client
) -> None:
    machine = machine_of()
    async with grid_servers() as one, grid_servers() as other:
        first = Server(machine, one)
        await first.start()
        async with Client[Any](grid_client, "lights", timeout=30) as client:
            remote = client.machine
            await remote.add("A")
            both, context = remote.when("A", "B"), remote.state_ctx("A")
            await first.stop()
            await client.mach.when_not("Ready")
            calling = asyncio.create_task(remote.add("B"))  # it waits for the connection
            async with Server(machine, other):
                assert (await calling).executed
                await both
                assert machine.tick("B") == 1
                assert remote.clock() == machine.clock()
                assert remote.connected
                assert not context.expired
        await wait_until(lambda: not machine.tracers, "nothing watches the machine")


async def test_a_machine_is_used_over_mutual_tls(
    grid_servers: Callable[..., grid.Server], grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    machine = machine_of()
    got: list[Payload] = []
    tls = {name: authority.tls(name) for name in ("peer", "client")}
    async with (
        grid_servers(tls=tls["peer"], unix_socket=False) as peer,
        Server(machine, peer, interval=0.01, on_payload=got.append),
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint, tls=tls["client"]) as grid_client,
        Client[Any](grid_client, "lights") as client,
    ):
        assert (await client.machine.add("A")).executed
        machine.add("B")
        await client.machine.when("A", "B")
        await client.send_payload(Payload("key", b"secret"))
    assert [one.data for one in got] == [b"secret"]
