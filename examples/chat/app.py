"""The grid side: rooms that begin with their first request, and a crier who talks in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grid
from grid.state import EtcdStore

__all__ = ["Line", "Room", "Say", "Since", "server"]

_PAUSE = 0.25  # seconds between two cries

server = grid.Server("chat", lease=2.0)
server.provide(EtcdStore(), enter=True)


@dataclass
class Say:
    """Words of an author, whose own number tells them from those before."""

    author: str
    number: int
    text: str


@dataclass
class Line:
    """A line of a room, with its number there, from 1 on."""

    number: int
    said: Say


@dataclass
class Since:
    """The number of the last line that a listener has."""

    number: int


@grid.register
@dataclass
class History:
    lines: list[Line] = field(default_factory=list)


@server.actor("room", activate=True, idle=60.0)
class Room:
    """Numbers the lines, keeps them, and gives them to all who listen."""

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.state = ctx.state
        self.history = await ctx.state.load(History) or History()
        self.known = {(one.said.author, one.said.number): one for one in self.history.lines}
        self.saved = len(self.history.lines)
        self.changed = asyncio.Event()

    @grid.handler
    async def say(self, said: Say) -> Line:
        """Take a line in. It may be sent again: the room knows it then."""
        line = self.known.get((said.author, said.number))
        if line is None:
            line = Line(len(self.history.lines) + 1, said)
            self.history.lines.append(line)
            self.known[said.author, said.number] = line
        if line.number > self.saved:
            await self.state.save(self.history)  # members hear only what is saved
            self.saved = len(self.history.lines)
            self.changed.set()
            self.changed = asyncio.Event()
        return line

    @grid.handler
    async def listen(self, since: Since) -> AsyncIterator[Line]:
        """The lines after a number: those that are there, and those to come."""
        heard = since.number
        while True:
            changed = self.changed
            for line in self.history.lines[heard : self.saved]:
                yield line
                heard = line.number
            await changed.wait()


@server.actor("leader")
async def crier(ctx: grid.ActorContext) -> None:
    """Says in each room where it is."""
    cries = 0

    async def cry() -> None:
        nonlocal cries
        cries += 1
        for one in await ctx.client.query("actor"):
            if one.type == "room":
                said = Say(f"crier-{ctx.epoch}", cries, f"the crier is on {ctx.peer}")
                await ctx.client.actor(Room, one.name).say(said, idempotent=True)

    ctx.every(_PAUSE, cry)
    await ctx.stopping.wait()
