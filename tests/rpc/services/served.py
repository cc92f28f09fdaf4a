"""A process with a server of the service of the tests; its words are ETCD NAMESPACE NAME TOPICS."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grid
from rpc.services import CallContext
from tests.rpc.services.greeting_grid import GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter


class Publishing(Greeter):
    """Publishes what it is greeted with, too, and tells when a call waits."""

    server: GreeterServer

    async def greet(self, request: Hello, context: CallContext) -> Hello:
        """Answer, and tell all subscribers."""
        if request.text.startswith("publish:"):
            await self.server.publish_news(Hello(text=f"{request.text} by {self.name}"))
        if request.text == "wait:":
            print("waiting", flush=True)
        return await self._answer(request, context)


async def main(etcd: str, namespace: str, name: str, topics: Any) -> None:
    """Serve until killed."""
    greeter = Publishing(name)
    async with (
        grid.Server(namespace, etcd=etcd, lease=2.0) as peer,
        GreeterServer(greeter, peer, server_id=name, topics=topics) as greeter.server,
    ):
        if topics == "shards":
            for i in range(20):
                await greeter.server.register_regional_topic(f"{name}{i}")
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
