"""A member of a room: says its lines, and hears those of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grid
from examples.chat.app import Line, Room, Say, Since

__all__ = ["Member"]

_PAUSE = 0.02  # seconds between two lines of a member


class Member:
    """A member.

    Args:
        client: the way to the rooms.
        name: of the member.
        room: its name.
        lines: how many lines it says.

    Attributes:
        heard: the lines that came, in their order.
        opened: how often it began to listen.
    """

    def __init__(self, client: grid.Client, name: str, room: str, lines: int) -> None:
        self.name = name
        self.room = room
        self.heard: list[Line] = []
        self.opened = 0
        self._client = client
        self._lines = lines
        self._ref = client.actor(Room, room)

    async def talk(self) -> None:
        """Say all lines, each when the one before it is in the room."""
        for number in range(1, self._lines + 1):
            await self._ref.say(Say(self.name, number, f"line {number}"), idempotent=True)
            await asyncio.sleep(_PAUSE)

    async def listen(self, total: int, hear: Callable[[], None]) -> None:
        """Hear lines until `total` of members have come; `hear` is called for each of them."""
        # The room may move to another peer: it is listened to there, after the last line.
        async with self._client.subscribe(
            self._ref.listen, Since(0), resume=lambda last: Since(last.number)
        ) as lines:
            async for line in lines:
                self.heard.append(line)
                if not line.said.author.startswith("crier-"):
                    total -= 1
                    hear()
                if not total:
                    break
            self.opened = lines.openings
