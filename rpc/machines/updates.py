"""Messages to one mirror: welcomes, updates, errors and outcomes, in one order.

Everything that is sent to a mirror goes through one lock, which is held while a
message is built and sent: so the numbers of updates are in the order of the
stream, and an outcome carries all that changed before it. A mirror that does not
read holds up its own stream and nothing else; what it missed meanwhile is in the
next update.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rpc.machine_pb2 import ClockMsg, Fault, Hello, Snapshot, ToMirror
from rpc.machines.access import Access
from rpc.machines.clock import Clock
from rpc.machines.errors import ProtocolError
from rpc.machines.feed import Differences, Feed, Projection
from rpc.machines.messages import fault_of, in_frame
from rpc.machines.mutations import KeptOutcome
from rpc.machines.source import SourceMachine, TracedStep
from rpc.machines.steps import step_messages
from rpc.machines.streams import MirrorStream
from rpc.machines.welcomes import projection_for, welcome_for

__all__ = ["Updates"]


class Updates:
    """The sending half of one mirror at its source.

    Args:
        source: the machine.
        stream: to the mirror.
        hello: what it asked for.
        access: what it may do.
        epoch: of the source.
        differences: shared by all mirrors of the machine.

    Attributes:
        calls: the functions that the mirror may call.
        busy: True while a message is being sent, so that others have to wait for it.
        steps: the transitions that are still to be sent, if the mirror follows them.
    """

    def __init__(
        self,
        source: SourceMachine,
        stream: MirrorStream,
        hello: Hello,
        access: Access,
        epoch: int,
        differences: Differences,
    ) -> None:
        self.calls: list[str] = []
        self.steps: list[TracedStep] = []
        self._source = source
        self._stream = stream
        self._hello = hello
        self._access = access
        self._epoch = epoch
        self._differences = differences
        self._sending = asyncio.Lock()
        self.busy = self._sending.locked
        self._fault: BaseException | None = None
        self._generation = source.generation
        self._projection = self._project()
        self._names = [self._projection.names]  # of each welcome, for messages that crossed one
        clock = source.clock(self._projection, None)
        self._feed = Feed(clock, source.epoch(epoch), differences)

    @property
    def pending(self) -> bool:
        """True if something has changed that the mirror does not know."""
        if self.steps or self._stale():
            return True
        return not self._feed.reached(self._source.clock(self._projection, self._feed.base))

    def names_of(self, welcome: int) -> tuple[str, ...]:
        """The names agreed by a welcome.

        Raises:
            ProtocolError: there was none of this number.
        """
        if welcome >= len(self._names):
            raise ProtocolError(f"there was no welcome {welcome}")
        return self._names[welcome]

    async def send(self, message: ToMirror) -> None:
        """Send a message in its turn. Raises as `grid.Stream.send` does, as do all below."""
        async with self._sending:
            await self._stream.send(message)

    async def open(self) -> None:
        """Send the first welcome."""
        async with self._sending:
            await self._stream.send(self._welcome(self._hello))

    async def push(self, begin: Callable[[], None]) -> bool:
        """Send what has changed; False if there was nothing but errors and schemas.

        Args:
            begin: called when its turn has come.
        """
        async with self._sending:
            begin()
            await self._welcome_again()
            await self._send_fault()  # first: waits that Exception ends raise its error
            sent = await self._send_steps()
            message = self._update()
            if message is not None:
                await self._stream.send(in_frame(message))
            return sent or message is not None

    async def resynchronise(self, number: int) -> None:
        """Send the whole clock, as the answer to the request of a number."""
        async with self._sending:
            await self._welcome_again()
            await self._send_fault()
            await self._send_steps()
            clock = self._source.clock(self._projection, self._feed.base)
            snapshot = self._feed.snapshot(clock)
            snapshot.answers = number
            await self._stream.send(ToMirror(snapshot=snapshot))

    async def send_outcome(self, kept: KeptOutcome) -> None:
        """Send an outcome, after all that has changed before it."""
        async with self._sending:
            await self._welcome_again()
            await self._send_fault()
            await self._send_steps()
            message = ToMirror()
            outcome = message.outcome
            kept.fill(outcome)
            update = self._update(outcome.clock)
            if isinstance(update, Snapshot):
                await self._stream.send(ToMirror(snapshot=update))
            await self._stream.send(message)

    def sent_outcome(self, kept: KeptOutcome) -> bool:
        """Send an outcome that can go at once, alone; False if it cannot."""
        if self._stale() or self._source.fault() is not self._fault:
            return False
        feed = self._feed
        before = feed.base, feed.sequence
        message = ToMirror()
        outcome = message.outcome
        kept.fill(outcome)
        update = self._update(outcome.clock)
        if not isinstance(update, Snapshot) and self._stream.send_nowait(message):
            return True
        feed.base, feed.sequence = before  # as if it had not been made
        return False

    def is_at(self, sequence: int, welcome: int) -> bool:
        """True if a mirror that has applied this update has all that was sent, and nothing waits.

        Args:
            sequence: of the last update that it has applied.
            welcome: the number of the last one that it has taken.
        """
        return (
            sequence == self._feed.sequence
            and welcome == len(self._names) - 1
            and not self._sending.locked()
            and not self._stale()
        )

    def hand_over(self) -> tuple[Clock, int] | None:
        """The present clock and its sequence, for a mirror that takes them without a message.

        Returns:
            None if it needs messages: an error, a schema or an import has to be told.
        """
        if self._stale() or self._source.fault() is not self._fault:
            return None
        feed = self._feed
        clock = self._source.clock(self._projection, feed.base)
        if not feed.hand_over(clock):
            return None
        return clock, feed.sequence

    # -- inside; the lock is held --------------------------------------------------------------

    def _project(self) -> Projection:
        return projection_for(self._source, self._hello, self._access)

    def _welcome(self, hello: Hello) -> ToMirror:
        clock = self._source.clock(self._projection, None)
        snapshot = self._feed.snapshot(clock)
        welcome = welcome_for(self._source.machine, hello, self._projection.names, snapshot)
        welcome.calls.extend(self.calls)
        fault = self._new_fault()
        if fault is not None:
            welcome.fault.CopyFrom(fault)
        return ToMirror(welcome=welcome)

    def _stale(self) -> bool:
        """True if the schema has changed since the last welcome."""
        return self._generation != self._source.generation

    async def _welcome_again(self) -> None:
        if not self._stale():
            return
        self._generation = self._source.generation
        self._projection = self._project()
        self._names.append(self._projection.names)
        clock = self._source.clock(self._projection, None)
        self._feed = Feed(clock, self._source.epoch(self._epoch), self._differences)
        await self._stream.send(self._welcome(Hello(want_schema=True)))

    async def _send_steps(self) -> bool:
        if not self._hello.mutations:
            return False
        self._source.tell()
        steps, self.steps = self.steps, []
        states = len(self._source.machine.names)
        for message in step_messages(steps, self._feed, self._projection, states):
            await self._stream.send(message)
        return bool(steps)

    def _update(self, message: ClockMsg | None = None) -> ClockMsg | Snapshot | None:
        clock = self._source.clock(self._projection, self._feed.base)
        return self._feed.update(clock, message)

    async def _send_fault(self) -> None:
        fault = self._new_fault()
        if fault is not None:
            await self._stream.send(ToMirror(fault=fault))

    def _new_fault(self) -> Fault | None:
        error = self._source.fault()
        if error is self._fault:
            return None
        self._fault = error
        return None if error is None else fault_of(error)
