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

from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError
from rpc.machine_pb2 import Hello
from rpc.machines.access import Access, AccessRule, Visitor, rule_of
from rpc.machines.calls import Sources
from rpc.machines.errors import AccessDenied, NotConnected, ProtocolError, SourceGone
from rpc.machines.feed import Differences
from rpc.machines.functions import Function
from rpc.machines.messages import MACHINE_TYPE, VERSION
from rpc.machines.mutations import KeptOutcome
from rpc.machines.payloads import Payload
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.served import ServedMirror
from rpc.machines.source import Served, SourceMachine, TracedStep
from rpc.machines.states import ServerStates

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
        if not interval >= 0:
            raise InvalidArgument(f"interval must be 0 seconds or more, not {interval!r}")
        self.machine = machine
        self.name = machine.id if name is None else name
        self.mach: Machine[ServerStates] = Machine(ServerStates, id=f"rs-{self.name}")
        self._host = host
        self._interval = interval
        self._rule = rule_of(access)
        self._getters = dict(getters or {})
        self._on_payload = on_payload
        self._limit = payload_limit
        self._mirrors: dict[ServedMirror, asyncio.Task[None]] = {}
        self._outcomes: Sources[KeptOutcome] = Sources(_MIRRORS_REMEMBERED)
        self._differences = Differences()
        self._source: SourceMachine | None = None
        self._mailbox: Mailbox | None = None
        self._receiving: asyncio.Task[None] | None = None
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
            self._mailbox = await self._host.open_mailbox(
                self.name, size=_HELLOS, type=MACHINE_TYPE
            )
        except BaseException:
            self.mach.remove("Start")
            raise
        source = self._source = SourceMachine(self.machine, self._changed, self._redefined)
        if source.relay is not None:
            self._unwatch = source.relay.on_disconnected(self._lost)
        self.mach.add("RpcReady")
        receiving = self._receive(self._mailbox, source)
        self._receiving = asyncio.create_task(receiving, name=f"rpc {self.name}")

    async def stop(self) -> None:
        """Close the mailbox and all streams; mirrors try to find the machine again."""
        if self._mailbox is None or self._source is None:
            return
        mailbox, self._mailbox = self._mailbox, None
        self._source.close()
        self._unwatch()
        for task in (*self._mirrors.values(), self._receiving):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await mailbox.close()
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

    async def send_payload(self, payload: Payload, *, mirror: str | None = None) -> None:
        """Send a payload to one mirror, or to all.

        Args:
            payload: what to send.
            mirror: the id of its mirror; None: all that are connected.

        Raises:
            NotConnected: there is no such mirror.
            GridError: its connection broke; the payload did not arrive whole.
        """
        found = [one for one in self._mirrors if mirror is None or one.id == mirror]
        if mirror is not None and not found:
            raise NotConnected(f"mirror {mirror!r} is not connected to {self.name!r}")
        await asyncio.gather(*(one.side.send_payload(payload) for one in found))

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

    async def _receive(self, mailbox: Mailbox, source: SourceMachine) -> None:
        async for request in mailbox:
            try:
                self._accept(request, source, mailbox.epoch)
            except NotConnected as error:
                request.fail(str(error), code="UNAVAILABLE")  # it comes again
            except MachineError as error:
                self.mach.add_err_state("ErrOnClient", error)
                request.fail(str(error), code=_refusal_code(error))
            except GridError as error:
                _log.debug("a client of %r left before it was accepted: %s", self.name, error)
            except Exception as error:  # noqa: BLE001 - of the user's access rule
                _log.exception("a client of %r could not be accepted", self.name)
                self.mach.add_err_state("ErrOnClient", error)
                request.fail(f"the access rule of {self.name!r} failed", code="INTERNAL")

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
        access = self._rule(Visitor(hello.mirror, hello.token, request.metadata))
        if access is None:
            raise AccessDenied(f"mirror {hello.mirror!r} has no access to {self.name!r}")
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
        finally:
            del self._mirrors[mirror]
            self._follow_steps()
            self.mach.add("ClientDisconnected")
            if not self._mirrors:
                self.mach.remove("HasClients")

    def _follow_steps(self) -> None:
        if self._source is not None:
            self._source.mirrors = len(self._mirrors)
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


def _refusal_code(error: MachineError) -> str:
    if isinstance(error, SourceGone):
        return "NOT_FOUND"
    return "PERMISSION_DENIED" if isinstance(error, AccessDenied) else "FAILED_PRECONDITION"
