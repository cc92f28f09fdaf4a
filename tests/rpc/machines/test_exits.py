"""Users' functions that raise what is no `Exception`: their caller gets it, others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import grid
from machine import Machine
from rpc.machines.access import Access, Visitor
from rpc.machines.backoff import RetryPolicy
from rpc.machines.client import Client
from rpc.machines.errors import AccessDenied, RemoteError
from rpc.machines.payloads import Payload
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

EXITS = (asyncio.CancelledError("mine"), SystemExit("mine"), KeyboardInterrupt("mine"))
exits = pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
AT_ONCE = RetryPolicy(first_timeout=0.0)


@pytest.fixture(params=["by calls", "by messages", "over a socket"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of a client whose mutations go each of the ways to a machine."""
    if request.param == "over a socket":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    return {"steps": True} if request.param == "by messages" else {}


@exits
async def test_a_handler_that_exits_fails_its_mutation_alone(
    grid_server: grid.Server,
    grid_client: grid.Client,
    way: dict[str, Any],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leave() -> None:
        raise error

    machine: Machine[Any] = Machine(SCHEMA, id="lights", handlers={"BState": leave})
    async with (
        Server(machine, grid_server),
        Client[Any](grid_client, "lights", **way) as client,
        Client[Any](grid_client, "lights") as other,
    ):
        with pytest.raises(RemoteError, match=f"{type(error).__name__}: mine"):
            await client.machine.add("B")
        assert client.connected
        assert other.connected
        assert (await client.machine.add("A")).executed
        assert (await other.machine.add("A")).executed
    assert "a mutation of mirror" in caplog.text


@exits
async def test_an_access_rule_that_exits_refuses_its_visitor_alone(
    grid_server: grid.Server, grid_client: grid.Client, error: BaseException
) -> None:
    def rule(visitor: Visitor) -> Access:
        if visitor.mirror == "wrong":
            raise error
        return Access.all()

    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server, access=rule):
        refused = Client[Any](grid_client, "lights", mirror="wrong", retry=AT_ONCE)
        with pytest.raises(AccessDenied, match="the access rule of 'lights' failed"):
            await refused.start()
        async with Client[Any](grid_client, "lights", retry=AT_ONCE) as client:
            assert (await client.machine.add("A")).executed


@exits
async def test_functions_that_exit_fail_their_calls_alone(
    grid_server: grid.Server, grid_client: grid.Client, error: BaseException
) -> None:
    async def leave(_: object = None) -> None:
        raise error

    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with (
        Server(machine, grid_server, getters={"leave": leave}, on_payload=leave),
        Client[Any](grid_client, "lights", getters={"leave": leave}, on_payload=leave) as client,
    ):
        with pytest.raises(RemoteError, match=f"{type(error).__name__}: mine"):
            await client.get("leave")
        with pytest.raises(RemoteError, match=f"{type(error).__name__}: mine"):
            await client.send_payload(Payload("photo", b"x"))
        assert client.connected
