"""The receiving side of a session: the peer, as far as its sessions need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from grid.errors import GridError
from grid.transport.answer import Answer

__all__ = ["RequestHandler"]


class RequestHandler(Protocol):
    """Takes requests, and decides whether answers may still leave."""

    def accept(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        answer: Answer,
    ) -> None:
        """Take a request; its outcome goes to `answer`."""

    def may_answer(self) -> bool:
        """True while the peer's lease holds, so that messages may be taken and may leave."""

    def late(self) -> GridError:
        """The error in place of an answer that may not leave."""
