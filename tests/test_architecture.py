"""The architecture page tells the truth: its pictures are current, its trips are made."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

import grid
from docs.pictures import pictures
from docs.trips import TRIPS
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from machine import Machine, Schema
from tests.grid.echo_kit import go_over_the_wire

Call = tuple[str, str]


def test_pictures_are_current() -> None:
    for path, text in pictures().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: make pictures"


@contextmanager
def recording(calls: list[Call]) -> Iterator[None]:
    def record(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls.append((frame.f_globals.get("__name__", ""), frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield
    finally:
        sys.setprofile(before)


def assert_made(trip: str, calls: list[Call]) -> None:
    left = iter(calls)
    for step in TRIPS[trip]:
        wanted = step.module, step.function
        assert wanted in left, f"{wanted} is not entered, or not in this order"


async def echo(mailbox: grid.Mailbox) -> None:
    async for request in mailbox:
        request.respond(request.message)


async def test_the_trip_of_a_request(
    grid_server: grid.Server, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_over_the_wire("session", monkeypatch)
    calls: list[Call] = []
    async with grid_server.open_mailbox("m") as mailbox:
        serving = asyncio.create_task(echo(mailbox))
        await grid_client.request("m", EchoMsg())
        with recording(calls):
            await grid_client.request("m", EchoMsg())
    await serving
    assert_made("request", calls)


async def test_the_trip_of_a_name(grid_server: grid.Server, grid_client: grid.Client) -> None:
    calls: list[Call] = []
    forgotten = ("grid.registry.view", "RegistryView.apply")
    with recording(calls):
        mailbox = await grid_server.open_mailbox("m")
        serving = asyncio.create_task(echo(mailbox))
        await grid_client.request("m", EchoMsg())
        closing = len(calls)
        await mailbox.close()
        await wait_until(lambda: forgotten in calls[closing:], "the client to forget the name")
    await serving
    assert_made("name", calls)


def test_the_trip_of_a_mutation() -> None:
    class Handlers:
        def SailingEnter(self) -> None: ...
        def SailingState(self) -> None: ...

    # No other test has this schema, so that its moves are not remembered yet.
    machine = Machine(Schema.parse("Moored -Sailing; Sailing -Moored"), handlers=Handlers())
    waiting = machine.when("Sailing")
    calls: list[Call] = []
    with recording(calls):
        machine.add("Sailing")
    assert waiting.done
    assert_made("mutation", calls)
