"""A TCP proxy that misbehaves on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["FaultProxy"]


class FaultProxy:
    """Forwards connections to `target` ("host:port") until told otherwise.

    Attributes:
        endpoint: "127.0.0.1:PORT", where to connect to.
        accepted: how many connections have come so far.
        taken: how many bytes have come so far, from both sides.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host.strip("[]"), int(port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._seconds = 0.0
        self.endpoint = ""
        self.accepted = 0
        self.taken = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._abort()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Reset all connections, and new ones as soon as they come."""
        self._refusing = True
        self._abort()

    def refuse(self) -> None:
        """Reset new connections as soon as they come; old ones go on."""
        self._refusing = True

    def blackhole(self) -> None:
        """Take everything and forward nothing, on old and new connections."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Forward everything later, each way."""
        self._seconds = seconds

    def heal(self) -> None:
        """Be a good proxy again; what a black hole holds flows on."""
        self._refusing = False
        self._seconds = 0.0
        self._flowing.set()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        self._writers.add(writer)
        # Not in the task: one that is cancelled early never runs.
        serving = self._start(self._serve(reader, writer))
        serving.add_done_callback(lambda _: self._drop(writer))

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fault-proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return
        self._writers.add(far_writer)
        ways = [
            self._start(self._pump(reader, far_writer)),
            self._start(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._drop(far_writer)
            for way in ways:
                way.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = self._start(self._forward(queue, writer))
        try:
            while data := await reader.read(1 << 16):
                self.taken += len(data)
                queue.put_nowait((loop.time() + self._seconds, data))
            queue.put_nowait((loop.time() + self._seconds, b""))
            await sender
        except OSError:
            pass
        finally:
            sender.cancel()

    async def _forward(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flowing.wait()
            if not data:
                return
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                return
