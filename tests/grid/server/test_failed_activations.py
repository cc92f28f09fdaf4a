"""A request whose actor fails in its start is told so after the first start."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

import pytest

import grid
from grid.errors import OnStartFailed, StoreUnavailable
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Fails:
    """Counts its starts, each of which fails: at once, or when a request waits."""

    starts: ClassVar[list[str]] = []

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.starts.append(ctx.name)
        if ctx.name.endswith("busy"):
            assert ctx.mailbox is not None
            await wait_until(lambda: len(ctx.mailbox) > 0, "a request in its mailbox")
        if "away" in ctx.name and len(self.starts) < 3:
            raise StoreUnavailable("it starts")
        if "away" not in ctx.name:
            raise LookupError("no stock")

    @grid.handler
    async def serve(self, ask: EchoMsg) -> EchoMsg:
        return ask

    @grid.handler
    async def chat(self, first: EchoMsg, stream: grid.Stream) -> None:
        await stream.send(first)


@pytest.fixture
async def failing(grid_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> type[Fails]:
    # No busy machine takes so long to ask: it is told of the start, and starts no other one.
    monkeypatch.setattr("grid.server.running_actor._TELL", 60.0)
    Fails.starts.clear()
    for _ in range(3):
        server = grid_servers()
        server.actor("stock", activate=True, mailbox=4)(Fails)
        await server.start()
    return Fails


@pytest.mark.parametrize("when", ["idle", "busy"])
async def test_a_start_that_fails_in_on_start_is_told_after_the_first_one(
    failing: type[Fails], grid_client: grid.Client, when: str
) -> None:
    name = f"stock-{when}"
    asked = await asyncio.gather(
        *(grid_client.request(name, EchoMsg()) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in asked] == [OnStartFailed] * 3
    assert all("LookupError: no stock" in str(one) for one in asked)
    assert not any(one.retryable for one in asked if isinstance(one, OnStartFailed))
    assert failing.starts == [name]
    peers = [one.name for one in await grid_client.query("peer")]
    reports = [one for peer in peers for one in await grid_client.actor_reports(peer)]
    assert [(one.name, one.state) for one in reports] == [(name, "failed")]


async def test_a_stream_is_told_of_a_failed_on_start_too(
    failing: type[Fails], grid_client: grid.Client
) -> None:
    with pytest.raises(OnStartFailed, match="no stock"):
        await grid_client.stream("stock-idle", EchoMsg())
    assert failing.starts == ["stock-idle"]


async def test_a_start_that_fails_by_a_retryable_error_is_tried_again(
    failing: type[Fails], grid_client: grid.Client
) -> None:
    found = await grid_client.request("stock-away", EchoMsg(msg="hi"), reply=EchoMsg)
    assert found.msg == "hi"
    assert failing.starts == ["stock-away"] * 3


async def test_an_actor_whose_on_start_failed_is_started_by_a_later_request(
    failing: type[Fails], grid_client: grid.Client
) -> None:
    for _ in range(2):
        with pytest.raises(OnStartFailed):
            await grid_client.request("stock-idle", EchoMsg())
        await grid_client.stop_actor("stock-idle")  # it tells no longer
    assert failing.starts == ["stock-idle"] * 2


async def test_the_name_of_a_failed_start_is_free_after_a_while(
    failing: type[Fails], grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.server.running_actor._TELL", 0.05)
    await grid_client.start_actor("stock", name="stock-idle")

    async def gone() -> bool:
        return not await grid_client.query("actor")

    await wait_until(gone, "the names are free", timeout=30)
    assert failing.starts == ["stock-idle"]


async def test_a_factory_that_fails_by_a_retryable_error_is_tried_as_often_as_a_request(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    starts: list[str] = []
    server = grid_servers()

    class Away:
        def __init__(self) -> None:
            starts.append("one")
            raise StoreUnavailable("it starts")

        @grid.handler
        async def serve(self, ask: EchoMsg) -> EchoMsg:
            return ask

    server.actor("plain")(Away)
    server.actor("stock", activate=True)(Away)
    await server.start()
    with pytest.raises(StoreUnavailable):
        await grid_client.start_actor("plain", timeout=60)
    by_hand = len(starts)
    starts.clear()
    with pytest.raises(StoreUnavailable) as told:
        await grid_client.request("stock", EchoMsg(), timeout=60)
    assert told.value.retryable
    assert len(starts) == by_hand == 6
