"""Waits for arguments, which the source looks for: their tokens, over reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from machine.waits.wait import Wait
from rpc.machine_pb2 import Subscribe, Values

__all__ = ["Subscriptions"]


class Subscriptions:
    """The open waits of one mirror. A token is used once.

    Waits are referred to weakly, as those of a machine: one that is cancelled or has
    lost its last reference is dropped, here and at the source.

    Args:
        on_dropped: called with the token of a dropped wait, on the thread that dropped it.
    """

    def __init__(self, on_dropped: Callable[[int], None]) -> None:
        self._last = 0
        self._open: dict[int, tuple[str, Values, ref[Wait[Any]]]] = {}
        self._on_dropped = on_dropped
        self._awaited: dict[asyncio.Future[None], Wait[Any]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._open))

    def open(self, state: str, args: Values, what: str) -> tuple[int, Wait]:
        """Make a wait; it and its token.

        Args:
            state: the name of the state.
            args: which it has to begin with.
            what: the same in words.
        """
        self._last = token = self._last + 1
        wait: Wait = Wait(what, lambda _: self._drop(token), self._awaited)
        self._open[token] = state, args, ref(wait, lambda _: self._drop(token))
        return token, wait

    def message(self, token: int, index: Callable[[str], int], welcome: int) -> Subscribe:
        """The message for the source.

        Args:
            token: of an open wait.
            index: the position of a state in the agreed names; raises if it has none.
            welcome: the number of the welcome that they are of.
        """
        state, args, _ = self._open[token]
        return Subscribe(token=token, index=index(state), args=args, welcome=welcome)

    def take(self, token: int) -> Wait | None:
        """Forget a subscription that has ended at the source; its wait, unless it was dropped."""
        found = self._open.pop(token, None)
        return None if found is None else found[2]()

    def waits(self) -> list[Wait]:
        """All open waits."""
        return [wait for _, _, known in self._open.values() if (wait := known()) is not None]

    def _drop(self, token: int) -> None:
        if self._open.pop(token, None) is not None:
            self._on_dropped(token)
