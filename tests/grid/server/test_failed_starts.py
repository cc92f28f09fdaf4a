"""A start that fails in whatever way leaves no name behind."""

import asyncio
from typing import Any

import pytest

import grid
from grid.errors import FactoryFailed, GridError, RequestFailed


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
