"""A TCP relay that counts the bytes it passes on, in both directions together."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from bench.talk import Orders, say

__all__ = ["serve"]


class _Counter:
    """Counters of all connections of a relay."""

    def __init__(self) -> None:
        self.passed = 0


class _End(asyncio.Protocol):
    """One end of a connection; what it receives goes out at the other end."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._early: list[bytes] = []
        self._other: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember it for the other end."""
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: asyncio.Transport) -> None:
        """Pass on to there from now on."""
        self._other = other
        for data in self._early:
            other.write(data)

    def data_received(self, data: bytes) -> None:
        """Count and pass on."""
        self._counter.passed += len(data)
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """The other end is closed, too."""
        if self._other is not None:
            self._other.close()


async def serve(given: dict[str, Any], orders: Orders) -> None:
    """A role: relays to `target`, a port; any order is answered with the bytes so far."""
    loop = asyncio.get_running_loop()
    counter = _Counter()
    joining: set[asyncio.Task[None]] = set()

    class Near(_End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(self._dial())
            joining.add(task)
            task.add_done_callback(joining.discard)

        async def _dial(self) -> None:
            try:
                _, far = await loop.create_connection(
                    lambda: _End(counter), "127.0.0.1", given["target"]
                )
            except OSError:
                self.transport.close()
                return
            far.join(self.transport)
            self.join(far.transport)

    server = await loop.create_server(lambda: Near(counter), "127.0.0.1", given["port"])
    say(ready=True)
    async for _order in orders:
        say(bytes=counter.passed)
    server.close()
