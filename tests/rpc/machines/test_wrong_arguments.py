"""Arguments of the wrong kind are refused where they are given, and calls after the end say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grid
import rpc
from grid.errors import InvalidArgument, InvalidName
from machine import Machine
from rpc.machines.access import Access
from rpc.machines.client import Client
from rpc.machines.errors import NotPlainData, SourceGone
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

HALF = "\udcff"  # of a surrogate pair, which UTF-8 cannot encode


AnyServer: Any = Server
AnyClient: Any = Client
AnyBlocking: Any = rpc.sync.Client


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda m, peer, _: AnyServer(m, None), "host must be a grid.Server"),
        (lambda m, _, client: AnyServer(m, client), "host must be a grid.Server"),
        (lambda m, peer, _: AnyServer(m, peer, access="all"), "access must be"),
        (lambda m, peer, _: AnyServer(m, peer, access={"": "all"}), "access of a token must be"),
        (lambda m, peer, _: AnyServer(m, peer, access={5: Access()}), "token of an access must be"),
        (lambda m, peer, _: AnyServer(m, peer, access={HALF: Access()}), "token of an access"),
        (lambda m, peer, _: AnyServer(m, peer, getters=5), "getters must be functions"),
        (lambda m, peer, _: AnyServer(m, peer, getters={"x": 5}), "getters must be functions"),
        (lambda m, peer, _: AnyServer(m, peer, on_payload=3), "on_payload must be a function"),
        (lambda *_: AnyClient(None, "x"), "client must be a grid.Client"),
        (lambda *_: AnyClient(grid.sync.Client(), "x"), "client must be a grid.Client"),
        (lambda _, __, client: AnyClient(client, "x", retry=5), "retry must be"),
        (lambda _, __, client: AnyClient(client, "x", token=5), "token must be a text"),
        (lambda _, __, client: AnyClient(client, "x", token=HALF), "token must be a text"),
        (lambda _, __, client: AnyClient(client, "x", allowed="A"), "allowed must be a list"),
        (lambda _, __, client: AnyClient(client, "x", skipped="A"), "skipped must be a list"),
        (lambda _, __, client: AnyClient(client, "x", on_payload=3), "on_payload must be"),
        (lambda _, __, client: AnyClient(client, "x", on_progress=3), "on_progress must be"),
        (lambda _, __, client: AnyClient(client, "x", getters={1: print}), "getters must be"),
        (lambda _, __, client: AnyBlocking(client, "x"), "client must be a grid.sync.Client"),
    ],
)
async def test_arguments_of_the_wrong_kind(
    grid_server: grid.Server, grid_client: grid.Client, make: Callable[..., object], text: str
) -> None:
    with pytest.raises(InvalidArgument, match=text):
        make(Machine(SCHEMA, id="lights"), grid_server, grid_client)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda client: client.machine.log(HALF), InvalidArgument),
        (lambda client: client.get(HALF), InvalidArgument),
        (lambda client: client.get(5), InvalidArgument),
        (lambda client: client.get("x", **{HALF: 1}), NotPlainData),
        (lambda client: client.machine.add("A", args={HALF: 1}), NotPlainData),
        (lambda client: client.machine.add("A", args={"deep": {HALF: 1}}), NotPlainData),
    ],
)
async def test_texts_that_cannot_be_sent(
    grid_server: grid.Server,
    grid_client: grid.Client,
    call: Callable[[Any], Any],
    kind: type[Exception],
) -> None:
    machine = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server), Client[Any](grid_client, "lights") as client:
        with pytest.raises(kind, match="UTF-8 can"):
            await call(client)
        assert (await client.machine.add("A")).executed


@pytest.mark.parametrize("name", ["", "a b", 5])
async def test_a_name_that_nothing_can_have_is_not_waited_for(
    grid_client: grid.Client, name: Any
) -> None:
    with pytest.raises(InvalidName):
        Client(grid_client, name)


async def test_what_a_closed_client_is_asked_says_that_it_is_closed(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server, access=Access.all()):
        async with Client[Any](grid_client, "lights") as client:
            remote = client.machine
        for call in (
            remote.add("A"),
            remote.sync(),
            client.get("x"),
            client.send_payload(rpc.Payload("photo", b"x")),
        ):
            with pytest.raises(SourceGone, match="the client of 'lights' was closed"):
                await call
