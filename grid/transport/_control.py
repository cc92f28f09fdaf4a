"""The control messages that a frame has beside its deliveries."""

from __future__ import annotations

from typing import NamedTuple

from grid.wire_pb2 import Frame, Goodbye, Hello

__all__ = ["Control"]


class Control(NamedTuple):
    """The control messages of a frame."""

    hello: Hello | None = None
    ping: int = 0
    pong: int = 0
    goodbye: Goodbye | None = None

    def followed_by(self, later: Control) -> Control:
        """Both in one frame; of several of a kind the last goes out."""
        return Control(
            later.hello or self.hello,
            later.ping or self.ping,
            later.pong or self.pong,
            later.goodbye or self.goodbye,
        )

    def add_to(self, frame: Frame) -> None:
        """Write them into a frame."""
        if self.hello is not None:
            frame.hello.CopyFrom(self.hello)
        if self.goodbye is not None:
            frame.goodbye.CopyFrom(self.goodbye)
        frame.ping, frame.pong = self.ping, self.pong
