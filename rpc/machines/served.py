"""One mirror that is connected: its requests are carried out, and it is kept up to date."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import Message

from machine.errors import MachineError
from rpc.machine_pb2 import Hello, Mutation, Resync, ToMirror, ToSource
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.clock import Clock
from rpc.machines.errors import NotConnected, ProtocolError, SourceGone
from rpc.machines.feed import Differences, PushTimes
from rpc.machines.functions import Function, OfferedFunctions
from rpc.machines.messages import fault_of
from rpc.machines.mutations import KeptOutcome, Mutations
from rpc.machines.neighbour import Neighbour, Request, Response
from rpc.machines.payloads import Payload
from rpc.machines.side_traffic import SideTraffic
from rpc.machines.source import SourceMachine, TracedStep
from rpc.machines.source_waits import SourceWaits
from rpc.machines.streams import MirrorStream
from rpc.machines.updates import Updates
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
        follows_steps: the mirror wants to see each transition.
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
        self.follows_steps = hello.mutations
        self._updates = Updates(source, stream, hello, access, epoch, differences)
        self._send = self._updates.send
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
        self._updates.calls = self.side.offered
        self.waits = SourceWaits(source, self._send, self._start)
        wanted = hello.interval / 1e6 if hello.HasField("interval") else interval
        self._times = PushTimes(wanted)
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._finishing: set[int] = set()  # numbers of queued mutations
        self._late = 0  # outcomes that could not go at once

    async def run(self) -> None:
        """Serve the mirror until its stream ends.

        Raises:
            GridError: the stream broke.
            ProtocolError: the mirror did not keep to the protocol.
        """
        try:
            await self._updates.open()
            self._start(self._push())
            self._stream.hand_to(self._take_now)
            self._stream.share(Neighbour(self, contextvars.copy_context()))
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
            self._start(self.abort(error))

    def changed(self, steps: list[TracedStep]) -> None:
        """Push the change when it is due, unless the mirror has it by an outcome."""
        if self.follows_steps and self._times.interval:
            self._updates.steps += steps
        if not self._times.set and self._updates.pending:
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

    async def abort(self, error: BaseException) -> None:
        """End the stream after an error of this side; the mirror may come again."""
        _log.error("serving mirror %r failed", self.id, exc_info=error)
        await self._stream.close("serving this mirror failed")

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

    async def _push(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            self.pushes += await self._updates.push(self._pushes)

    def _pushes(self) -> None:
        self._times.pushed(self._loop.time())

    # -- what the mirror asks for ----------------------------------------------------------

    async def _take(self, message: Message) -> None:
        if not isinstance(message, ToSource):
            raise ProtocolError(f"a mirror sent a {type(message).__name__}")
        match message.WhichOneof("kind"):
            case "mutation":
                await self._mutate(message.mutation)
            case "resync":
                await self._resynchronise(message.resync)
            case "subscribe":
                self.waits.subscribe(
                    message.subscribe, self._updates.names_of(message.subscribe.welcome)
                )
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

    async def _resynchronise(self, asked: Resync) -> None:
        _log.info("mirror %r asks for a snapshot: %s", self.id, asked.reason)
        await self._updates.resynchronise(asked.number)

    def _take_now(self, message: Message) -> bool:
        """Carry a mutation out and answer it at once; False if `run` has to do it."""
        if not isinstance(message, ToSource) or not message.HasField("mutation"):
            return False
        source = self._source
        if self._updates.busy() or self._late or self.follows_steps or source.relay is not None:
            return False
        mutation, told = message.mutation, False
        names = self._updates.names_of(mutation.welcome)
        source.hold()
        try:
            kept = self._mutations.take(mutation, names)
            if kept is None:
                return True
            told = self._updates.sent_outcome(kept)
        finally:
            source.release(told=told)
        if not told:
            self._late += 1
            self._start(self._send_late(kept))
        if kept.queued is not None:
            self._finish_later(kept)
        return True

    def carry_out(self, request: Request) -> Response | None:
        """Carry out a mutation of a mirror in this process; see `Neighbour.mutate`."""
        source, updates = self._source, self._updates
        if self._late or self.follows_steps or source.relay is not None:
            return None
        if not updates.is_at(request.sequence, request.welcome):
            return None
        handed: tuple[Clock, int] | None = None
        source.hold()
        try:
            result, fault = self._mutations.carry_out(request)
            if result is None or not result.queued:
                handed = updates.hand_over()
        finally:
            source.release(told=handed is not None)
        if handed is not None:
            return Response(result, fault, *handed)
        kept = self._mutations.keep(request.number, result, fault)
        self._late += 1
        self._start(self._send_late(kept))
        self._finish_later(kept)
        return Response(None, None, None, 0)

    async def _send_late(self, kept: KeptOutcome) -> None:
        try:
            await self._updates.send_outcome(kept)
        finally:
            self._late -= 1

    async def _mutate(self, mutation: Mutation) -> None:
        kept = self._mutations.take(mutation, self._updates.names_of(mutation.welcome))
        if kept is None:
            return
        if len(self._finishing) >= _MOST_RELAYED:
            await self._mutations.arrive(kept)
        if kept.relayed is None:
            await self._updates.send_outcome(kept)
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
                await self._updates.send_outcome(kept)
            if (queued := kept.queued) is None:
                return
            await self._mutations.finish(kept, queued)
        finally:
            self._finishing.discard(kept.number)
        await self._updates.send_outcome(kept)
