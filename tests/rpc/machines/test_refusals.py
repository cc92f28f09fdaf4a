"""Refusals of a client at its source: it ends at once, knows why, and does not ask again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.errors import Filtered, RequestFailed
from grid.errors import InvalidArgument as InvalidSetting
from machine import InvalidArgument, Machine
from rpc.machines.access import Access, Visitor
from rpc.machines.client import Client
from rpc.machines.errors import AccessDenied, NotConnected, SourceGone
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

RULE_FAILED = "the access rule of 'lights' failed"


def lights() -> Machine[Any]:
    return Machine(SCHEMA, id="lights")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("secret"),
        InvalidArgument("secret"),
        SourceGone("secret"),
        InvalidSetting("secret", 1, "another"),
        RequestFailed("secret", "UNAVAILABLE"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_rule_that_fails_refuses_its_client_at_once(
    grid_server: grid.Server,
    grid_client: grid.Client,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    visits: list[str] = []

    def rule(visitor: Visitor) -> Access:
        visits.append(visitor.mirror)
        if visitor.token == "odd":  # noqa: S105
            raise error
        return Access.all()

    async with Server(lights(), grid_server, access=rule) as server:
        refused = Client[Any](grid_client, "lights", mirror="odd", token="odd")  # noqa: S106
        with pytest.raises(AccessDenied, match=RULE_FAILED) as caught:
            await refused.start(timeout=20)
        assert "secret" not in str(caught.value)
        with pytest.raises(AccessDenied, match=RULE_FAILED):
            await refused.start(timeout=20)
        await refused.close()
        assert visits == ["odd"]
        assert server.mach.err is error
        (record,) = [one for one in caplog.records if RULE_FAILED in one.getMessage()]
        assert record.exc_info is not None
        assert record.exc_info[1] is error
        async with Client[Any](grid_client, "lights") as client:
            assert (await client.machine.add("A")).executed


async def test_a_rule_chooses_to_refuse_or_to_let_a_client_come_again(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    answers: list[Exception] = [AccessDenied("not on Sundays"), NotConnected("the list is away")]

    def rule(_: Visitor) -> Access:
        if answers:
            raise answers.pop()
        return Access.all()

    async with Server(lights(), grid_server, access=rule):
        refused = Client[Any](grid_client, "lights")
        with pytest.raises(AccessDenied, match="not on Sundays"):
            await refused.start(timeout=20)  # it has come again
        await refused.close()
        assert not answers


async def _no_token(call: grid.IncomingCall, _: grid.Proceed[grid.IncomingCall]) -> Any:
    raise RequestFailed("no token", "UNAUTHENTICATED")


async def _fails(call: grid.IncomingCall, _: grid.Proceed[grid.IncomingCall]) -> Any:
    raise ValueError("a defect")


async def _skips(_: grid.IncomingCall) -> bool:
    return False


@pytest.mark.parametrize(
    ("options", "expected", "text"),
    [
        ({"interceptors": [_no_token]}, AccessDenied, "no token"),
        ({"interceptors": [_fails]}, RequestFailed, "a defect"),
        ({"filters": [_skips]}, Filtered, "skipped by a filter of the receiver"),
    ],
    ids=["interceptor", "interceptor that fails", "filter"],
)
async def test_what_a_peer_refuses_is_not_asked_again(
    grid_servers: Callable[..., grid.Server],
    options: dict[str, Any],
    expected: type[Exception],
    text: str,
) -> None:
    peer = grid_servers(**options)
    async with peer, Server(lights(), peer):
        refused = Client[Any](peer.client, "lights")
        with pytest.raises(expected, match=text):
            await refused.start(timeout=20)
        await refused.close()
