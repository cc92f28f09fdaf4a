"""Handlers end when their caller waits no more: at the deadline, or when it leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grid.errors import GridError, MessageTooLarge
from grid.testing import wait_until
from rpc.services import CallTimedOut, LocalBus, MemberResult
from rpc.services.asking import Asked
from tests.rpc.services.greeting_grid import GREETER, GreeterClient
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Hall, hall


async def test_a_handler_is_cancelled_at_its_callers_deadline(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    for verb in ("wait:", "stubborn:"):
        await client.greet(Hello(text="hi"))  # the way there is open from now on
        with pytest.raises(CallTimedOut):
            await client.greet(Hello(text=verb), timeout=1.5)
    await wait_until(
        lambda: the_hall.calls("cancelled") == {"a": 2}, "two cancelled handlers", timeout=SOON
    )
    # What served them serves on.
    got = await asyncio.gather(*(client.greet(Hello(text="hi"), timeout=SOON) for _ in range(20)))
    assert {hello.text for hello in got} == {"HI"}


async def test_a_handler_is_cancelled_when_its_caller_leaves(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    await the_hall.serve("a")
    client, leaving = await the_hall.client(), await the_hall.client()
    calls: list[asyncio.Task[Any]] = [
        asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60)) for _ in range(3)
    ]
    calls.append(asyncio.create_task(_all(client)))
    calls.append(asyncio.create_task(leaving.greet(Hello(text="wait:"), timeout=60)))
    await wait_until(
        lambda: the_hall.calls("Greet") == {"a": 4} and the_hall.calls("All") == {"a": 1},
        "the calls to run",
        timeout=SOON,
    )
    for call in calls[:-1]:
        call.cancel()
    await wait_until(
        lambda: the_hall.calls("cancelled") == {"a": 4}, "four cancelled handlers", timeout=SOON
    )
    await asyncio.gather(*calls[:-1], return_exceptions=True)
    await leaving.close()
    if leaving._owns_bus:  # on the grid its sessions are its own, and end with it
        await wait_until(
            lambda: the_hall.calls("cancelled") == {"a": 5}, "the fifth one", timeout=SOON
        )
    calls[-1].cancel()
    await asyncio.gather(calls[-1], return_exceptions=True)
    assert (await client.greet(Hello(text="hi"))).text == "HI"


async def test_a_shutdown_that_is_cancelled_ends_at_once(the_hall: Hall) -> None:
    server = await the_hall.serve("a")
    client = await the_hall.client()
    call = asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60))
    await wait_until(lambda: the_hall.calls("Greet") == {"a": 1}, "the call to run", timeout=SOON)
    stopping = asyncio.create_task(server.shutdown(timeout=60))
    await asyncio.wait([stopping], timeout=0.1)
    stopping.cancel()
    await asyncio.wait([stopping], timeout=SOON)
    assert stopping.cancelled()
    assert the_hall.calls("cancelled") == {"a": 1}
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await the_hall.serve("b")
    assert (await client.greet(Hello(text="hi"), timeout=SOON)).server == "b"


async def _all(client: GreeterClient) -> list[MemberResult[Hello]]:
    return await client.all(Hello(text="wait:"), timeout=60)


async def test_a_server_that_leaves_a_topic_still_answers_a_call_to_all(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    server = await the_hall.serve("a")
    await server.register_regional_topic("eu")
    client = await the_hall.client()
    calling = asyncio.create_task(_all(client))
    await wait_until(lambda: the_hall.calls("All") == {"a": 1}, "the call to run", timeout=SOON)
    assert (await client.regional("eu", Hello())).server == "a"
    await server.deregister_regional_topic("eu")

    async def gone() -> bool:
        table = await client._bus.members(GREETER.name)  # type: ignore[attr-defined]
        return not table.find("srv", "eu", "Regional")

    await wait_until(gone, "the topic to leave", timeout=SOON)
    assert not calling.done()
    the_hall.greeters["a"].release.set()
    (outcome,) = await calling
    assert outcome.result().server == "a"


async def test_a_call_to_all_that_is_refused_leaves_nothing_behind() -> None:
    """A request is too large for the second member: nothing stays in the table or waits."""
    bus = LocalBus(max_message_bytes=1000)
    async with hall(lambda: bus, lambda: bus) as made:
        for name in ("a", "b"):
            await made.serve(name)
        client = await made.client()
        with pytest.raises(MessageTooLarge):
            await client.all(Hello(text="x" * 2000))
        table = await bus.members(GREETER.name)
        assert not table.on_left
        sends = iter((bus.send, _refuse))
        bus_that_refuses = _Refusing(bus, lambda *given: next(sends)(*given))
        message = client._calls._message(  # type: ignore[attr-defined]
            client._outgoing(GREETER.by_name["All"], (), Hello(text="wait:"), 60.0, None)
        )
        with pytest.raises(GridError, match="refused"):
            Asked(bus_that_refuses, tuple(table), message, 60.0, table)  # type: ignore[arg-type]
        assert not table.on_left
        assert not bus._calls.table, "the first member still has a call that is waited for"
    await bus.close()


def _refuse(*_: object) -> None:
    raise GridError("refused")


class _Refusing:
    def __init__(self, bus: LocalBus, send: object) -> None:
        self._bus = bus
        self.send = send
