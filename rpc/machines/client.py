"""A client of one machine that lives somewhere in the grid.

    async with rpc.Client(grid_client, "lights") as client:
        lights = client.machine
        await lights.add("Green")
        await lights.when("Red")

Theory of operation
-------------------

A client keeps one stream to the machine's mailbox, and opens it again through the
grid's directory whenever it breaks, so it follows a machine that has moved to
another peer. What waits on the mirror goes on over reconnects: the clock of the
next welcome is just another change. Calls are numbered and kept until they have
their outcome; those that are pending when the stream breaks are sent again, and a
source that has carried one out answers it from what it kept (see `calls`).

The client's own life is a machine, `mach`: wait for `mach.when("Ready")`, or bind
handlers to it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grid
from grid.errors import GridError, RequestFailed
from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError
from machine.schema.schema import Schema, as_schema
from machine.waits.wait import Wait
from rpc.machine_pb2 import Fault, Hello, Outcome, Step, Value, Welcome
from rpc.machines.backoff import Backoff, RetryPolicy
from rpc.machines.caller import Caller, microseconds
from rpc.machines.connection import Connection
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    ProtocolError,
    SourceGone,
)
from rpc.machines.functions import Function, OfferedFunctions
from rpc.machines.messages import VERSION, check_names, names_hash, raised, schema_hash
from rpc.machines.mirror import Change, Decision, Mirror
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.states import ClientStates

__all__ = ["Client"]

S = TypeVar("S")

_log = logging.getLogger("rpc.client")
_FATAL = (AccessDenied, ProtocolError, SourceGone)
_REFUSALS: dict[str, type[MachineError]] = {
    "PERMISSION_DENIED": AccessDenied,
    "FAILED_PRECONDITION": ProtocolError,
}


class Client(Generic[S]):
    """A connection to one machine, and the mirror of it.

    Args:
        client: of the grid; it stays open when this one closes.
        name: under which the machine is served.
        states: the `States` class or schema of the machine, if it is known here; its
            names are then those of the source, or the connection is refused.
            Without it names and schema come with the connection.
        mirror: an id of this client, unique to it; random by default.
        allowed: mirror only these states.
        skipped: mirror all but these.
        shallow: mirror activity only, not how often.
        steps: see each transition of the source, for debuggers.
        interval: seconds between pushes; 0: only what comes with calls; by default
            the source decides.
        token: shown to the source for its access rules.
        timeout: seconds for a call.
        connect_timeout: seconds for one attempt to connect.
        retry: how to come back after the connection broke.
        getters: functions that the source may call, plain or async.
        on_payload: called with each payload.
        on_progress: called with each piece of a payload.
        payload_limit: bytes of all unfinished payloads.

    Attributes:
        mach: the client's own life, with the states `ClientStates`.
    """

    def __init__(
        self,
        client: grid.Client,
        name: str,
        *,
        states: type[S] | Schema | None = None,
        mirror: str | None = None,
        allowed: Sequence[str] = (),
        skipped: Sequence[str] = (),
        shallow: bool = False,
        steps: bool = False,
        interval: float | None = None,
        token: str = "",
        timeout: float = 3.0,
        connect_timeout: float = 3.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        getters: Mapping[str, Function] | None = None,
        on_payload: Callable[[Payload], object] | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        payload_limit: int = 64 * 1024 * 1024,
    ) -> None:
        if not (timeout > 0 and connect_timeout > 0):
            raise InvalidArgument("timeout and connect_timeout must be more than 0 seconds")
        self.name = name
        self.id = f"rc-{secrets.token_hex(8)}" if mirror is None else mirror
        self.mach: Machine[ClientStates] = Machine(ClientStates, id=self.id)
        self._grid = client
        self._hello = Hello(
            version=VERSION,
            mirror=self.id,
            allowed=allowed,
            skipped=skipped,
            shallow=shallow,
            mutations=steps,
            token=token,
            want_schema=True,
        )
        if interval is not None:
            self._hello.interval = microseconds(interval)
        self._given = self._schema = None if states is None else as_schema(states)
        self._partial = bool(allowed or skipped)
        self._connect_timeout = connect_timeout
        self._retry = retry
        self._on_payload = on_payload
        self._on_progress = on_progress
        self._limit, self._mirror = payload_limit, Mirror()
        self._caller = Caller(name, self._mirror, timeout, self._call_waits)
        self._functions = OfferedFunctions(getters or {})
        self._living: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<rpc.Client {self.name!r} {self.mach.string()}>"

    @property
    def machine(self) -> RemoteMachine[S]:
        """The remote machine.

        Raises:
            NotConnected: nothing is known of it yet; `start` has not returned.
        """
        return self._caller.machine

    @property
    def last_heard(self) -> float:
        """When anything came from the source, in seconds of the loop's clock."""
        return self._caller.last_heard

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source."""
        return self._caller.connected

    @property
    def resyncs(self) -> int:
        """The number of snapshots that the mirror had to ask for."""
        return self._mirror.resyncs

    # -- life ------------------------------------------------------------------------------

    async def start(self, timeout: float | None = None) -> None:
        """Connect; the mirror is up to date when this returns.

        Args:
            timeout: seconds; by default as long as `retry` goes on.

        Raises:
            AccessDenied, ProtocolError, SourceGone: the source refuses, for good.
            CallTimeout: it could not be reached in time; `close` ends the attempts.
            GridError: it could not be reached, and the attempts were given up.
        """
        if self._living is None:
            self.mach.add("Start")
            self._living = asyncio.create_task(self._live(), name=f"rpc client {self.name}")
        ready = self.mach.when("Ready")
        over = asyncio.ensure_future(_awaited(ready))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait({over, self._living}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise CallTimeout(f"{self.name!r} was not reached within {timeout:g} s") from None
        finally:
            over.cancel()
        if self._error is not None and not self.mach.is_("Ready"):
            raise self._error

    async def close(self) -> None:
        """Disconnect, and end what waits on the mirror; the source goes on."""
        self.mach.add("Disconnecting")
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait([self._living])
        self._caller.end(SourceGone(f"the client of {self.name!r} was closed"))
        self.mach.remove("Start")
        self.mach.dispose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            backoff = Backoff(self._retry, loop.time(), random.random)
            while not await self._connect():
                pause = backoff.pause(loop.time())
                if pause is None:
                    self._give_up()
                    return
                self.mach.add("RetryingConn")
                await asyncio.sleep(pause)
            if self._error is not None and isinstance(self._error, _FATAL):
                self._give_up()
                return

    async def _connect(self) -> bool:
        """Follow the source over one stream; False if there was none."""
        self.mach.add("Connecting")
        try:
            greeting = self._greeting()
            stream = await self._grid.stream(self.name, greeting, timeout=self._connect_timeout)
        except GridError as error:
            self._failed(error)
            return isinstance(self._error, _FATAL)
        self.mach.add("Connected")
        connection = Connection(stream, self._mirror, self, self._functions, self._limit)
        try:
            await connection.welcome()
            self._caller.connection = connection
            self.mach.add("HandshakeDone")
            await self._caller.resume(connection)
            self.mach.remove("RetryingCall")
            await connection.run()
            self._error = NotConnected(f"the source of {self.name!r} closed the connection")
        except (GridError, MachineError) as error:
            self._failed(error)
        finally:
            self._caller.connection = None
            await stream.close()
            self.mach.add("Disconnected")
        return True

    def _greeting(self) -> Hello:
        hello = Hello()
        hello.CopyFrom(self._hello)
        known = self._mirror.names
        if not known and self._schema is not None and not self._partial:
            known = self._schema.names
        if known:
            hello.names_hash = names_hash(known)
        if self._schema is not None:
            hello.schema_hash = schema_hash(self._schema)
        return hello

    def _failed(self, error: GridError | MachineError) -> None:
        if isinstance(error, RequestFailed) and error.code in _REFUSALS:
            error = _REFUSALS[error.code](error.text)
        self._error = error
        state = "ErrRpc" if isinstance(error, MachineError) else "ErrNetwork"
        self.mach.add_err_state(state, error)
        self.mach.remove("Exception", "ErrRpc", "ErrNetwork")

    def _give_up(self) -> None:
        self.mach.add("ConnRetryFailed")
        self._caller.end(self._error or SourceGone(f"{self.name!r} was not reached"))

    def _call_waits(self) -> None:
        self.mach.add("RetryingCall")

    # -- calls -------------------------------------------------------------------------------

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source; its answer.

        Raises:
            UnknownCall, AccessDenied: the source has no such function, or not for this client.
            RemoteError: it raised.
            NotConnected, CallTimeout, NotPlainData.
        """
        return await self._caller.get(name, timeout=timeout, **args)

    async def set_interval(self, interval: float) -> None:
        """Change the seconds between pushes; 0: none but those that come with calls."""
        self._hello.interval = microseconds(interval)
        await self._caller.set_interval(interval)

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
        await self._caller.send_payload(payload, on_progress)

    # -- what the connection tells ---------------------------------------------------------

    def welcomed(self, welcome: Welcome) -> Decision:
        """See `MirrorOwner`."""
        names = tuple(welcome.names) or self._known_names()
        if names_hash(names) != welcome.names_hash:
            raise ProtocolError("the names of the source do not have the hash that it says")
        if self._given is not None:
            check_names(self.name, names, self._given, partial=self._partial)
        if welcome.schema:
            self._schema = Schema.from_json(welcome.schema.decode())
        elif self._schema is None:
            self._schema = Schema({name: {} for name in names})
        if not self._mirror.names:
            tags = tuple(welcome.tags)
            machine = RemoteMachine[S](self._caller, self._schema, welcome.machine, tags)
            self._caller.machine = machine
        self.machine.agree(names, self._schema)
        decision = self._mirror.begin(names, welcome.snapshot)
        self.faulted(welcome.fault if welcome.HasField("fault") else None)
        return decision

    def changed(self, change: Change) -> None:
        """See `MirrorOwner`."""
        self.machine.apply(self._mirror.clock, change.restarted)
        self._caller.synchronised()

    def outcome(self, outcome: Outcome) -> None:
        """See `MirrorOwner`."""
        self._caller.outcome(outcome)

    def matched(self, token: int) -> None:
        """See `MirrorOwner`."""
        self._caller.matched(token)

    def value(self, value: Value) -> None:
        """See `MirrorOwner`."""
        self._caller.value(value)

    def stepped(self, step: Step) -> None:
        """See `MirrorOwner`."""
        self.machine.stepped(step)

    def faulted(self, fault: Fault | None) -> None:
        """See `MirrorOwner`."""
        if fault is not None:
            self.machine.faulted(raised(fault, self.name))

    def payload(self, payload: Payload) -> None:
        """See `MirrorOwner`."""
        self.mach.add("ServerPayload", args={"payload": payload})
        self.mach.remove("ServerPayload")
        if self._on_payload is not None:
            self._on_payload(payload)

    def progress(self, progress: Progress) -> None:
        """See `MirrorOwner`."""
        if self._on_progress is not None:
            self._on_progress(progress)

    def heard(self) -> None:
        """See `MirrorOwner`."""
        self._caller.last_heard = asyncio.get_running_loop().time()

    def _known_names(self) -> tuple[str, ...]:
        if self._mirror.names:
            return self._mirror.names
        return () if self._schema is None else self._schema.names


async def _awaited(wait: Wait) -> None:
    await wait
