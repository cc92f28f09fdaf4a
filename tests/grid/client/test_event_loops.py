"""A client used off its event loop says so, and nothing is sent."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import grid
from grid.errors import GridError, WrongEventLoop
from grid.wire_pb2 import EchoMsg


def _in_thread(function: Callable[[], object]) -> BaseException | None:
    """The error of a function that is called in another thread."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return errors[0] if errors else None


async def test_a_thread_without_a_loop_cannot_use_a_client(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        answer = grid_client.send("m", EchoMsg())
        (await anext(mailbox)).ack()
        await answer
        for use in (
            lambda: grid_client.send("m", EchoMsg(msg="thread")),
            lambda: grid_client.request("m", EchoMsg(msg="thread")).send(None),
            lambda: grid_client.tell("m", EchoMsg(msg="thread")).send(None),
            lambda: grid_client.query("peer").send(None),
        ):
            error = await asyncio.to_thread(_in_thread, use)
            assert isinstance(error, WrongEventLoop), repr(error)
            assert "grid.sync" in str(error)
        assert len(mailbox) == 0
        # It is as good as before for its own loop.
        answer = grid_client.send("m", EchoMsg())
        (await anext(mailbox)).ack()
        await answer


async def test_a_client_that_was_not_used_yet_needs_a_loop_too(grid_namespace: str) -> None:
    client = grid.Client(grid_namespace, etcd="127.0.0.1:1")
    error = await asyncio.to_thread(_in_thread, lambda: client.send("m", EchoMsg()))
    assert isinstance(error, WrongEventLoop)
    await client.close()


async def test_a_loop_of_another_thread_cannot_use_a_client(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    await grid_client.query("peer")

    async def use() -> None:
        await grid_client.request("m", EchoMsg())

    error = await asyncio.to_thread(_in_thread, lambda: asyncio.run(use()))
    assert isinstance(error, WrongEventLoop)


async def test_a_mailbox_is_read_and_a_stream_used_on_its_own_loop(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        opening = asyncio.ensure_future(grid_client.stream("m", EchoMsg()))
        stream = (await anext(mailbox)).accept()
        other = await opening

        def there(doing: Callable[[], Any]) -> Callable[[], object]:
            async def use() -> None:
                await doing()

            return lambda: asyncio.run(use())

        for use in (
            there(lambda: anext(mailbox)),
            there(lambda: other.send(EchoMsg())),
            there(lambda: other.receive()),
            there(lambda: other.close()),
            other.finish,
        ):
            error = await asyncio.to_thread(_in_thread, use)
            assert isinstance(error, WrongEventLoop), repr(error)
            assert isinstance(error, GridError)
        await stream.send(EchoMsg(msg="still open"))
        item = await other.receive()
        assert isinstance(item, EchoMsg)
        await other.close()
        await stream.close()


async def test_a_client_is_closed_on_its_own_loop(
    grid_server: grid.Server, grid_namespace: str
) -> None:
    client = grid.Client(grid_namespace, etcd=grid_server.config.etcd)
    await client.query("peer")
    error = await asyncio.to_thread(_in_thread, lambda: asyncio.run(client.close()))
    assert isinstance(error, WrongEventLoop), repr(error)
    assert await client.query("peer")  # it was not closed by halves
    await client.close()


def test_a_client_whose_loop_is_gone_can_be_closed(grid_namespace: str) -> None:
    async def use() -> grid.Client:
        client = grid.Client(grid_namespace, etcd="127.0.0.1:1")
        with contextlib.suppress(GridError):
            await client.query("peer", timeout=0.1)
        return client

    client = asyncio.run(use())
    asyncio.run(client.close())
