"""The mutations of a client: numbered, kept until they have their outcome, and timed.

Those for a source in the same process are calls, where nothing is under way; see `neighbour`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grid.deadline import check_timeout
from grid.errors import GridError, MessageTooLarge
from machine.core.mutation import Source, values_of
from machine.core.transition import Event, source_of
from machine.errors import MachineError
from machine.rules.kinds import Kind
from machine.waits.result import CANCELED, EXECUTED, Result
from rpc.machine_pb2 import Fault, Mutation, Outcome, ToSource
from rpc.machines.calls import PendingCalls
from rpc.machines.connection import Connection
from rpc.machines.errors import CallTimeout, NotConnected
from rpc.machines.messages import KIND_NUMBERS, origin_of, raised, timeout_of
from rpc.machines.mirror import Mirror
from rpc.machines.neighbour import Request, Response
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.timeouts import PendingCall, Timeouts
from rpc.machines.values import from_values, to_values

__all__ = ["MutationCalls"]

_LARGE = 1 << 16  # bytes of arguments, which a message may not be allowed to have
_FINAL: dict[int, Result] = {Outcome.EXECUTED: EXECUTED, Outcome.CANCELED: CANCELED}


class MutationCalls:
    """The mutations of one client.

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
        self._told = timeout_of(timeout)  # made once, for most calls have it
        self._on_waiting = on_waiting
        self._machine: RemoteMachine[Any] | None = None
        self._pending: PendingCalls[tuple[ToSource, tuple[str, ...]], PendingCall | Result]
        self._pending = PendingCalls()
        self._timeouts = Timeouts(self._expired)
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

    async def mutate(
        self,
        kind: Kind,
        states: tuple[str, ...],
        args: object = None,
        source: Event | Source | None = None,
        error: Fault | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Carry a mutation out at the source; its result, after its change has been applied."""
        if self._over is not None:
            raise self._over.with_traceback(None)
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        connection, response = self.connection, None
        number = self._pending.number()
        if connection is not None and connection.in_process and error is None:
            response = self._at_once(connection, number, kind, states, args, source)
            if response is not None and response.clock is not None:
                return await self._answered(response)
        message = self._mutation(kind, states, args, source, error)
        call = PendingCall(number, seconds)
        epoch = None if connection is None else self._mirror.epoch
        mutation = message.mutation
        mutation.id, mutation.done = (
            number,
            self._pending.add(number, (message, states), call, epoch),
        )
        mutation.timeout = self._told if timeout is None else timeout_of(seconds)
        self._timeouts.add(call)
        if connection is None:
            self._on_waiting()  # `resume` sends it
        try:
            if connection is not None and response is None:
                await self._send(connection, message, call)
            return await call.future
        except BaseException as raised_here:
            self._pending.take(number)
            if isinstance(raised_here, asyncio.CancelledError):
                error_of_timeout = call.timed_out()
                if error_of_timeout is not None:
                    raise error_of_timeout from None
            raise
        finally:
            self._timeouts.remove(call)

    async def _send(self, connection: Connection, message: ToSource, call: PendingCall) -> None:
        try:
            if not connection.send_nowait(message):
                call.hold_up()
                await connection.send(message)
        except MessageTooLarge:
            raise
        except GridError:
            pass  # the stream breaks; the next one carries it
        call.sending = False

    def _at_once(
        self,
        connection: Connection,
        number: int,
        kind: Kind,
        states: tuple[str, ...],
        args: object,
        source: Event | Source | None,
    ) -> Response | None:
        """Let a source in this process carry a mutation out; None if it has to be a message."""
        mirror = self._mirror
        if self._pending or not mirror.synchronised:
            return None
        neighbour = connection.neighbour()
        if neighbour is None:
            return None
        self.machine.agreed_indexes(states)
        own: dict[str, Any] | None = None
        if args is not None:
            values = to_values(values_of(args))
            if values.ByteSize() > _LARGE:
                return None
            own = from_values(values)
        origin = None if source is None else source_of(source)
        return neighbour.mutate(
            Request(number, mirror.sequence, kind, connection.welcomes, states, own, origin)
        )

    async def _answered(self, response: Response) -> Result:
        """Take over the outcome of a source in this process."""
        assert response.clock is not None  # noqa: S101 - else it comes by messages
        self.last_heard = asyncio.get_running_loop().time()
        if self._mirror.take_over(response.clock, response.sequence) is not None:
            self.machine.apply(self._mirror.shown, False)
        await asyncio.sleep(0)  # a caller that asks and asks again lets others run
        if response.fault is not None:
            raise raised(response.fault, self._name)
        return CANCELED if response.result is None else response.result

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
        states: tuple[str, ...],
        args: object = None,
        source: Event | Source | None = None,
    ) -> None:
        """Send a mutation whose result is not told."""
        await self._connected().send(self._mutation(kind, states, args, source, None))

    def _mutation(
        self,
        kind: Kind,
        states: tuple[str, ...],
        args: object,
        source: Event | Source | None,
        error: Fault | None,
    ) -> ToSource:
        message = ToSource()
        mutation = message.mutation
        mutation.kind = KIND_NUMBERS[kind]
        mutation.indexes.extend(self.machine.agreed_indexes(states))
        if args is not None:
            mutation.args.CopyFrom(to_values(values_of(args)))
        if source is not None and (origin := source_of(source)) is not None:
            mutation.origin.CopyFrom(origin_of(origin))
        if error is not None:
            mutation.error.CopyFrom(error)
        if self.connection is not None and self.connection.welcomes:
            mutation.welcome = self.connection.welcomes
        return message

    def _connected(self) -> Connection:
        if self._over is not None:  # such as: the client was closed
            raise self._over.with_traceback(None)
        if self.connection is None:
            raise NotConnected(f"{self._name!r} is not connected; nothing was sent")
        return self.connection

    # -- what the connection tells -----------------------------------------------------------

    def outcome(self, outcome: Outcome) -> None:
        """A call has its outcome."""
        if outcome.result == Outcome.QUEUED:
            self._queued(outcome)
            return
        waiting = self._pending.take(outcome.id)
        result = _FINAL.get(outcome.result, CANCELED)
        if isinstance(waiting, Result):
            self.machine.settle(waiting, result)
        elif waiting is None or waiting.future.done():
            return
        elif outcome.result == Outcome.REFUSED:
            waiting.fail(raised(outcome.fault, self._name))
        else:
            waiting.future.set_result(result)

    def _queued(self, outcome: Outcome) -> None:
        waiting = self._pending.get(outcome.id)
        if isinstance(waiting, PendingCall):
            result = self.machine.queued(outcome.queue_tick)
            self._pending.replace(outcome.id, result)
            if not waiting.future.done():
                waiting.future.set_result(result)

    def _fail(self, number: int, error: GridError | MachineError) -> None:
        waiting = self._pending.take(number)
        if isinstance(waiting, PendingCall):
            waiting.fail(error)

    def _address(self, number: int, mutation: Mutation, states: tuple[str, ...]) -> bool:
        """Give a mutation the positions of its states in the names agreed with this connection."""
        try:
            mutation.indexes[:] = self.machine.agreed_indexes(states)
        except MachineError as error:
            self._fail(number, error)
            return False
        mutation.welcome = 0
        waiting = self._pending.get(number)
        if isinstance(waiting, PendingCall):  # some of its time is over
            mutation.timeout = timeout_of(waiting.remaining())
        return True
