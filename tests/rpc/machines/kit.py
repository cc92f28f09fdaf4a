"""Machines and mirrors for the tests, with a stream between them that can be spoiled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from grid.client.client import Client as GridClient
from grid.errors import OutcomeUnknown
from grid.stream import Stream
from rpc.machine_pb2 import Mutation, ToMirror, ToSource

__all__ = ["SCHEMA", "Spoiled", "SpoilingClient", "answer"]

SCHEMA = {"A": {}, "B": {"multi": True}, "C": {"require": ["A"]}, "D": {"remove": ["A"]}}

Fault = Callable[[ToMirror], list[ToMirror]]


async def answer(stream: Stream) -> Any:
    """The next message of a source, without its frame."""
    message = await stream.receive()
    assert isinstance(message, ToMirror)
    return getattr(message, message.WhichOneof("kind") or "")


class Spoiled:
    """A stream whose incoming messages pass through a fault."""

    in_process = False

    def __init__(self, stream: Stream, spoiler: SpoilingClient) -> None:
        self._stream = stream
        self._spoiler = spoiler
        self._ready: list[Any] = []

    async def send(self, message: Message) -> None:
        """See `grid.Stream`."""
        self._note(message)
        if self._spoiler.cut_after_sending:
            await self._stream.send(message)
            await self._cut()
        await self._stream.send(message)

    def send_nowait(self, message: Message) -> bool:
        """See `grid.Stream`."""
        if self._spoiler.cut_after_sending or not self._stream.send_nowait(message):
            return False
        self._note(message)
        return True

    def hand_to(self, take: Any) -> None:
        """Leave all to `receive`, as a stream may."""

    def share(self, shared: object) -> None:
        """Share nothing."""

    def shared(self) -> None:
        """Leave all to messages."""

    async def receive(self) -> Any:
        """See `grid.Stream`."""
        while not self._ready:
            message = await self._stream.receive()
            await self._spoiler.open.wait()
            if not isinstance(message, ToMirror):
                return message
            self._ready += self._spoiler.fault(message)
        return self._ready.pop(0)

    async def close(self, reason: Any = None) -> None:
        """See `grid.Stream`."""
        await self._stream.close(reason)

    def _note(self, message: Message) -> None:
        if isinstance(message, ToSource) and message.HasField("mutation"):
            sent = Mutation()
            sent.CopyFrom(message.mutation)
            self._spoiler.mutations.append(sent)

    async def _cut(self) -> None:
        self._spoiler.cut_after_sending -= 1
        await self._stream.close()
        raise OutcomeUnknown("the test has cut the connection")


class SpoilingClient:
    """A client of the grid that opens streams which drop, double, swap and damage updates.

    Attributes:
        kinds: the faults that are made, of "drop", "double", "swap", "damage"; none: all is well.
        made: how often each was made.
        cut_after_sending: how many of the next messages are followed by a cut.
        deaf: nothing arrives.
        open: while it is cleared, what comes waits.
        mutations: those that were sent, as they were then.
    """

    def __init__(self, client: GridClient, seed: int = 1) -> None:
        self.kinds: tuple[str, ...] = ()
        self.made: Counter[str] = Counter()
        self.cut_after_sending = 0
        self.deaf = False
        self.open = asyncio.Event()
        self.open.set()
        self.mutations: list[Mutation] = []
        self._client = client
        self._random = random.Random(seed)
        self._held: list[ToMirror] = []

    async def stream(self, name: str, first: Message, *, timeout: float | None = None) -> Any:
        """See `grid.Client`."""
        return Spoiled(await self._client.stream(name, first, timeout=timeout), self)

    def fault(self, message: ToMirror) -> list[ToMirror]:
        """The messages that arrive instead of this one."""
        if self.deaf:
            return []
        if self._held:
            held, self._held = self._held, []
            return [message, *held]
        if message.WhichOneof("kind") != "clock" or not self.kinds:
            return [message]
        kind = self._random.choice((*self.kinds, ""))
        if kind:
            self.made[kind] += 1
        match kind:
            case "drop":
                return []
            case "double":
                return [message, message]
            case "swap":
                self._held.append(message)
                return []
            case "damage":
                message.clock.increments[:] = [one + 2 for one in message.clock.increments]
                return [message]
            case _:
                return [message]
