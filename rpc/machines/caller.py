"""The calls of a client to its source: mutations that run once, waits, functions, payloads.

A caller outlives connections. Calls wait for the next connection while there is
none, and are sent again when one breaks under them; see `calls`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from grid.errors import GridError
from machine.core.mutation import Source, values_of
from machine.core.transition import Event, source_of
from machine.errors import InvalidArgument
from machine.rules.kinds import Kind
from machine.waits.result import CANCELED, EXECUTED, Result
from machine.waits.wait import Wait
from rpc.machine_pb2 import (
    Call,
    Fault,
    Interval,
    Mutation,
    Outcome,
    Resync,
    Subscribe,
    ToSource,
    Value,
)
from rpc.machines.calls import PendingCalls
from rpc.machines.connection import Connection
from rpc.machines.errors import CallTimeout, NotConnected, SourceGone
from rpc.machines.functions import FunctionCalls
from rpc.machines.messages import KIND_NUMBERS, origin_of, raised
from rpc.machines.mirror import Mirror
from rpc.machines.payloads import Payload, Progress, pieces_of
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.values import to_values

__all__ = ["Caller", "microseconds"]

_FINAL: dict[int, Result] = {Outcome.EXECUTED: EXECUTED, Outcome.CANCELED: CANCELED}


class Caller:
    """Calls to one source.

    Args:
        name: under which the machine is served.
        mirror: of the machine.
        timeout: seconds for a call that does not say otherwise.
        on_waiting: called when a call has to wait for a connection.

    Attributes:
        connection: the present one; None while there is none.
        last_heard: when anything came from the source, in seconds of the loop's clock.
    """

    def __init__(
        self, name: str, mirror: Mirror, timeout: float, on_waiting: Callable[[], object]
    ) -> None:
        self.connection: Connection | None = None
        self.last_heard = float("-inf")
        self._name = name
        self._mirror = mirror
        self._timeout = timeout
        self._on_waiting = on_waiting
        self._machine: RemoteMachine[Any] | None = None
        self._pending: PendingCalls[Mutation, asyncio.Future[Result] | Result] = PendingCalls()
        self._subscriptions: dict[int, tuple[Subscribe, Wait]] = {}
        self._functions = FunctionCalls(name)
        self._snapshots: list[asyncio.Future[None]] = []
        self._payloads = 0

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source."""
        return self.connection is not None and self._mirror.synchronised

    @property
    def machine(self) -> RemoteMachine[Any]:
        """The remote machine.

        Raises:
            NotConnected: nothing is known of it yet.
        """
        if self._machine is None:
            raise NotConnected(f"nothing is known yet of machine {self._name!r}; await start()")
        return self._machine

    @machine.setter
    def machine(self, machine: RemoteMachine[Any]) -> None:
        self._machine = machine

    # -- what the machine asks for -----------------------------------------------------------

    async def mutate(
        self,
        kind: Kind,
        states: Sequence[str],
        args: object = None,
        source: Event | Source | None = None,
        error: Fault | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Carry a mutation out at the source; its result, after its change has been applied."""
        mutation = self._mutation(kind, states, args, source, error)
        mutation.id = number = self._pending.number()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.add(number, mutation, future)
        mutation.done = self._pending.done
        try:
            with self._within(timeout, f"{self._name!r} did not answer; it may run") as limit:
                async with limit:
                    await self._send_call(number, mutation)
                    return await future
        except (CallTimeout, asyncio.CancelledError):
            self._pending.take(number)
            raise

    async def notify(
        self,
        kind: Kind,
        states: Sequence[str],
        args: object = None,
        source: Event | Source | None = None,
    ) -> None:
        """Send a mutation whose result is not told."""
        mutation = self._mutation(kind, states, args, source, None)
        await self._connected().send(ToSource(mutation=mutation))

    async def synchronise(self, timeout: float | None = None) -> None:
        """Return when the mirror has all that had changed at the source before this call."""
        connection = self._connected()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._snapshots.append(future)
        resync = Resync(reason="asked for", sequence=self._mirror.sequence)
        try:
            with self._within(timeout, f"{self._name!r} did not answer") as limit:
                async with limit:
                    await connection.send(ToSource(resync=resync))
                    await future
        finally:
            with contextlib.suppress(ValueError):
                self._snapshots.remove(future)

    def subscribe(self, state: str, args: Mapping[str, Any], wait: Wait) -> None:
        """End a wait when a state begins at the source with these arguments."""
        token = max(self._subscriptions, default=0) + 1
        subscribe = Subscribe(token=token, index=self._index(state), args=to_values(args))
        self._subscriptions[token] = subscribe, wait
        if self.connection is not None:
            self.connection.start(self.connection.send(ToSource(subscribe=subscribe)))

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source; its answer."""
        connection = self._connected()

        async def send(call: Call) -> None:
            await connection.send(ToSource(call=call))

        with self._within(timeout, f"{name!r} of {self._name!r} did not answer") as limit:
            async with limit:
                return await self._functions.call(send, name, args)

    async def log(self, text: str) -> None:
        """Write a line into the log of the source."""
        await self._connected().send(ToSource(log=text))

    async def set_interval(self, interval: float) -> None:
        """Change the seconds between pushes; 0: none but those that come with calls."""
        message = Interval(microseconds=microseconds(interval))
        await self._connected().send(ToSource(interval=message))

    async def send_payload(
        self, payload: Payload, on_progress: Callable[[Progress], object] | None = None
    ) -> None:
        """Send a payload to the source, in pieces.

        Args:
            payload: what to send.
            on_progress: called after each piece.

        Raises:
            NotConnected, GridError: it did not arrive whole; sending it again is safe.
        """
        connection = self._connected()
        self._payloads += 1
        done = 0
        for piece in pieces_of(self._payloads, payload):
            await connection.send(ToSource(payload=piece))
            done += len(piece.data)
            if on_progress is not None:
                on_progress(Progress(payload.name, done, len(payload.data)))

    def _mutation(
        self,
        kind: Kind,
        states: Sequence[str],
        args: object,
        source: Event | Source | None,
        error: Fault | None,
    ) -> Mutation:
        return Mutation(
            kind=KIND_NUMBERS[kind],
            indexes=[self._index(name) for name in states],
            args=None if args is None else to_values(values_of(args)),
            origin=origin_of(source_of(source)),
            error=error,
        )

    def _index(self, state: str) -> int:
        return self.machine.agreed_index(state)

    async def _send_call(self, number: int, mutation: Mutation) -> None:
        connection = self.connection
        if connection is None:
            self._on_waiting()  # `resume` sends it
            return
        self._pending.sent(number, self._mirror.epoch)
        with contextlib.suppress(GridError):  # the stream breaks, and the next one carries it
            await connection.send(ToSource(mutation=mutation))

    def _connected(self) -> Connection:
        if self.connection is None:
            raise NotConnected(f"{self._name!r} is not connected")
        return self.connection

    @contextlib.contextmanager
    def _within(self, timeout: float | None, what: str) -> Iterator[asyncio.Timeout]:
        seconds = self._timeout if timeout is None else timeout
        limit = asyncio.timeout(seconds)
        try:
            yield limit
        except TimeoutError:
            if not limit.expired():
                raise
            raise CallTimeout(f"{what} within {seconds:g} s") from None

    # -- what the connection tells -----------------------------------------------------------

    async def resume(self, connection: Connection) -> None:
        """Send again what the connection before has not brought to its end."""
        calls, lost = self._pending.connected(self._mirror.epoch)
        for waiting in lost:
            if isinstance(waiting, asyncio.Future) and not waiting.done():
                text = f"{self._name!r} was restarted while a call was on its way; it may have run"
                waiting.set_exception(SourceGone(text))
        for token, (subscribe, wait) in tuple(self._subscriptions.items()):
            if wait.done:
                del self._subscriptions[token]
            else:
                await connection.send(ToSource(subscribe=subscribe))
        for number, mutation in calls:
            self._pending.sent(number, self._mirror.epoch)
            await connection.send(ToSource(mutation=mutation))

    def outcome(self, outcome: Outcome) -> None:
        """A call has its outcome."""
        waiting = self._pending.get(outcome.id)
        if isinstance(waiting, Result):
            if outcome.result != Outcome.QUEUED:
                self._pending.take(outcome.id)
                self.machine.settle(waiting, _FINAL.get(outcome.result, CANCELED))
        elif waiting is not None:
            self._answer(waiting, outcome)

    def _answer(self, waiting: asyncio.Future[Result], outcome: Outcome) -> None:
        if outcome.result == Outcome.QUEUED:
            result = self.machine.queued(outcome.queue_tick)
            self._pending.replace(outcome.id, result)
        else:
            result = _FINAL.get(outcome.result, CANCELED)
            self._pending.take(outcome.id)
        if waiting.done():
            return
        if outcome.result == Outcome.REFUSED:
            waiting.set_exception(raised(outcome.fault, self._name))
        else:
            waiting.set_result(result)

    def matched(self, token: int) -> None:
        """A state began with the arguments of a subscription."""
        found = self._subscriptions.pop(token, None)
        if found is not None:
            self.machine.matched(found[1])

    def value(self, value: Value) -> None:
        """A function of the source has answered."""
        self._functions.answered(value)

    def synchronised(self) -> None:
        """The mirror has a clock of its source from now."""
        for future in self._snapshots:
            if not future.done():
                future.set_result(None)

    def end(self, error: BaseException) -> None:
        """Fail everything that waits: nothing more comes."""
        for waiting in self._pending.clear():
            if isinstance(waiting, asyncio.Future) and not waiting.done():
                waiting.set_exception(error)
        for future in self._snapshots:
            if not future.done():
                future.set_exception(error)
        self._functions.end(error)
        if self._machine is not None:
            self._machine.dispose()


def microseconds(seconds: float) -> int:
    """An interval as messages have it.

    Raises:
        InvalidArgument: it is negative, or too long.
    """
    if not 0 <= seconds < 4000:
        raise InvalidArgument(f"interval must be 0 to 4000 seconds, not {seconds!r}")
    return max(1, round(seconds * 1e6)) if seconds else 0
