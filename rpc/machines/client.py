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
from typing import TYPE_CHECKING, Any, Generic, Self

import grid
from grid.deadline import check_timeout
from grid.errors import Filtered, GridError, RequestFailed, SecurityError
from grid.errors import InvalidArgument as InvalidSetting
from grid.numbers import check_count, check_seconds
from grid.registry.names import check_name
from grid.texts import check_text
from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError
from machine.schema.schema import Schema, as_schema
from machine.waits.wait import Wait
from rpc.machine_pb2 import Hello
from rpc.machines.access import check_states
from rpc.machines.backoff import Backoff, RetryPolicy
from rpc.machines.caller import Caller
from rpc.machines.connection import Connection
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    ProtocolError,
    SourceGone,
)
from rpc.machines.follower import Follower
from rpc.machines.functions import Function, OfferedFunctions
from rpc.machines.messages import VERSION, microseconds
from rpc.machines.mirror import Mirror
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.settings import check_callable, check_functions, check_list
from rpc.machines.states import ClientStates

__all__ = ["Client"]

if TYPE_CHECKING:  # a variable with a default, which the library has from Python 3.13 on
    from typing_extensions import TypeVar

    S = TypeVar("S", default=Any)
else:
    from typing import TypeVar

    S = TypeVar("S")

_log = logging.getLogger("rpc.client")
_FATAL = (AccessDenied, Filtered, InvalidArgument, ProtocolError, SecurityError, SourceGone)
_REFUSALS: dict[str, type[MachineError]] = {
    "NOT_FOUND": SourceGone,
    "PERMISSION_DENIED": AccessDenied,
    "UNAUTHENTICATED": AccessDenied,
    "FAILED_PRECONDITION": ProtocolError,
    "INVALID_ARGUMENT": InvalidArgument,
}
# Codes of a failure after which another attempt may fare better; the peer's words else are final.
_PASSING = {
    *("UNAVAILABLE", "INTERNAL", "ABORTED", "CANCELLED"),
    *("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"),
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

    Raises:
        InvalidArgument: an argument is none of these, or `allowed` or `skipped` has a state
            that `states` does not.
        InvalidName: no mailbox can have this name.

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
        if isinstance(client, grid.sync.Client) or not callable(getattr(client, "stream", None)):
            raise InvalidSetting("client", client, "a grid.Client; rpc.sync takes a blocking one")
        if not isinstance(retry, RetryPolicy):
            raise InvalidSetting("retry", retry, "an rpc.RetryPolicy")
        check_name(name, "mailbox")
        check_text("token", token)
        check_list("allowed", allowed)
        check_list("skipped", skipped)
        check_callable("on_payload", on_payload)
        check_callable("on_progress", on_progress)
        functions = check_functions("getters", getters)
        check_seconds("timeout", timeout, zero=False)
        check_seconds("connect_timeout", connect_timeout, zero=False)
        check_count("payload_limit", payload_limit)
        if states is not None:
            names = as_schema(states).names
            check_states("allowed", allowed, names, name)
            check_states("skipped", skipped, names, name)
        self.name = name
        self.id: str = f"rc-{secrets.token_hex(8)}" if mirror is None else mirror
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
        self._connect_timeout = connect_timeout
        self._retry = retry
        self._limit, self._mirror = payload_limit, Mirror(shallow=shallow)
        self._caller = Caller(name, self._mirror, timeout, self._call_waits)
        self._follower = Follower(
            name,
            self._caller,
            self._mirror,
            self.mach,
            states,
            bool(allowed or skipped),
            on_payload,
            on_progress,
        )
        self._functions = OfferedFunctions(functions)
        self._living: asyncio.Task[None] | None = None
        self._error: GridError | MachineError | None = None

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
        """Time of the last message from the source, in seconds of the loop's clock."""
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
            AccessDenied, ProtocolError, SourceGone: the source refuses, for good; its access rule
                failed, or an interceptor of its peer has no trust (`UNAUTHENTICATED`).
            Filtered, RequestFailed: a filter or an interceptor of its peer refuses, for good.
            InvalidArgument: as well, for it has no such state (`allowed`, `skipped`).
            CallTimeout: it could not be reached in time; the text names the last failure.
                The attempts go on until `close`.
            GridError: it could not be reached, and the attempts were given up.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self._living is None:
            self.mach.add("Start")
            self._living = asyncio.create_task(self._live(), name=f"rpc client {self.name}")
        ready = self.mach.when("Ready")
        over = asyncio.ensure_future(_awaited(ready))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait({over, self._living}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            text = f"{self.name!r} was not reached within {timeout:g} s"
            if (last := self._error) is not None:
                text = f"{text}; the last attempt failed: {type(last).__name__}: {last}"
            raise CallTimeout(text) from last
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
        backoff = Backoff(self._retry, loop.time(), random.random)
        while True:
            lived = await self._connect()
            if _is_final(self._error):
                break
            backoff.disconnected(loop.time(), lived)
            pause = backoff.pause(loop.time())
            if pause is None:
                break
            self.mach.add("RetryingConn")
            await asyncio.sleep(pause)
        self._give_up()

    async def _connect(self) -> float:
        """Follow the source over one stream; the seconds for which it was ready."""
        self.mach.add("Connecting")
        try:
            greeting = self._follower.greeting(self._hello)
            stream = await self._grid.stream(self.name, greeting, timeout=self._connect_timeout)
        except GridError as error:
            self._failed(error)
            return 0.0
        self.mach.add("Connected")
        loop = asyncio.get_running_loop()
        ready: float | None = None
        connection = Connection(stream, self._mirror, self._follower, self._functions, self._limit)
        try:
            await connection.welcome()
            self._caller.connection = connection
            self.mach.add("HandshakeDone")
            await self._caller.resume(connection)
            self.mach.remove("RetryingCall")
            ready = loop.time()
            await connection.run()
            self._error = NotConnected(f"the source of {self.name!r} closed the connection")
        except (GridError, MachineError) as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a wrong source, or a fault here: not a silent end
            _log.exception("a message of %r could not be taken", self.name)
            self._failed(ProtocolError(f"{self.name!r} sent a message that failed: {error!r}"))
        finally:
            self._caller.disconnected()
            await connection.close()
            self.mach.add("Disconnected")
        return 0.0 if ready is None else loop.time() - ready

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

        It has arrived, and the source's function for payloads has returned, when this returns.

        Raises:
            PayloadTooLarge: over the limit of the source.
            RemoteError: the source's function raised.
            NotConnected, GridError: the connection ended before it was known to have arrived.
        """
        await self._caller.send_payload(payload, on_progress)


def _is_final(error: GridError | MachineError | None) -> bool:
    if isinstance(error, RequestFailed):
        return error.code not in _PASSING
    return isinstance(error, _FATAL)


async def _awaited(wait: Wait) -> None:
    await wait
