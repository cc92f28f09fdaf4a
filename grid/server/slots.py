"""Slots of a peer: how many actors it runs at most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grid.errors import PeerFull
from grid.server.peer import Peer

__all__ = ["Slots"]


class Slots:
    """The slots of a peer.

    Args:
        peer: whose they are.
        most: how many; None for any number.
    """

    def __init__(self, peer: Peer, most: int | None) -> None:
        self._peer = peer
        self.most = most
        self._starting = 0

    @contextmanager
    def taken(self, running: int) -> Iterator[None]:
        """Hold a slot while an actor starts.

        Args:
            running: actors that run.

        Raises:
            PeerFull: all slots are taken by those that run or start.
        """
        if self.most is not None and running + self._starting >= self.most:
            raise PeerFull(self._peer.name, self.most)
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1
