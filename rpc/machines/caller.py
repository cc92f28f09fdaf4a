"""The calls of a client to its source: mutations that run once, waits, functions, payloads.

A caller outlives connections. Calls wait for the next connection while there is
none, and are sent again when one breaks under them; see `calls`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from grid.deadline import check_timeout
from grid.errors import GridError, MessageTooLarge
from grid.texts import check_text
from machine.errors import MachineDisposed, MachineError
from machine.waits.wait import Wait
from rpc.machine_pb2 import Call, Interval, Receipt, Subscribe, ToSource, Value
from rpc.machines.connection import Connection
from rpc.machines.errors import CallTimeout, NotConnected, SourceGone
from rpc.machines.functions import FunctionCalls
from rpc.machines.messages import microseconds, raised, timeout_of
from rpc.machines.mirror import Mirror
from rpc.machines.mutation_calls import MutationCalls
from rpc.machines.payloads import Payload, Progress
from rpc.machines.subscriptions import Subscriptions
from rpc.machines.timeouts import PendingCall
from rpc.machines.values import to_values

__all__ = ["Caller"]


class Caller(MutationCalls):
    """Calls to one source.

    Args:
        name: under which the machine is served.
        mirror: of the machine.
        timeout: seconds for a call that does not say otherwise.
        on_waiting: called when a call has to wait for a connection.
    """

    def __init__(
        self, name: str, mirror: Mirror, timeout: float, on_waiting: Callable[[], object]
    ) -> None:
        super().__init__(name, mirror, timeout, on_waiting)
        self._subscriptions = Subscriptions(self._unsubscribe)
        self._functions = FunctionCalls(name)
        self._snapshots: dict[asyncio.Future[None], int] = {}  # by number
        self._watchers: list[Callable[[], None]] = []

    def on_disconnected(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call a function each time the connection has ended; returns what ends that."""
        self._watchers.append(tell)
        return lambda: self._watchers.remove(tell)

    # -- what the machine asks for -----------------------------------------------------------

    async def synchronise(self, timeout: float | None = None) -> None:
        """Return when the mirror has all that had changed at the source before this call."""
        connection = self._connected()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        resync = connection.resync("asked for")
        self._snapshots[future] = resync.number
        try:
            async with self._within(timeout, f"{self._name!r} did not send its clock"):
                await connection.send(ToSource(resync=resync))
                await future
        finally:
            self._snapshots.pop(future, None)

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
            return
        try:
            if not connection.send_nowait(ToSource(subscribe=message)):
                connection.start(self._subscribed(connection, token, message))
        except MessageTooLarge as error:
            self._refuse(token, error)
        except GridError:
            pass  # the stream breaks; `resume` sends it over the next one

    async def _subscribed(self, connection: Connection, token: int, message: Subscribe) -> None:
        try:
            await connection.send(ToSource(subscribe=message))
        except MessageTooLarge as error:
            self._refuse(token, error)

    def _unsubscribe(self, token: int) -> None:
        connection = self.connection
        if connection is not None:
            connection.start_soon(lambda: connection.send(ToSource(unsubscribe=token)))

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source; its answer."""
        connection = self._connected()
        told = timeout_of(self._timeout if timeout is None else check_timeout(timeout))

        async def send(call: Call) -> None:
            call.timeout = told
            await connection.send(ToSource(call=call))

        async with self._within(timeout, f"{name!r} of {self._name!r} did not answer"):
            return await self._functions.call(send, name, args)

    async def log(self, text: str) -> None:
        """Write a line into the log of the source."""
        check_text("text of a log", text)
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

    def _index(self, state: str) -> int:
        (position,) = self.machine.agreed_indexes((state,))
        return position

    @contextlib.asynccontextmanager
    async def _within(self, timeout: float | None, what: str) -> Any:
        seconds = self._timeout if timeout is None else check_timeout(timeout)
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
        if self._mirror.synchronised:  # by its welcome
            self.synchronised(0)
        else:
            self._snapshots = dict.fromkeys(self._snapshots, 0)  # any clock of it will do
        for token in self._subscriptions:
            self._send_subscription(connection, token)
        for number, (message, states) in calls:
            if self._pending.get(number) is None:
                continue  # it was given up while one before it was sent
            if self._address(number, message.mutation, states):
                self._pending.sent(number, self._mirror.epoch)
                try:
                    await connection.send(message)
                except MessageTooLarge as too_large:
                    self._fail(number, too_large)

    def matched(self, token: int) -> None:
        """A state began with the arguments of a subscription."""
        wait = self._subscriptions.take(token)
        if wait is not None:
            self.machine.matched(wait)

    def refused(self, refusal: Receipt) -> None:
        """A subscription cannot be made."""
        self._refuse(refusal.id, raised(refusal.fault, self._name))

    def _refuse(self, token: int, error: GridError | MachineError) -> None:
        wait = self._subscriptions.take(token)
        if wait is not None:
            self.machine.refused(wait, error)

    def value(self, value: Value) -> None:
        """A function of the source has answered."""
        self._functions.answered(value)

    def synchronised(self, answers: int) -> None:
        """The mirror has the clock that was asked for with this number, or, if it is 0, any.

        An update that was on its way is none: it was made before the source was asked.
        """
        for future, number in self._snapshots.items():
            if (not answers or number <= answers) and not future.done():
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
