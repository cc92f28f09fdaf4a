"""The two sides of a session's inside: the wire that moves frames, and the link that gives them.

A wire knows a link as `Frames` only, and a link knows a wire as `Wire`, so that neither
imports the other.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc

__all__ = ["Frames", "Wire"]


class Frames(Protocol):
    """A link, as a wire sees it: the source of frames to write and the sink of those that come.

    Attributes:
        closing: True once it ends when all is written.
        given_up: done when the other side is held to be gone; its result is the reason.
        reason: once it is over, the reason.
    """

    closing: bool
    given_up: asyncio.Future[str]
    reason: str

    def feed(self, frame: bytes | memoryview) -> str | None:
        """Take a frame; the reason to end the session, if the frame breaks the rules."""

    def next_frame(self) -> bytes | None:
        """The next frame to write; None if there is none now (see `held_until`)."""

    def frame_written(self) -> None:
        """Note that the frame is written."""

    @property
    def held_until(self) -> float:
        """The time to ask again for a frame without being woken; infinite if never."""

    @property
    def congested(self) -> bool:
        """True while the other side takes so little that nothing more should be read."""

    def end(self, reason: str) -> None:
        """End all that is open; the wire is gone, or is to go. Idempotent."""


class Wire(Protocol):
    """Moves frames between two processes.

    Attributes:
        status: the gRPC status it ended with, if any.
        overlap: the number of frames to spread open exchanges over; more, where a
            frame costs less.
    """

    overlap: int
    status: grpc.StatusCode | None

    def wake(self) -> None:
        """Ask the link for frames."""

    async def carry(self, link: Frames) -> str:
        """Move frames until the end; returns the reason. Cancelling it ends it at once."""

    def peer_is_stopped(self) -> bool:
        """True if the other side's process is known to stand still."""
