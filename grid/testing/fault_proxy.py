"""A TCP proxy that injects network faults: cuts, refusals, black holes, latency.

    async with FaultProxy(etcd.endpoint) as proxy:
        client = grid.Client("shop", etcd=proxy.endpoint)
        ...
        proxy.blackhole()   # the connection lives, and nothing passes
        ...
        proxy.heal()

Put it between two real parts (a client and etcd, a client and a peer that
advertises the proxy's endpoint) to see how they behave on a bad network. It runs on
the event loop of the test and needs no privileges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from grid.numbers import check_seconds

__all__ = ["FaultProxy"]

_CHUNK = 1 << 16  # bytes per read


class FaultProxy:
    """A proxy to `target` that forwards connections until a fault is injected.

    Use it with `async with`. All methods take effect at once and do not wait; they
    must be called on the event loop that entered the context. Leaving the context
    closes every connection.

    Args:
        target: `host:port` to forward to. It is dialled for each connection, so it
            may start, stop and move meanwhile.
        host: address to listen on.
        port: port to listen on, 0 for a free one.

    Attributes:
        endpoint: `host:port` to connect to; empty before the context is entered.
        accepted: number of connections accepted so far.
        taken: bytes received so far, from both sides.
    """

    def __init__(self, target: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        target_host, _, target_port = target.rpartition(":")
        self._target = target_host.strip("[]"), int(target_port)
        self._listen = host, port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._seconds = 0.0
        self.endpoint: str = ""
        self.accepted: int = 0
        self.taken: int = 0

    def __repr__(self) -> str:
        host, port = self._target
        return f"<FaultProxy {self.endpoint or 'not started'} to {host}:{port}>"

    async def __aenter__(self) -> Self:
        host, port = self._listen
        self._server = await asyncio.start_server(self._accept, host, port)
        bound = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None  # noqa: S101  # set on entering
        self._server.close()
        self._abort()
        # A connection accepted during the last wait starts a task of its own.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    # -- faults -----------------------------------------------------------------

    def cut(self) -> None:
        """Reset all connections, and each new one as soon as it is accepted."""
        self._refusing = True
        self._abort()

    def refuse(self) -> None:
        """Reset each new connection as soon as it is accepted; existing ones go on."""
        self._refusing = True

    def blackhole(self) -> None:
        """Accept and read everything, and forward nothing, on all connections."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Forward everything `seconds` later, in each direction."""
        self._seconds = check_seconds("delay", seconds)

    def heal(self) -> None:
        """Forward normally again; data held by a black hole is delivered."""
        self._refusing = False
        self._seconds = 0.0
        self._flowing.set()

    # -- forwarding -------------------------------------------------------------

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        self._writers.add(writer)
        # The clean-up is not in the task: a task cancelled before its first step never runs.
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
        pumps = [
            self._start(self._pump(reader, far_writer)),
            self._start(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._drop(far_writer)
            for pump in pumps:
                pump.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Reading and writing are two tasks, so that a delay shifts the data and does not
        # throttle it: the next chunk is read while the one before still waits.
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = self._start(self._forward(queue, writer))
        try:
            while data := await reader.read(_CHUNK):
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
