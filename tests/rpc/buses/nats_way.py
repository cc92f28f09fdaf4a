"""A way to a NATS server that lets the server seem to end connections with an error."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

__all__ = ["NatsWay"]


class NatsWay:
    """A proxy to a NATS server that puts error lines of the server into its connections.

    Args:
        server: the URL of the server.

    Attributes:
        url: its own URL; empty before the context is entered.
        accepted: connections so far.
        refusing: True while each new connection is reset.
        greeting: an error that each connection gets with the first answer to its subscriptions.
    """

    def __init__(self, server: str) -> None:
        host, port = server.removeprefix("nats://").split(":")
        self._target = host, int(port)
        self._writers: set[asyncio.StreamWriter] = set()  # to the clients
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.accepted = 0
        self.refusing = False
        self.greeting = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def end(self, error: str, *, close: bool = False) -> None:
        """Send an error to all clients, and close their connections if the server would."""
        assert self._writers
        for writer in tuple(self._writers):
            writer.write(b"-ERR '%s'\r\n" % error.encode())
            if close:
                writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="NATS way")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._target)
        self._writers.add(writer)
        pumps = [
            asyncio.create_task(self._ask(reader, to_there, writer)),
            asyncio.create_task(self._answer(there, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            to_there.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        to_there: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                if self.greeting and line.startswith(b"SUB"):
                    back.write(b"-ERR '%s'\r\n" % self.greeting.encode())
                to_there.write(line)
                await to_there.drain()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await there.readline():
                writer.write(line)
                await writer.drain()
