"""A machine that is served to remote mirrors under a name of the grid.

    async with rpc.Server(lights, peer, name="lights"):
        ...

Each mirror has a stream of its own; the machine is watched once, and a
difference is computed once however many mirrors need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from grid.aio import USER_ERRORS
from grid.errors import GridError
from grid.errors import InvalidArgument as InvalidSetting
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.numbers import check_count, check_seconds
from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError
from rpc.buses.inbox import Inbox
from rpc.machine_pb2 import Hello
from rpc.machines.access import Access, AccessRule, Visitor, check_states, rule_of
from rpc.machines.calls import Sources
from rpc.machines.errors import AccessDenied, NotConnected, ProtocolError, SourceGone
from rpc.machines.feed import Differences
from rpc.machines.functions import Function
from rpc.machines.messages import MACHINE_TYPE, VERSION
from rpc.machines.mutations import KeptOutcome
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.served import ServedMirror
from rpc.machines.settings import check_callable, check_functions
from rpc.machines.source import Served, SourceMachine, TracedStep
from rpc.machines.states import ServerStates
from rpc.machines.welcomes import projection_for

__all__ = ["Host", "Server"]

_log = logging.getLogger("rpc.server")
_MIRRORS_REMEMBERED = 10_000
_HELLOS = 64  # that wait to be taken


class Host(Protocol):
    """A `grid.Server` or an `ActorContext`: it opens mailboxes."""

    def open_mailbox(self, name: str, *, size: int = ..., type: str = ...) -> Any:  # noqa: A002
        """Open a mailbox under a name."""


class Server:
    """Serves one machine to any number of clients.

    Args:
        machine: the machine, of this process; or a remote one, which is then served again.
        host: a started `grid.Server`, or the context of an actor.
        name: of the mailbox, unique in the namespace; by default the machine's id.
        interval: seconds between pushes to a mirror that does not say otherwise;
            0: none but those that it asks for.
        access: what mirrors may do: one `Access` for all, one for each token, or
            a function of the `Visitor`. By default everything.
        getters: functions that mirrors may call by name, plain or async.
        on_payload: called with each payload that a mirror sends.
        payload_limit: bytes of a payload, and of all unfinished ones of a mirror.

    Raises:
        InvalidArgument: an argument is none of these, or `access` names a state that the machine
            does not have.

    Attributes:
        machine: the machine.
        name: of the mailbox.
        mach: the server's own life, with the states `ServerStates`.
    """

    def __init__(
        self,
        machine: Served,
        host: Host,
        *,
        name: str | None = None,
        interval: float = 0.25,
        access: Access | Mapping[str, Access] | AccessRule | None = None,
        getters: Mapping[str, Function] | None = None,
        on_payload: Callable[[Payload], Awaitable[None] | None] | None = None,
        payload_limit: int = 64 * 1024 * 1024,
    ) -> None:
        if not isinstance(machine, Machine | RemoteMachine):
            raise InvalidArgument(
                f"machine must be a Machine or a RemoteMachine, not {type(machine).__name__}",
                argument="machine",
            )
        if not callable(getattr(host, "open_mailbox", None)):
            raise InvalidSetting("host", host, "a grid.Server or an ActorContext")
        check_callable("on_payload", on_payload)
        check_seconds("interval", interval)
        check_count("payload_limit", payload_limit)
        self.machine = machine
        self.name: str = machine.id if name is None else name
        self.mach: Machine[ServerStates] = Machine(ServerStates, id=f"rs-{self.name}")
        self._host = host
        self._interval = interval
        self._rule = rule_of(access, machine)
        self._getters = check_functions("getters", getters)
        self._on_payload = on_payload
        self._limit = payload_limit
        self._mirrors: dict[ServedMirror, asyncio.Task[None]] = {}
        self._outcomes: Sources[KeptOutcome] = Sources(_MIRRORS_REMEMBERED)
        self._differences = Differences()
        self._source: SourceMachine | None = None
        self._inbox = Inbox(f"machine {self.name!r}", self._open, self._take, self._lose)
        self._epoch: int | None = None
        self._unwatch: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<rpc.Server {self.name!r} of {self.machine.id!r} {len(self._mirrors)} mirrors>"

    @property
    def mirrors(self) -> tuple[ServedMirror, ...]:
        """The mirrors that are connected now."""
        return tuple(self._mirrors)

    async def start(self) -> None:
        """Open the mailbox; clients find the machine when this returns.

        Raises:
            AlreadyRegistered: the name has an owner in the namespace.
            InvalidName, LeaseLost, EtcdUnavailable: as of `open_mailbox`.
        """
        self.mach.add("Start")
        try:
            await self._inbox.open()
        except BaseException:
            self.mach.remove("Start")
            raise

    async def stop(self) -> None:
        """Close the mailbox and all streams; mirrors try to find the machine again."""
        if self._source is None or self.mach.disposed:
            return
        self._source.close()
        self._unwatch()
        try:
            await self._inbox.stop()
            tasks = tuple(self._mirrors.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._inbox.close()
            self.mach.remove("Start")
            self.mach.dispose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # -- to mirrors ------------------------------------------------------------------------

    async def send_payload(
        self,
        payload: Payload,
        *,
        mirror: str | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Send a payload to one mirror, or to all.

        Args:
            payload: what to send.
            mirror: the id of its mirror; None: all that are connected.
            on_progress: called after each piece, for each mirror.

        Raises:
            NotConnected: there is no such mirror.
            GridError: its connection broke; the payload did not arrive whole.
        """
        found = [one for one in self._mirrors if mirror is None or one.id == mirror]
        if mirror is not None and not found:
            raise NotConnected(f"mirror {mirror!r} is not connected to {self.name!r}")
        await asyncio.gather(*(one.side.send_payload(payload, on_progress) for one in found))

    async def call(self, mirror: str, name: str, /, **args: Any) -> Any:
        """Call a function that a client offers; its answer.

        Raises:
            NotConnected: there is no such mirror.
            UnknownCall, RemoteError: it has no such function, or this raised.
        """
        for one in self._mirrors:
            if one.id == mirror:
                return await one.side.call(name, args)
        raise NotConnected(f"mirror {mirror!r} is not connected to {self.name!r}")

    # -- inside ----------------------------------------------------------------------------

    async def _open(self) -> Mailbox:
        mailbox: Mailbox = await self._host.open_mailbox(self.name, size=_HELLOS, type=MACHINE_TYPE)
        if self._source is None:
            self._epoch = mailbox.epoch  # also after a lost lease: it is the same source
            try:
                self._source = SourceMachine(self.machine, self._changed, self._redefined)
            except BaseException:
                await mailbox.close()
                raise
            if self._source.relay is not None:
                self._unwatch = self._source.relay.on_disconnected(self._lost)
        self.mach.add("RpcReady")
        return mailbox

    def _lose(self) -> None:
        _log.warning("the lease of %r was lost; it is registered again", self.name)
        self.mach.add("RpcStarting")

    async def _take(self, request: Request[Any]) -> None:
        assert self._source is not None  # noqa: S101 - made with the mailbox
        assert self._epoch is not None  # noqa: S101 - too
        try:
            self._accept(request, self._source, self._epoch)
        except NotConnected as error:
            _refuse(request, str(error), "UNAVAILABLE")  # it comes again
        except MachineError as error:
            self.mach.add_err_state("ErrOnClient", error.__cause__ or error)
            _refuse(request, str(error), _refusal_code(error))
        except GridError as error:
            _log.debug("a client of %r left before it was accepted: %s", self.name, error)
        except Exception as error:  # noqa: BLE001 - a fault here; the other clients are served on
            _log.exception("a client of %r could not be accepted", self.name)
            self.mach.add_err_state("ErrOnClient", error)
            _refuse(request, f"{self.name!r} could not accept a client", "INTERNAL")

    def _access_of(self, visitor: Visitor) -> Access:
        """The rights of a visitor, by the user's rule, which is not async.

        Raises:
            AccessDenied: nothing, or the rule failed; only the log tells how.
            NotConnected: the rule raised it, for a visitor that shall come again.
        """
        try:
            access = self._rule(visitor)
        except (AccessDenied, NotConnected):
            raise
        except USER_ERRORS as error:
            text = f"the access rule of {self.name!r} failed"
            _log.exception("%s for mirror %r", text, visitor.mirror)
            raise AccessDenied(text) from error
        if access is None:
            raise AccessDenied(f"mirror {visitor.mirror!r} has no access to {self.name!r}")
        return access

    def _accept(self, request: Request[Any], source: SourceMachine, epoch: int) -> None:
        hello = request.message
        if not isinstance(hello, Hello) or not request.opens_stream:
            raise ProtocolError(f"{self.name!r} is a machine: open it with rpc.Client")
        if hello.version != VERSION:
            raise ProtocolError(f"version {hello.version} is not spoken; this is {VERSION}")
        if self.machine.disposed:
            raise SourceGone(f"machine {self.machine.id!r} has ended")
        if source.relay is not None and not source.relay.connected:
            raise NotConnected(f"{self.name!r} does not follow its own source now")
        if not hello.mirror:
            raise ProtocolError("a mirror needs an id")
        access = self._access_of(Visitor(hello.mirror, hello.token, request.metadata))
        for name, states in (("allowed", hello.allowed), ("skipped", hello.skipped)):
            check_states(name, states, self.machine.names, self.machine.id, shown=access.read)
        projection_for(source, hello, access)  # a refusal is told before the stream is accepted
        mirror = ServedMirror(
            source,
            request.accept(),
            hello,
            access,
            epoch=epoch,
            differences=self._differences,
            kept=self._outcomes.of(hello.mirror),
            getters=self._getters,
            on_payload=self._on_payload,
            limit=self._limit,
            interval=self._interval,
        )
        task = asyncio.create_task(self._serve(mirror), name=f"rpc {self.name} {mirror.id}")
        self._mirrors[mirror] = task
        self._follow_steps()
        self.mach.add("ClientConnected", "HasClients")

    async def _serve(self, mirror: ServedMirror) -> None:
        try:
            await mirror.run()
        except GridError as error:
            _log.debug("mirror %r of %r left: %s", mirror.id, self.name, error)
        except MachineError as error:
            _log.warning("mirror %r of %r was ended: %s", mirror.id, self.name, error)
            self.mach.add_err_state("ErrOnClient", error)
            with contextlib.suppress(GridError):
                await mirror.farewell(error)
        except Exception as error:  # noqa: BLE001 - a fault here, which the mirror must notice
            with contextlib.suppress(GridError):
                await mirror.abort(error)
        finally:
            del self._mirrors[mirror]
            self._follow_steps()
            self.mach.add("ClientDisconnected")
            if not self._mirrors:
                self.mach.remove("HasClients")

    def _follow_steps(self) -> None:
        if self._source is not None:
            self._source.mirrors = len(self._mirrors)
            self._differences.shared = len(self._mirrors) > 1
            self._source.keep_steps = any(one.follows_steps for one in self._mirrors)

    def _changed(self, steps: list[TracedStep]) -> None:
        for mirror in self._mirrors:
            if self.machine.disposed:
                mirror.disposed()
            else:
                mirror.changed(steps)

    def _lost(self) -> None:
        for mirror in self._mirrors:
            mirror.cut()

    def _redefined(self) -> None:
        for mirror in self._mirrors:
            mirror.redefined()


def _refuse(request: Request[Any], text: str, code: str) -> None:
    with contextlib.suppress(GridError):  # the other clients are served on, whatever has happened
        request.fail(text, code=code)


def _refusal_code(error: MachineError) -> str:
    if isinstance(error, SourceGone):
        return "NOT_FOUND"
    if isinstance(error, InvalidArgument):
        return "INVALID_ARGUMENT"
    return "PERMISSION_DENIED" if isinstance(error, AccessDenied) else "FAILED_PRECONDITION"
