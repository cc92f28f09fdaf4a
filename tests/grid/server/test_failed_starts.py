"""A start that fails in whatever way leaves no name behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import FactoryFailed, GridError, MailboxClosed, OnStartFailed, RequestFailed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg


class Mute(Exception):
    """An error without a text: asking for it fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd:
    """An actor that cannot even be looked at."""

    def act(self, ctx: grid.ActorContext) -> None: ...

    def __getattribute__(self, name: str) -> Any:
        raise Mute


class OddCall:
    """A callable whose attributes fail once it is launched."""

    def __call__(self, ctx: grid.ActorContext) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise Mute


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    "factory",
    [
        lambda _: _raise(Mute()),
        lambda _: _raise(SystemExit(3)),
        lambda _: _raise(KeyboardInterrupt()),
        lambda _: _raise(asyncio.CancelledError()),
        lambda _: _raise(GeneratorExit()),
        lambda _: Odd(),
        lambda _: OddCall(),
        lambda _: 5,
    ],
    ids=["mute", "exit", "interrupt", "cancelled", "generator", "odd", "odd call", "number"],
)
async def test_a_name_is_free_after_a_failed_start(
    grid_server: grid.Server, grid_client: grid.Client, factory: Any
) -> None:
    grid_server.define("bad", factory, mailbox=4)
    try:
        await grid_client.start_actor("bad", name="b", timeout=5)
    except (FactoryFailed, RequestFailed):
        assert not await grid_client.query("actor")
        assert [one.name for one in await grid_client.query("mailbox")] == [grid_server.name]
    else:  # it could be launched, and ended by an error of its own
        await grid_client.query("actor")

    async def works(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    grid_server.define("good", lambda _: works, mailbox=4)
    while True:
        try:
            await grid_client.start_actor("good", name="b", timeout=5)
        except grid.errors.AlreadyRegistered:
            assert "b" in [one.name for one in await grid_client.query("actor")]
            await asyncio.sleep(0.01)
        else:
            break
    await grid_client.stop_actor("b")


async def test_cancelled_starts_leave_no_name(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async def works(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    grid_server.define("works", lambda _: works, mailbox=4)
    assert grid_server._lifecycle is not None
    runner = grid_server._lifecycle.runner
    for turns in range(60):  # cancelled at every turn of the loop that a start takes
        start = asyncio.create_task(runner.start("works", "w", b""))
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        try:
            await start
        except (asyncio.CancelledError, GridError):
            # Claims wait for what the cancelled one brings in, so the name is taken at once.
            await runner.start("works", "w", b"")
        await runner.stop("w", 0)
    assert not await grid_client.query("actor")


class NoStock:
    """An actor that fails before it serves its first request, which waits already."""

    async def on_start(self, ctx: grid.ActorContext) -> None:
        assert ctx.mailbox is not None
        await wait_until(lambda: len(ctx.mailbox) > 0, "a request in its mailbox")
        raise LookupError("the warehouse has no stock")

    @grid.handler
    async def serve(self, ask: EchoMsg) -> EchoMsg:
        return ask


@pytest.mark.parametrize("way", ["session", "local"])
@pytest.mark.parametrize("activate", [True, False], ids=["activated", "started"])
async def test_a_request_learns_why_the_actor_it_waited_for_has_ended(
    grid_servers: Callable[..., grid.Server],
    grid_etcd: Etcd,
    grid_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    activate: bool,
) -> None:
    if way == "session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    server, once = grid_servers(), grid.Retry(attempts=1)
    server.actor("stock", activate=activate, mailbox=4)(NoStock)
    async with server, grid.Client(grid_namespace, etcd=grid_etcd.endpoint, retry=once) as client:
        if not activate:
            await client.start_actor("stock")
        with pytest.raises(MailboxClosed) as caught:
            await client.request("stock", EchoMsg())
    assert caught.value.reason == "LookupError: the warehouse has no stock"
    assert str(caught.value).endswith("its actor ended by LookupError: the warehouse has no stock")
    assert isinstance(caught.value, OnStartFailed) is activate
    assert caught.value.retryable is not activate
