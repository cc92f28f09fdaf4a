"""Actors find their state again, and an owner that has lost its name cannot change it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.codec import default_codec
from grid.errors import (
    InvalidArgument,
    RequestFailed,
    StateFenced,
    StoreUnavailable,
    UnexpectedState,
    UnsupportedMessage,
)
from grid.state import MemoryStore, Store
from grid.state.actor_state import ActorState
from grid.testing import wait_until

Servers = Callable[..., grid.Server]


@dataclass
class Balance:
    amount: int = 0


grid.register(Balance, name="test.Balance")


class Account:
    """Keeps a balance."""

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.state = ctx.state
        self.balance = await ctx.state.load(Balance) or Balance()

    @grid.handler
    async def move(self, by: Int64Value) -> Int64Value:
        self.balance.amount += by.value
        await self.state.save(self.balance)
        return Int64Value(value=self.balance.amount)

    @grid.handler
    async def crash(self, text: StringValue, ctx: grid.ActorContext) -> None:
        if text.value == "forget":
            await self.state.delete()


class Lazy(Account):
    """Saves at its end."""

    async def on_start(self, ctx: grid.ActorContext) -> None:
        await super().on_start(ctx)
        ctx.state.save_at_end(self.balance)

    @grid.handler
    async def move(self, by: Int64Value) -> Int64Value:
        self.balance.amount += by.value
        return Int64Value(value=self.balance.amount)


async def move(client: grid.Client, by: int) -> int:
    return (await client.request("kim", Int64Value(value=by), reply=Int64Value)).value


@pytest.mark.parametrize("cls", [Account, Lazy])
async def test_an_actor_finds_its_state_on_another_peer(
    grid_servers: Servers, grid_client: grid.Client, cls: type
) -> None:
    store = MemoryStore()
    for name in ("a", "b"):
        server = grid_servers(name=name)
        server.provide(store)
        server.actor("account")(cls)
        await server.start()
    await grid_client.start_actor("account", name="kim", peer="a")
    assert await move(grid_client, 5) == 5
    await grid_client.stop_actor("kim")
    await grid_client.start_actor("account", name="kim", peer="b")
    assert await move(grid_client, 2) == 7
    await grid_client.request("kim", StringValue(value="forget"))
    await grid_client.stop_actor("kim")
    await grid_client.start_actor("account", name="kim", peer="a")
    assert await move(grid_client, 1) == 1


async def test_an_owner_of_an_older_epoch_is_refused(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    store = MemoryStore()
    server = grid_servers()
    server.provide(store, as_type=Store)
    server.actor("account")(Account)
    await server.start()
    await grid_client.start_actor("account", name="kim")
    assert await move(grid_client, 5) == 5
    (actor,) = await grid_client.query("actor")
    key = f"{actor_namespace(server)}.state.account.kim"
    await store.load(key, actor.epoch + 1)  # as its successor does, while this one was frozen
    with pytest.raises(RequestFailed) as raised:
        await move(grid_client, 1)
    assert isinstance(raised.value.cause, StateFenced)
    assert (raised.value.cause.key, raised.value.cause.epoch) == (key, actor.epoch)


def actor_namespace(server: grid.Server) -> str:
    return server.config.namespace


class Away(MemoryStore):
    """A store that is away now and then."""

    away = False

    async def load(self, key: str, epoch: int) -> bytes | None:
        self._check()
        return await super().load(key, epoch)

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        self._check()
        await super().save(key, epoch, data)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("it is away")


async def test_a_store_that_is_away_fails_requests_and_follows_the_policy(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    store, server = Away(), grid_servers()
    server.provide(store)
    server.actor("account", restart=grid.Restart(pause=0.05, limit=100))(Account)
    await server.start()
    await grid_client.start_actor("account", name="kim")
    store.away = True
    with pytest.raises(RequestFailed) as raised:
        await move(grid_client, 1)
    assert isinstance(raised.value.cause, StoreUnavailable)
    await grid_client.stop_actor("kim")
    await grid_client.start_actor("account", name="kim")

    async def reported() -> bool:
        reports = await grid_client.actor_reports(server.name)
        return any("StoreUnavailable: store: it is away" in one.error for one in reports)

    await wait_until(reported, "its restarts are shown, and why")
    asking = asyncio.create_task(move(grid_client, 2))
    store.away = False
    assert await asking == 2


async def test_a_failed_run_does_not_save_at_its_end(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()
    server.provide(MemoryStore())

    @server.actor("f", mailbox=4, restart=grid.Restart(pause=0.01))
    async def fragile(ctx: grid.ActorContext) -> None:
        balance = await ctx.state.load(Balance) or Balance()
        ctx.state.save_at_end(balance)
        async for request in ctx.mailbox:
            balance.amount += 1
            request.respond(Int64Value(value=balance.amount))
            if balance.amount == 2:
                raise OSError("half done")

    await server.start()
    await grid_client.start_actor("f", name="kim")
    assert await move(grid_client, 0) == 1
    assert await move(grid_client, 0) == 2

    async def restarted() -> bool:
        return bool(await grid_client.actor_reports(server.name))

    await wait_until(restarted, "the actor was restarted")
    assert await move(grid_client, 0) == 1


async def test_a_state_of_another_class_or_without_a_store_is_refused(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    errors: list[Exception] = []
    server, storeless = grid_servers(name="a"), grid_servers(name="b")
    server.provide(MemoryStore())

    async def reader(ctx: grid.ActorContext) -> None:
        try:
            with pytest.raises(UnsupportedMessage):
                ctx.state.save_at_end("no message")  # type: ignore[arg-type]
            with pytest.raises(InvalidArgument, match="a class of messages"):
                await ctx.state.load("Balance")  # type: ignore[arg-type]
            await ctx.state.save(Int64Value(value=1))
            await ctx.state.load(Balance)
        except grid.GridError as error:
            errors.append(error)

    for one in (server, storeless):
        one.actor("r")(reader)
        await one.start()
        await grid_client.start_actor("r", peer=one.name)

        async def gone() -> bool:
            return not await grid_client.query("actor")

        await wait_until(gone, "it has ended")
    assert [type(error) for error in errors] == [UnexpectedState, InvalidArgument]
    assert "no Balance: google.protobuf.Int64Value" in str(errors[0])


class _Slow(MemoryStore):
    """A store that takes the longer the earlier it is asked, as a network may."""

    def __init__(self) -> None:
        super().__init__()
        self.saves: list[bytes] = []

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        turns = 20 - len(self.saves)
        self.saves.append(data)
        for _ in range(turns):
            await asyncio.sleep(0)
        await super().save(key, epoch, data)


async def test_of_saves_at_once_the_last_one_lasts() -> None:
    store = _Slow()
    state = ActorState(store, "n.state.kim", 1, default_codec, 1000)
    await asyncio.gather(*(state.save(Balance(amount)) for amount in range(10)))
    assert await state.load(Balance) == Balance(9)
    assert len(store.saves) < 10, "those that waited were saved by one"
    await asyncio.gather(state.save(Balance(5)), state.delete(), state.save(Balance(6)))
    assert await state.load(Balance) == Balance(6)
    await asyncio.gather(state.save(Balance(7)), state.delete())
    assert await state.load(Balance) is None


async def test_a_save_that_fails_or_is_cancelled_leaves_the_others_to_themselves() -> None:
    store = _Slow()
    state = ActorState(store, "n.state.kim", 1, default_codec, 1000)
    saving = [asyncio.create_task(state.save(Balance(amount))) for amount in range(3)]
    await asyncio.sleep(0)
    saving[0].cancel()
    await asyncio.wait(saving)
    assert [one.cancelled() for one in saving] == [True, False, False]
    assert await state.load(Balance) == Balance(2)
    await store.load("n.state.kim", 2)
    failed = await asyncio.gather(
        state.save(Balance(3)), state.save(Balance(4)), return_exceptions=True
    )
    assert [type(one) for one in failed] == [StateFenced, StateFenced]
