"""Names of states that a machine does not have: refused where they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import InvalidArgument, Machine
from rpc.machines.access import Access
from rpc.machines.client import Client
from rpc.machines.errors import AccessDenied
from rpc.machines.exposing import expose
from rpc.machines.server import Server

SCHEMA = {"Green": {}, "Red": {"remove": ["Green"]}, "Hidden": {}}
SOON = 20.0

Given = Callable[..., dict[str, Any]]


def lights() -> Machine[Any]:
    return Machine(SCHEMA, id="lights")


@pytest.mark.parametrize(
    "access",
    [
        Access(read={"Gren"}),
        Access(mutate={"Red", "Gren"}),
        {"": Access.read_only(), "operator": Access(mutate={"Gren"})},
    ],
    ids=["read", "mutate", "token"],
)
async def test_access_that_names_no_state_of_the_machine(access: Any, grid_server: Peer) -> None:
    with pytest.raises(InvalidArgument, match=r"no state 'Gren'; did you mean 'Green'") as told:
        Server(lights(), grid_server, access=access)
    assert told.value.state == "Gren"
    with pytest.raises(InvalidArgument, match=r"no state 'Gren'"):
        expose(grid_server, lights(), access=access)


async def test_a_rule_that_names_no_state_refuses_the_visitor(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = lights()
    async with Server(machine, grid_server, access=lambda _: Access(read={"Rde"})) as server:
        client = Client[Any](grid_client, "lights")
        with pytest.raises(AccessDenied, match="the access rule of 'lights' failed"):
            await client.start(timeout=SOON)
        await client.close()
        assert isinstance(server.mach.err, InvalidArgument)
        assert "no state 'Rde'; did you mean 'Red'" in str(server.mach.err)


@pytest.mark.parametrize("argument", ["allowed", "skipped"])
async def test_a_part_that_names_no_state(
    argument: str, grid_server: Peer, grid_client: GridClient
) -> None:
    wrong: dict[str, Any] = {argument: ["Gren"]}
    # With the states at hand the mistake is seen at once.
    with pytest.raises(InvalidArgument, match=f"{argument}: .*'Gren'; did you mean 'Green'"):
        Client[Any](grid_client, "lights", states=lights().schema, **wrong)
    async with Server(lights(), grid_server) as server:
        client = Client[Any](grid_client, "lights", **wrong)
        with pytest.raises(InvalidArgument, match=f"{argument}: .*'Gren'; did you mean 'Green'"):
            await client.start(timeout=SOON)
        await client.close()
        await wait_until(lambda: not server.mirrors, "no mirror", timeout=SOON)
        async with Client[Any](grid_client, "lights", allowed=["Green"]) as right:
            assert "Green" in right.machine.names


async def test_an_error_does_not_tell_states_that_are_hidden(
    grid_server: Peer, grid_client: GridClient
) -> None:
    async with Server(lights(), grid_server, access=Access(read={"Green", "Red"})):
        client = Client[Any](grid_client, "lights", allowed=["Hiddn"])
        with pytest.raises(InvalidArgument, match="no state 'Hiddn'") as told:
            await client.start(timeout=SOON)
        await client.close()
        assert "Hidden" not in str(told.value)
        hidden = Client[Any](grid_client, "lights", allowed=["Hidden"])
        with pytest.raises(AccessDenied, match="none of these"):
            await hidden.start(timeout=SOON)
        await hidden.close()


async def test_a_relay_shows_none_of_the_states_that_it_does_not_have(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = lights()
    async with (
        Server(machine, grid_server),
        Client[Any](grid_client, "lights", states=machine.schema, allowed=["Red"]) as part,
        Server(part.machine, grid_server, name="relay"),
    ):
        client = Client[Any](grid_client, "relay", states=machine.schema, allowed=["Green"])
        with pytest.raises(AccessDenied, match="none of these"):
            await client.start(timeout=SOON)
        await client.close()
