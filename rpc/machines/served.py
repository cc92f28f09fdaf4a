"""One mirror that is connected: its requests are carried out, and it is kept up to date.

Everything that is sent to a mirror goes through one lock, which is held while a
message is built and sent: so the numbers of updates are in the order of the
stream, and an outcome carries all that changed before it. A mirror that does not
read holds up its own stream and nothing else; what it missed meanwhile is in the
next update.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from grid.errors import GridError
from machine.errors import MachineError
from machine.waits.result import Result
from machine.waits.wait import Wait
from rpc.machine_pb2 import (
    Call,
    ClockMsg,
    Fault,
    Hello,
    Mutation,
    Outcome,
    Snapshot,
    Subscribe,
    ToMirror,
    ToSource,
    Welcome,
)
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.errors import AccessDenied, NotConnected, ProtocolError, SourceGone
from rpc.machines.feed import Differences, Feed, Projection, PushTimes
from rpc.machines.functions import Function, FunctionCalls, OfferedFunctions
from rpc.machines.messages import VERSION, fault_of, names_hash, schema_hash
from rpc.machines.mutations import KeptOutcome, Mutations
from rpc.machines.payloads import Assembler, Payload, pieces_of
from rpc.machines.source import SourceMachine, TracedStep
from rpc.machines.streams import MirrorStream
from rpc.machines.values import from_values

__all__ = ["ServedMirror"]

_log = logging.getLogger("rpc.server")
_MOST_SUBSCRIPTIONS = 1024  # of one mirror


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
        pushes: how many updates went to it by themselves.
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
        self._mutations = Mutations(self.id, source, access, kept)
        self._functions = OfferedFunctions(getters, access.calls)
        self._calls = FunctionCalls(source.machine.id)
        self._on_payload = on_payload
        self._assembler = Assembler(limit, self.id)
        wanted = hello.interval / 1e6 if hello.HasField("interval") else interval
        self._times = PushTimes(wanted)
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._subscriptions: dict[int, Wait] = {}
        self._next = 0
        self._steps: list[TracedStep] = []
        self._fault: BaseException | None = None
        self._projection = self._project()
        clock = source.clock(self._projection, None)
        self._feed = Feed(clock, epoch, differences)

    @property
    def follows_steps(self) -> bool:
        """True if the mirror wants to see each transition."""
        return self._hello.mutations

    # -- the life of it --------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the mirror until its stream ends.

        Raises:
            GridError: the stream broke.
            ProtocolError: the mirror did not keep to the protocol.
        """
        try:
            async with self._sending:
                await self._stream.send(ToMirror(welcome=self._welcome(self._hello)))
            self._start(self._push())
            while (message := await self._stream.receive()) is not None:
                if not isinstance(message, ToSource):
                    raise ProtocolError(f"a mirror sent a {type(message).__name__}")
                await self._take(message)
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for wait in self._subscriptions.values():
            wait.cancel()
        self._calls.end(NotConnected(f"mirror {self.id!r} has left"))
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work, name=f"mirror {self.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, GridError):
            _log.error("serving mirror %r failed", self.id, exc_info=error)

    def _project(self) -> Projection:
        hello, machine = self._hello, self._source.machine
        allowed = set(hello.allowed)
        if self._access.read is not None:
            allowed = (allowed & self._access.read) if allowed else set(self._access.read)
            if not allowed:
                raise AccessDenied(f"mirror {self.id!r} may see none of these states")
        return Projection.of(machine.names, allowed, set(hello.skipped), hello.shallow)

    def _welcome(self, hello: Hello) -> Welcome:
        machine, names = self._source.machine, self._projection.names
        clock = self._source.clock(self._projection, None)
        welcome = Welcome(
            version=VERSION,
            machine=machine.id,
            names_hash=names_hash(names),
            snapshot=self._feed.snapshot(clock),
            tags=machine.tags,
            calls=self._functions.names,
        )
        if welcome.names_hash != hello.names_hash:
            welcome.names.extend(names)
        whole = len(names) == len(machine.names)
        if hello.want_schema and whole:  # of a part, the rest is not the mirror's to see
            welcome.schema_hash = schema_hash(machine.schema)
            if welcome.schema_hash != hello.schema_hash:
                welcome.schema = machine.schema.to_json().encode()
        fault = self._new_fault()
        if fault is not None:
            welcome.fault.CopyFrom(fault)
        return welcome

    # -- what changes at the source --------------------------------------------------------

    def changed(self, steps: list[TracedStep]) -> None:
        """Push the change when it is due."""
        if self.follows_steps:
            self._steps += steps
        at = self._times.changed(self._loop.time())
        if at is None:
            return
        if at <= self._loop.time():
            self._due.set()
        else:
            self._timer = self._loop.call_at(at, self._due.set)

    def redefined(self) -> None:
        """Follow another schema, or another order of names."""
        self._start(self._welcome_again())

    def disposed(self) -> None:
        """End the stream: the machine is gone."""
        self._start(self._farewell(SourceGone(f"machine {self._source.machine.id!r} has ended")))

    async def _farewell(self, error: MachineError) -> None:
        async with self._sending:
            await self._stream.send(ToMirror(farewell=fault_of(error)))
        await self._stream.close()

    async def _welcome_again(self) -> None:
        async with self._sending:
            self._projection = self._project()
            self._feed = Feed(
                self._source.clock(self._projection, None), self._epoch, self._differences
            )
            await self._stream.send(ToMirror(welcome=self._welcome(Hello(want_schema=True))))

    async def _push(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            async with self._sending:
                self._times.pushed(self._loop.time())
                sent = await self._send_steps() if self._steps else False
                message = self._update()
                if message is not None:
                    await self._stream.send(_clocked(message))
                self.pushes += sent or message is not None
                fault = self._new_fault()
                if fault is not None:
                    await self._stream.send(ToMirror(fault=fault))

    async def _send_steps(self) -> bool:
        steps, self._steps = self._steps, []
        for step in steps:
            clock = self._projection.clock(
                step.ticks, step.queue_tick, self._feed.base.machine_tick
            )
            message = self._feed.update(clock)
            if isinstance(message, Snapshot):
                await self._stream.send(ToMirror(snapshot=message))
                message = None
            await self._stream.send(ToMirror(step=step.message(self._projection.names, message)))
        return bool(steps)

    def _update(self) -> ClockMsg | Snapshot | None:
        return self._feed.update(self._source.clock(self._projection, self._feed.base))

    def _new_fault(self) -> Fault | None:
        error = self._source.fault()
        if error is self._fault:
            return None
        self._fault = error
        return None if error is None else fault_of(error)

    # -- what the mirror asks for ----------------------------------------------------------

    async def _take(self, message: ToSource) -> None:
        match message.WhichOneof("kind"):
            case "mutation":
                await self._mutate(message.mutation)
            case "resync":
                await self._resynchronise(message.resync.reason)
            case "payload":
                await self._take_piece(message)
            case _:
                self._take_aside(message)

    def _take_aside(self, message: ToSource) -> None:
        match message.WhichOneof("kind"):
            case "subscribe":
                self._subscribe(message.subscribe)
            case "unsubscribe":
                wait = self._subscriptions.pop(message.unsubscribe, None)
                if wait is not None:
                    wait.cancel()
            case "call":
                self._start(self._answer(message.call))
            case "value":
                self._calls.answered(message.value)
            case "interval":
                self._times.interval = message.interval.microseconds / 1e6
            case "log":
                _log.info("mirror %r: %s", self.id, message.log)
            case _:
                raise ProtocolError("a mirror sent a message of an unknown kind")

    async def _resynchronise(self, reason: str) -> None:
        _log.warning("mirror %r asks for a snapshot: %s", self.id, reason)
        async with self._sending:
            clock = self._source.clock(self._projection, self._feed.base)
            await self._stream.send(ToMirror(snapshot=self._feed.snapshot(clock)))

    async def _mutate(self, mutation: Mutation) -> None:
        kept = self._mutations.take(mutation, self._projection.names)
        if kept is None:
            return
        await self._send_outcome(kept.outcome)
        if kept.queued is not None:
            self._start(self._finish(kept, kept.queued))

    async def _finish(self, kept: KeptOutcome, queued: Result) -> None:
        await self._send_outcome(await self._mutations.finish(kept, queued))

    async def _send_outcome(self, outcome: Outcome) -> None:
        async with self._sending:
            update = self._update()
            if isinstance(update, Snapshot):
                await self._stream.send(ToMirror(snapshot=update))
                update = None
            sent = Outcome()
            sent.CopyFrom(outcome)
            if update is not None:
                sent.clock.CopyFrom(update)
            await self._stream.send(ToMirror(outcome=sent))
            fault = self._new_fault()
            if fault is not None:
                await self._stream.send(ToMirror(fault=fault))

    # -- waits for arguments ---------------------------------------------------------------

    def _subscribe(self, wanted: Subscribe) -> None:
        names = self._projection.names
        if wanted.index >= len(names) or len(self._subscriptions) >= _MOST_SUBSCRIPTIONS:
            raise ProtocolError(f"state {wanted.index} of {len(names)}, or too many subscriptions")
        args = from_values(wanted.args)
        wait = self._source.machine.when_args(names[wanted.index], args)
        self._subscriptions[wanted.token] = wait
        self._start(self._matched(wanted.token, wait))

    async def _matched(self, token: int, wait: Wait) -> None:
        try:
            await wait
        except (MachineError, asyncio.CancelledError):
            if not wait.done:
                raise
            return
        self._subscriptions.pop(token, None)
        async with self._sending:
            await self._stream.send(ToMirror(matched=token))

    # -- calls, both ways ------------------------------------------------------------------

    async def _answer(self, call: Call) -> None:
        value = await self._functions.answer(call)
        async with self._sending:
            await self._stream.send(ToMirror(value=value))

    async def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Call a function that the mirror offers. Raises what it raised."""
        return await self._calls.call(self._send_call, name, args)

    async def _send_call(self, call: Call) -> None:
        async with self._sending:
            await self._stream.send(ToMirror(call=call))

    # -- payloads, both ways ---------------------------------------------------------------

    async def send_payload(self, payload: Payload) -> None:
        """Send a payload in pieces; other messages go between them."""
        self._next += 1
        for piece in pieces_of(self._next, payload):
            async with self._sending:
                await self._stream.send(ToMirror(payload=piece))

    async def _take_piece(self, message: ToSource) -> None:
        piece = message.payload
        if piece.error:
            self._assembler.drop(piece.id)
            return
        _, whole = self._assembler.take(piece)
        if whole is not None and self._on_payload is not None:
            taken = self._on_payload(whole)
            if inspect.isawaitable(taken):
                await taken


def _clocked(message: ClockMsg | Snapshot) -> ToMirror:
    if isinstance(message, Snapshot):
        return ToMirror(snapshot=message)
    return ToMirror(clock=message)
