"""The calls of a client to its source: mutations that run once, waits, functions, payloads.

A caller outlives connections. Calls wait for the next connection while there is
none, and are sent again when one breaks under them; see `calls`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grid.errors import GridError
from machine.core.mutation import Source, values_of
from machine.core.transition import Event, source_of
from machine.errors import MachineDisposed, MachineError
from machine.rules.kinds import Kind
from machine.waits.result import CANCELED, EXECUTED, Result
from machine.waits.wait import Wait
from rpc.machine_pb2 import (
    Call,
    Fault,
    Interval,
    Mutation,
    Outcome,
    Receipt,
    Resync,
    ToSource,
    Value,
)
from rpc.machines.calls import PendingCalls
from rpc.machines.connection import Connection
from rpc.machines.errors import CallTimeout, NotConnected, SourceGone
from rpc.machines.functions import FunctionCalls
from rpc.machines.messages import KIND_NUMBERS, microseconds, origin_of, raised
from rpc.machines.mirror import Mirror
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.subscriptions import Subscriptions
from rpc.machines.timeouts import PendingCall, Timeouts
from rpc.machines.values import to_values

__all__ = ["Caller"]

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
        self._pending: PendingCalls[tuple[ToSource, Sequence[str]], PendingCall | Result]
        self._pending = PendingCalls()
        self._timeouts = Timeouts(self._expired)
        self._subscriptions = Subscriptions(self._unsubscribe)
        self._functions = FunctionCalls(name)
        self._snapshots: list[asyncio.Future[None]] = []
        self._watchers: list[Callable[[], None]] = []
        self._over: GridError | MachineError | None = None  # why nothing more comes

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

    def on_disconnected(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call a function each time the connection has ended; returns what ends that."""
        self._watchers.append(tell)
        return lambda: self._watchers.remove(tell)

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
        if self._over is not None:
            raise self._over.with_traceback(None)
        message = self._mutation(kind, states, args, source, error)
        mutation = message.mutation
        pending = self._pending
        mutation.id = number = pending.number()
        call = PendingCall(number, self._timeout if timeout is None else timeout)
        pending.add(number, (message, states), call)
        mutation.done = pending.done
        self._timeouts.add(call)
        try:
            connection = self.connection
            if connection is None:
                self._on_waiting()  # `resume` sends it
            else:
                pending.sent(number, self._mirror.epoch)
                try:
                    if not connection.send_nowait(message):
                        call.hold_up()
                        await connection.send(message)
                except GridError:
                    pass  # the stream breaks; the next one carries it
            call.sending = False
            return await call.future
        except asyncio.CancelledError:
            pending.take(number)
            error_of_timeout = call.timed_out()
            if error_of_timeout is not None:
                raise error_of_timeout from None
            raise
        finally:
            self._timeouts.remove(call)

    def _expired(self, call: PendingCall) -> MachineError:
        within = f"within {call.seconds:g} s"
        sent = self._pending.was_sent(call.number)
        self._pending.take(call.number)
        if not sent:
            return NotConnected(f"{self._name!r} was not connected {within}; nothing was sent")
        return CallTimeout(f"{self._name!r} did not answer {within}; the mutation may have run")

    async def notify(
        self,
        kind: Kind,
        states: Sequence[str],
        args: object = None,
        source: Event | Source | None = None,
    ) -> None:
        """Send a mutation whose result is not told."""
        await self._connected().send(self._mutation(kind, states, args, source, None))

    async def synchronise(self, timeout: float | None = None) -> None:
        """Return when the mirror has all that had changed at the source before this call."""
        connection = self._connected()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._snapshots.append(future)
        resync = Resync(reason="asked for", sequence=self._mirror.sequence)
        try:
            async with self._within(timeout, f"{self._name!r} did not send its clock"):
                await connection.send(ToSource(resync=resync))
                await future
        finally:
            with contextlib.suppress(ValueError):
                self._snapshots.remove(future)

    def subscribe(self, state: str, args: Mapping[str, Any], what: str) -> Wait:
        """Return a wait that ends when a state begins at the source with these arguments."""
        token, wait = self._subscriptions.open(state, to_values(args), what)
        if self.connection is not None:
            self._send_subscription(self.connection, token)
        return wait

    def _send_subscription(self, connection: Connection, token: int) -> None:
        try:
            message = self._subscriptions.message(token, self._index, connection.welcomes)
        except MachineError as error:  # the state is not mirrored any more
            self._refuse(token, error)
        else:
            connection.start(connection.send(ToSource(subscribe=message)))

    def _unsubscribe(self, token: int) -> None:
        connection = self.connection
        if connection is not None:
            connection.start_soon(lambda: connection.send(ToSource(unsubscribe=token)))

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source; its answer."""
        connection = self._connected()

        async def send(call: Call) -> None:
            await connection.send(ToSource(call=call))

        async with self._within(timeout, f"{name!r} of {self._name!r} did not answer"):
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
        """Send a payload to the source, in pieces; see `Client.send_payload`."""
        await self._connected().send_payload(payload, on_progress)

    def _mutation(
        self,
        kind: Kind,
        states: Sequence[str],
        args: object,
        source: Event | Source | None,
        error: Fault | None,
    ) -> ToSource:
        indexes = self.machine.agreed_indexes(states)
        message = ToSource()
        mutation = message.mutation
        mutation.kind = KIND_NUMBERS[kind]
        mutation.indexes.extend(indexes)
        if args is not None:
            mutation.args.CopyFrom(to_values(values_of(args)))
        if source is not None and (origin := source_of(source)) is not None:
            mutation.origin.CopyFrom(origin_of(origin))
        if error is not None:
            mutation.error.CopyFrom(error)
        if self.connection is not None and self.connection.welcomes:
            mutation.welcome = self.connection.welcomes
        return message

    def _index(self, state: str) -> int:
        (position,) = self.machine.agreed_indexes((state,))
        return position

    def _connected(self) -> Connection:
        if self.connection is None:
            raise NotConnected(f"{self._name!r} is not connected; nothing was sent")
        return self.connection

    @contextlib.asynccontextmanager
    async def _within(self, timeout: float | None, what: str) -> Any:
        seconds = self._timeout if timeout is None else timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise CallTimeout(f"{what} within {seconds:g} s") from None

    # -- what the connection tells -----------------------------------------------------------

    async def resume(self, connection: Connection) -> None:
        """Send again what the connection before has not brought to its end."""
        calls, lost = self._pending.connected(self._mirror.epoch)
        for waiting in lost:
            text = f"{self._name!r} was restarted while a call was on its way"
            error = SourceGone(f"{text}; the mutation may have run")
            if isinstance(waiting, PendingCall):
                waiting.fail(error)
            else:
                self.machine.abandon(waiting, error)
        for token in self._subscriptions:
            self._send_subscription(connection, token)
        for number, (message, states) in calls:
            if self._address(number, message.mutation, states):
                self._pending.sent(number, self._mirror.epoch)
                await connection.send(message)

    def _address(self, number: int, mutation: Mutation, states: Sequence[str]) -> bool:
        """Give a mutation the positions of its states in the names agreed with this connection."""
        try:
            mutation.indexes[:] = self.machine.agreed_indexes(states)
        except MachineError as error:
            waiting = self._pending.take(number)
            if isinstance(waiting, PendingCall):
                waiting.fail(error)
            return False
        mutation.welcome = 0
        return True

    def outcome(self, outcome: Outcome) -> None:
        """A call has its outcome."""
        waiting = self._pending.get(outcome.id)
        if isinstance(waiting, Result):
            if outcome.result != Outcome.QUEUED:
                self._pending.take(outcome.id)
                self.machine.settle(waiting, _FINAL.get(outcome.result, CANCELED))
        elif waiting is not None:
            self._answer(waiting, outcome)

    def _answer(self, waiting: PendingCall, outcome: Outcome) -> None:
        if outcome.result == Outcome.QUEUED:
            result = self.machine.queued(outcome.queue_tick)
            self._pending.replace(outcome.id, result)
        else:
            result = _FINAL.get(outcome.result, CANCELED)
            self._pending.take(outcome.id)
        if outcome.result == Outcome.REFUSED:
            waiting.fail(raised(outcome.fault, self._name))
        elif not waiting.future.done():
            waiting.future.set_result(result)

    def matched(self, token: int) -> None:
        """A state began with the arguments of a subscription."""
        wait = self._subscriptions.take(token)
        if wait is not None:
            self.machine.matched(wait)

    def refused(self, refusal: Receipt) -> None:
        """A subscription cannot be made."""
        self._refuse(refusal.id, raised(refusal.fault, self._name))

    def _refuse(self, token: int, error: MachineError) -> None:
        wait = self._subscriptions.take(token)
        if wait is not None:
            self.machine.refused(wait, error)

    def value(self, value: Value) -> None:
        """A function of the source has answered."""
        self._functions.answered(value)

    def synchronised(self) -> None:
        """The mirror has a clock of its source from now."""
        for future in self._snapshots:
            if not future.done():
                future.set_result(None)

    def disconnected(self) -> None:
        """The connection has ended: calls of functions, which are not sent again, fail."""
        self.connection = None
        text = f"the connection to {self._name!r} ended before the answer"
        self._functions.end(NotConnected(f"{text}; the function may have run"))
        for tell in tuple(self._watchers):
            tell()

    def end(self, error: GridError | MachineError) -> None:
        """Fail everything that waits, and all that is asked for later: nothing more comes."""
        self._over = error
        for waiting in self._pending.clear():
            if isinstance(waiting, PendingCall):
                waiting.fail(error)
            else:
                self.machine.abandon(waiting, error)
        for future in self._snapshots:
            if not future.done():
                future.set_exception(error)
        self._functions.end(error)
        self._timeouts.close()
        if self._machine is not None:
            for wait in self._subscriptions.waits():
                self._machine.refused(wait, MachineDisposed(self._machine.id))
            self._machine.dispose()
