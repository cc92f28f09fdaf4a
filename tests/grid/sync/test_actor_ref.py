"""References to actors, from code that blocks."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.embedded import Etcd
from grid.errors import InvalidName
from grid.sync import Client


class Account:
    """Handlers of each kind."""

    @grid.handler
    async def move(self, by: Int64Value) -> Int64Value:
        return Int64Value(value=40 + by.value)

    @grid.handler
    async def note(self, text: StringValue) -> None: ...

    @grid.handler
    async def up_to(self, limit: Int64Value) -> AsyncIterator[Int64Value]:
        for number in range(limit.value):
            yield Int64Value(value=number)

    @grid.handler
    async def chat(self, first: StringValue, stream: grid.Stream) -> None:
        await stream.send(first)


async def test_each_handler_is_a_method_that_blocks(
    grid_server: grid.Server, grid_namespace: str, grid_etcd: Etcd
) -> None:
    def script() -> None:
        with Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
            client.start_actor("account")
            account = client.actor(Account, "account")
            assert account.move(Int64Value(value=2), timeout=5.0) == Int64Value(value=42)
            assert account.note(StringValue(value="x")) is None
            assert [one.value for one in account.up_to(Int64Value(value=3))] == [0, 1, 2]
            with account.chat(StringValue(value="hi")) as stream:
                assert stream.receive() == StringValue(value="hi")
            with pytest.raises(AttributeError, match="has no handler 'mov'"):
                account.mov(Int64Value())
            with pytest.raises(InvalidName):
                client.actor(Account, "a b")

    grid_server.actor("account")(Account)
    await asyncio.to_thread(script)
