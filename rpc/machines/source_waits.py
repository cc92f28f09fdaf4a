"""The waits for arguments that one mirror has at its source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from machine.errors import MachineError
from machine.waits.wait import Wait
from rpc.machine_pb2 import Receipt, Subscribe, ToMirror
from rpc.machines.errors import ProtocolError
from rpc.machines.messages import fault_of
from rpc.machines.source import SourceMachine
from rpc.machines.values import from_values

__all__ = ["SourceWaits"]

_MOST = 1024  # of one mirror


class SourceWaits:
    """The subscriptions of one mirror.

    Args:
        source: the machine.
        send: sends a message to the mirror.
        start: runs work until the mirror has left.
    """

    def __init__(
        self,
        source: SourceMachine,
        send: Callable[[ToMirror], Coroutine[Any, Any, None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._source = source
        self._send = send
        self._start = start
        self._waits: dict[int, Wait] = {}

    def subscribe(self, wanted: Subscribe, names: Sequence[str]) -> None:
        """Wait for arguments. A subscription that cannot be made is refused, and nothing else.

        Args:
            wanted: the message.
            names: those that its position refers to.
        """
        try:
            wait = self._wait(wanted, names)
        except MachineError as error:
            refusal = Receipt(id=wanted.token, fault=fault_of(error))
            self._start(self._send(ToMirror(refused=refusal)))
            return
        self._waits[wanted.token] = wait
        self._start(self._matched(wanted.token, wait))

    def unsubscribe(self, token: int) -> None:
        """End a wait that the mirror has dropped."""
        wait = self._waits.pop(token, None)
        if wait is not None:
            wait.cancel()

    def close(self) -> None:
        """End all waits."""
        for token in tuple(self._waits):
            self.unsubscribe(token)

    def __len__(self) -> int:
        return len(self._waits)

    def _wait(self, wanted: Subscribe, names: Sequence[str]) -> Wait:
        if wanted.index >= len(names):
            raise ProtocolError(f"there is no state {wanted.index} of {len(names)}")
        if wanted.token in self._waits:
            raise ProtocolError(f"token {wanted.token} is in use")
        if len(self._waits) >= _MOST:
            raise ProtocolError(f"this mirror has {_MOST} waits for arguments; cancel some first")
        return self._source.machine.when_args(names[wanted.index], from_values(wanted.args))

    async def _matched(self, token: int, wait: Wait) -> None:
        try:
            await wait
        except (MachineError, asyncio.CancelledError):
            if not wait.done:
                raise  # this task was cancelled, not the wait
            return
        self._waits.pop(token, None)
        await self._send(ToMirror(matched=token))
