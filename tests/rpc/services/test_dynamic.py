"""The descriptors that servers give: from the first one that answers, if they are some."""

from __future__ import annotations

import asyncio

import pytest

from grid.mailbox.mailbox import Mailbox
from rpc.buses.members import SERVER, member_path
from rpc.service_pb2 import Reply
from rpc.services import AllUnreachable, LocalBus, MalformedResult
from rpc.services.dynamic import fetch_service
from tests.rpc.services.greeting_grid import GREETER, GreeterServer
from tests.rpc.services.kit import SOON, Greeter


async def odd_server(bus: LocalBus, name: str) -> Mailbox:
    """A mailbox that is registered as a server, and is not read."""
    path = member_path(GREETER.name, SERVER, (), name)
    return await bus.open_inbox(name, {path: ("Greet",)}, size=10)


async def test_a_server_that_hangs_leaves_time_for_the_others() -> None:
    bus = LocalBus()
    await odd_server(bus, "first")
    with pytest.raises(AllUnreachable):
        await fetch_service(bus, GREETER.name, 0.2)
    async with GreeterServer(Greeter("a"), bus), asyncio.timeout(SOON):
        found = await fetch_service(bus, GREETER.name, 1.0)
        assert found.spec.by_name.keys() == GREETER.by_name.keys()
    await bus.close()


async def test_what_are_no_descriptors_is_a_typed_error() -> None:
    bus = LocalBus()
    mailbox = await odd_server(bus, "odd")
    fetching = asyncio.create_task(fetch_service(bus, GREETER.name, SOON))
    request = await mailbox.receive()
    assert request is not None
    request.respond(Reply(payload=b"no descriptors"))
    with pytest.raises(MalformedResult, match=r"odd does not answer with descriptors"):
        await fetching
    await bus.close()
