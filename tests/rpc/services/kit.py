"""A service that tells which server was asked, and how; servers and clients of it on any bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import rpc.services as services
from rpc.services import CallContext, SelectionOptions, ServiceError, ServiceStream
from tests.rpc.services.greeting_grid import GreeterBase, GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello

__all__ = ["SOON", "Greeter", "Hall", "hall"]

SOON = 20.0  # seconds within which a busy machine has done all that a test waits for


class Greeter(GreeterBase):
    """Answers with capitals; a text with a colon asks for something else."""

    def __init__(self, name: str, affinity: float = 1.0) -> None:
        self.name = name
        self.affinity = affinity
        self.calls: Counter[str] = Counter()
        self.release = asyncio.Event()

    async def _answer(self, request: Hello, context: CallContext) -> Hello:
        self.calls[context.method] += 1
        verb, _, rest = request.text.partition(":")
        if verb == "fail":
            raise ServiceError(rest, "as asked", details=[Hello(text="a detail")])
        if verb == "raise":
            raise ValueError(rest)
        if verb == "wait":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.calls["cancelled"] += 1
                raise
        if verb == "stubborn":  # goes on when it is cancelled
            with contextlib.suppress(asyncio.CancelledError):
                await self.release.wait()
            self.calls["cancelled"] += 1
        if verb == "wrong":
            return "no message"  # type: ignore[return-value]
        return Hello(
            text=request.text.upper(),
            server=self.name,
            topic=context.topic,
            metadata=context.metadata,
        )

    greet = regional = in_room = each_in_room = owned = all = _answer

    async def pick(self, request: Hello, context: CallContext) -> Hello:
        return await self._answer(request, context)

    async def pick_affinity(self, request: Hello, context: CallContext) -> float:
        self.calls["bid"] += 1
        if request.text.startswith("wait:"):
            await self.release.wait()
        return self.affinity

    async def talk(self, stream: ServiceStream[Hello, Hello], context: CallContext) -> None:
        self.calls[context.method] += 1
        async for hello in stream:
            if hello.text.startswith("fail:"):
                raise ServiceError(hello.text.partition(":")[2], "as asked")
            await stream.send(Hello(text=hello.text.upper(), server=self.name))

    async def talk_to_the_best(
        self, stream: ServiceStream[Hello, Hello], context: CallContext
    ) -> None:
        await self.talk(stream, context)

    async def talk_to_the_best_affinity(self, context: CallContext) -> float:
        return self.affinity


class Hall:
    """Servers and clients on one bus.

    Args:
        server_bus: makes the bus of a server.
        client_bus: makes the bus of a client.

    Attributes:
        greeters: the service objects by the names of their servers.
        knows_members: the bus has a directory.
        multi_timeout: seconds for a call to all, whose end a bus without directory waits for.
    """

    def __init__(
        self, server_bus: Callable[[], Any], client_bus: Callable[[], Any], stack: AsyncExitStack
    ) -> None:
        self._server_bus = server_bus
        self._client_bus = client_bus
        self._stack = stack
        self.greeters: dict[str, Greeter] = {}
        self.knows_members = True
        self.multi_timeout = 20.0

    def needs_a_directory(self) -> None:
        """Skip the test on a bus that does not know its members."""
        if not self.knows_members:
            pytest.skip("the bus does not know its members")

    async def serve(self, name: str, affinity: float = 1.0, **options: Any) -> GreeterServer:
        """Start a server; its greeter is in `greeters`."""
        greeter = self.greeters[name] = Greeter(name, affinity)
        server = GreeterServer(greeter, self._server_bus(), server_id=name, **options)
        return await self._stack.enter_async_context(server)

    async def client(self, **options: Any) -> GreeterClient:
        """A client."""
        quick = SelectionOptions(affinity_timeout=2.0, short_circuit=0.2)
        client = GreeterClient(self._client_bus(), **{"selection": quick, **options})
        return await self._stack.enter_async_context(client)

    async def patient_client(self, **options: Any) -> GreeterClient:
        """A client that waits for the bids of all, where it knows how many there are."""
        if self.knows_members:
            options["selection"] = SelectionOptions(affinity_timeout=SOON, short_circuit=SOON)
        return await self.client(**options)

    def calls(self, method: str) -> dict[str, int]:
        """The number of calls of each server."""
        return {
            name: greeter.calls[method]
            for name, greeter in self.greeters.items()
            if greeter.calls[method]
        }


@asynccontextmanager
async def hall(server_bus: Callable[[], Any], client_bus: Callable[[], Any]) -> AsyncIterator[Hall]:
    """A hall whose servers and clients end with the block, the last one first."""
    async with AsyncExitStack() as stack:
        yield Hall(server_bus, client_bus, stack)


@asynccontextmanager
async def local_hall() -> AsyncIterator[Hall]:
    """A hall on a local bus, which is closed at the end."""
    bus = services.LocalBus()
    async with hall(lambda: bus, lambda: bus) as made:
        yield made
    await bus.close()
