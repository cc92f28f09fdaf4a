"""The stream between a source and a mirror, as far as this package needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from grid.errors import GridError

__all__ = ["MirrorStream"]


class MirrorStream(Protocol):
    """A stream as far as it matters here; see `grid.Stream`."""

    @property
    def in_process(self) -> bool:
        """True if the other side is in this process."""

    async def send(self, message: Message) -> None:
        """Send a message."""

    def send_nowait(self, message: Message) -> bool:
        """Send a message if it need not wait; False if `send` would."""

    def hand_to(self, take: Callable[[Message], bool]) -> None:
        """Call a function with messages that come while a task waits in `receive`."""

    def share(self, shared: object) -> None:
        """Let the other side have an object, if it is in this process."""

    def shared(self) -> object | None:
        """The object of the other side, if it is in this process and nothing is under way."""

    async def receive(self) -> Message | None:
        """The next message; None at the end."""

    async def close(self, reason: str | GridError | None = None) -> None:
        """End it."""
