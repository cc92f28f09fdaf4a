"""A peer that echoes and clients of it, on each of the ways from one to the other."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.interceptors import Interceptor, OutgoingCall

__all__ = ["EchoGrid", "go_over_the_wire"]


def go_over_the_wire(way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a peer in this process be reached as those in others are, unless the way is local."""
    if way != "local":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    return way


class EchoGrid:
    """A peer that echoes, and clients of it."""

    def __init__(self, namespace: str, etcd: str, servers: Callable[..., grid.Server]) -> None:
        self.namespace = namespace
        self.etcd = etcd
        self.way = "session"
        self.make_server = servers
        self.server: grid.Server
        self.clients: list[grid.Client] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.serving: list[asyncio.Task[None]] = []

    async def start(self, way: str = "session", **options: Any) -> grid.Mailbox:
        """Start the peer, with the mailbox `echo`."""
        self.way = way
        self.server = self.make_server(**options)
        await self.server.start()
        return await self.serve("echo")

    async def serve(self, name: str, size: int = 16) -> grid.Mailbox:
        mailbox = await self.server.open_mailbox(name, size=size)
        self.serving.append(asyncio.create_task(self._echo(mailbox)))
        return mailbox

    async def _echo(self, mailbox: grid.Mailbox) -> None:
        async for request in mailbox:
            self.seen.append((request.message.msg, dict(request.metadata)))  # type: ignore[attr-defined]
            if request.opens_stream:
                async with request.accept() as stream:
                    async for item in stream:
                        await stream.send(item)
            else:
                request.respond(request.message)

    def client(self, *interceptors: Interceptor[OutgoingCall], **options: Any) -> grid.Client:
        client = grid.Client(self.namespace, etcd=self.etcd, interceptors=interceptors, **options)
        if self.way == "unary":
            client._transport._without_sessions.add(self.server.address)
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)
