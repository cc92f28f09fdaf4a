"""One mirror that is connected: its requests are carried out, and it is kept up to date.

Everything that is sent to a mirror goes through one lock, which is held while a
message is built and sent: so the numbers of updates are in the order of the
stream, and an outcome carries all that changed before it. A mirror that does not
read holds up its own stream and nothing else; what it missed meanwhile is in the
next update.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import Message

from machine.errors import MachineError
from rpc.machine_pb2 import (
    ClockMsg,
    Fault,
    Hello,
    Mutation,
    Snapshot,
    ToMirror,
    ToSource,
)
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.errors import NotConnected, ProtocolError, SourceGone
from rpc.machines.feed import Differences, Feed, Projection, PushTimes
from rpc.machines.functions import Function, OfferedFunctions
from rpc.machines.messages import fault_of, in_frame
from rpc.machines.mutations import KeptOutcome, Mutations
from rpc.machines.payloads import Payload
from rpc.machines.side_traffic import SideTraffic
from rpc.machines.source import SourceMachine, TracedStep
from rpc.machines.source_waits import SourceWaits
from rpc.machines.steps import step_messages
from rpc.machines.streams import MirrorStream
from rpc.machines.welcomes import projection_for, welcome_for
from rpc.machines.work import Work

__all__ = ["ServedMirror"]

_log = logging.getLogger("rpc.server")
_MOST_RELAYED = 256  # calls of one mirror that its relay has passed on


class ServedMirror:
    """The source's end of one mirror.

    Args:
        source: the machine.
        stream: to the mirror.
        hello: what it asked for.
        access: what it may do.
        epoch: of the source.
        differences: shared by all mirrors of the machine.
        kept: the outcomes that this mirror may not have got before.
        getters: the functions it may call.
        on_payload: called with each payload of it.
        limit: bytes of a payload.
        interval: seconds between pushes, unless the mirror says otherwise.

    Attributes:
        id: of the mirror, as it says.
        pushes: the number of updates that were not part of an outcome.
        side: its calls and payloads.
        waits: its open waits for arguments.
    """

    def __init__(
        self,
        source: SourceMachine,
        stream: MirrorStream,
        hello: Hello,
        access: Access,
        *,
        epoch: int,
        differences: Differences,
        kept: KeptOutcomes[KeptOutcome],
        getters: Mapping[str, Function],
        on_payload: Callable[[Payload], Awaitable[None] | None] | None,
        limit: int,
        interval: float,
    ) -> None:
        self.id = hello.mirror
        self.pushes = 0
        self._source = source
        self._stream = stream
        self._hello = hello
        self._access = access
        self._epoch = epoch
        self._differences = differences
        self._work = Work(f"mirror {self.id}", self._failed)
        self._start = self._work.start
        self._mutations = Mutations(self.id, source, access, kept)
        self.side = SideTraffic(
            self.id,
            source.machine.id,
            OfferedFunctions(getters, access.calls, source.otherwise),
            on_payload,
            limit,
            self._send,
            self._start,
        )
        self.waits = SourceWaits(source, self._send, self._start)
        wanted = hello.interval / 1e6 if hello.HasField("interval") else interval
        self._times = PushTimes(wanted)
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._finishing: set[int] = set()  # numbers of queued mutations
        self._late = 0  # outcomes that could not go at once
        self._steps: list[TracedStep] = []
        self._fault: BaseException | None = None
        self._generation = source.generation
        self._projection = self._project()
        self._names = [self._projection.names]  # of each welcome, for messages that crossed one
        clock = source.clock(self._projection, None)
        self._feed = Feed(clock, source.epoch(epoch), differences)

    @property
    def follows_steps(self) -> bool:
        """True if the mirror wants to see each transition."""
        return self._hello.mutations

    async def run(self) -> None:
        """Serve the mirror until its stream ends.

        Raises:
            GridError: the stream broke.
            ProtocolError: the mirror did not keep to the protocol.
        """
        try:
            async with self._sending:
                await self._stream.send(self._welcome(self._hello))
            self._start(self._push())
            self._stream.hand_to(self._take_now)
            while (message := await self._stream.receive()) is not None:
                await self._take(message)
        finally:
            await self._close()

    async def _close(self) -> None:
        self._set_timer(None)
        self.waits.close()
        gone = NotConnected(f"mirror {self.id!r} has left; the other side may have got it")
        self.side.end(gone)
        await self._work.end()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, MachineError):
            self._start(self.farewell(error))
        else:
            _log.error("serving mirror %r failed", self.id, exc_info=error)
            self._start(self._stream.close("serving this mirror failed"))

    def _project(self) -> Projection:
        return projection_for(self._source, self._hello, self._access)

    def _welcome(self, hello: Hello) -> ToMirror:
        clock = self._source.clock(self._projection, None)
        snapshot = self._feed.snapshot(clock)
        welcome = welcome_for(self._source.machine, hello, self._projection.names, snapshot)
        welcome.calls.extend(self.side.offered)
        fault = self._new_fault()
        if fault is not None:
            welcome.fault.CopyFrom(fault)
        return ToMirror(welcome=welcome)

    async def _send(self, message: ToMirror) -> None:
        async with self._sending:
            await self._stream.send(message)

    def changed(self, steps: list[TracedStep]) -> None:
        """Push the change when it is due, unless the mirror has it by an outcome."""
        if self.follows_steps and self._times.interval:
            self._steps += steps
        if self._times.set:
            return
        if not self._steps and not self._stale():
            clock = self._source.clock(self._projection, self._feed.base)
            if self._feed.reached(clock):
                return
        self._set_timer(self._times.changed(self._loop.time()))

    def redefined(self) -> None:
        """Follow another schema, or another order of names."""
        self._due.set()

    def cut(self) -> None:
        """End the stream, so that the mirror tries again: a relay does not follow its source."""
        self._start(self._stream.close("the relay has lost its source"))

    def disposed(self) -> None:
        """End the stream: the machine is gone."""
        gone = SourceGone(f"machine {self._source.machine.id!r} has ended")
        self._start(self.farewell(gone))

    async def farewell(self, error: MachineError) -> None:
        """End the stream for good, with a reason."""
        await self._send(ToMirror(farewell=fault_of(error)))
        await self._stream.close()

    def _set_timer(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is None:
            return
        if at <= self._loop.time():
            self._due.set()
        else:
            self._timer = self._loop.call_at(at, self._due.set)

    def _stale(self) -> bool:
        """True if the schema has changed since the last welcome."""
        return self._generation != self._source.generation

    async def _welcome_again(self) -> None:
        """Send a welcome if the schema has changed; the lock is held."""
        if not self._stale():
            return
        self._generation = self._source.generation
        self._projection = self._project()
        self._names.append(self._projection.names)
        clock = self._source.clock(self._projection, None)
        self._feed = Feed(clock, self._source.epoch(self._epoch), self._differences)
        await self._stream.send(self._welcome(Hello(want_schema=True)))

    async def _push(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            async with self._sending:
                self._times.pushed(self._loop.time())
                await self._welcome_again()
                await self._send_fault()  # first: waits that Exception ends raise its error
                sent = await self._send_steps()
                message = self._update()
                if message is not None:
                    await self._stream.send(in_frame(message))
                self.pushes += sent or message is not None

    async def _send_steps(self) -> bool:
        """Send all transitions up to now, if the mirror follows them; the lock is held."""
        if not self.follows_steps:
            return False
        self._source.tell()
        steps, self._steps = self._steps, []
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

    # -- what the mirror asks for ----------------------------------------------------------

    async def _take(self, message: Message) -> None:
        if not isinstance(message, ToSource):
            raise ProtocolError(f"a mirror sent a {type(message).__name__}")
        match message.WhichOneof("kind"):
            case "mutation":
                await self._mutate(message.mutation)
            case "resync":
                await self._resynchronise(message.resync.reason)
            case "subscribe":
                self.waits.subscribe(message.subscribe, self._names_of(message.subscribe.welcome))
            case "unsubscribe":
                self.waits.unsubscribe(message.unsubscribe)
            case "interval":
                interval = message.interval.microseconds / 1e6
                self._set_timer(self._times.change_interval(interval, self._loop.time()))
            case "log":
                _log.info("mirror %r: %s", self.id, message.log)
            case _:
                if not self.side.take(message):
                    raise ProtocolError("a mirror sent a message of an unknown kind")

    def _names_of(self, welcome: int) -> tuple[str, ...]:
        if welcome >= len(self._names):
            raise ProtocolError(f"there was no welcome {welcome}")
        return self._names[welcome]

    async def _resynchronise(self, reason: str) -> None:
        _log.info("mirror %r asks for a snapshot: %s", self.id, reason)
        async with self._sending:
            await self._welcome_again()
            await self._send_fault()
            await self._send_steps()
            clock = self._source.clock(self._projection, self._feed.base)
            await self._stream.send(ToMirror(snapshot=self._feed.snapshot(clock)))

    def _take_now(self, message: Message) -> bool:
        """Carry a mutation out and answer it at once; False if `run` has to do it."""
        if not isinstance(message, ToSource) or not message.HasField("mutation"):
            return False
        source = self._source
        if self._sending.locked() or self._late or self.follows_steps or source.relay is not None:
            return False
        mutation, told = message.mutation, False
        names = self._names_of(mutation.welcome)
        source.hold()
        try:
            kept = self._mutations.take(mutation, names)
            if kept is None:
                return True
            told = self._sent_outcome(kept)
        finally:
            source.release(told=told)
        if not told:
            self._late += 1
            self._start(self._send_late(kept))
        self._finish_later(kept)
        return True

    async def _send_late(self, kept: KeptOutcome) -> None:
        try:
            await self._send_outcome(kept)
        finally:
            self._late -= 1

    def _sent_outcome(self, kept: KeptOutcome) -> bool:
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

    async def _mutate(self, mutation: Mutation) -> None:
        kept = self._mutations.take(mutation, self._names_of(mutation.welcome))
        if kept is None:
            return
        if len(self._finishing) >= _MOST_RELAYED:
            await self._mutations.arrive(kept)
        if kept.relayed is None:
            await self._send_outcome(kept)
        self._finish_later(kept)

    def _finish_later(self, kept: KeptOutcome) -> None:
        # A call that was sent again, and still waits for its turn, is answered once.
        waits = kept.queued is not None or kept.relayed is not None
        if waits and kept.number not in self._finishing:
            self._finishing.add(kept.number)
            self._start(self._finish(kept))

    async def _finish(self, kept: KeptOutcome) -> None:
        try:
            if kept.relayed is not None:
                await self._mutations.arrive(kept)
                await self._send_outcome(kept)
            if (queued := kept.queued) is None:
                return
            await self._mutations.finish(kept, queued)
        finally:
            self._finishing.discard(kept.number)
        await self._send_outcome(kept)

    async def _send_outcome(self, kept: KeptOutcome) -> None:
        async with self._sending:
            if self._stale():
                await self._welcome_again()
            if self._source.fault() is not self._fault:
                await self._send_fault()
            if self.follows_steps:
                await self._send_steps()
            message = ToMirror()
            outcome = message.outcome
            kept.fill(outcome)
            update = self._update(outcome.clock)
            if isinstance(update, Snapshot):
                await self._stream.send(ToMirror(snapshot=update))
            await self._stream.send(message)
