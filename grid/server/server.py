"""A peer of the grid: one port, one lease, and the actors on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self

from grid.aio import Opening
from grid.client.client import Client
from grid.codec import Codec, default_codec
from grid.environment import default_etcd, default_namespace, default_tls
from grid.errors import InvalidArgument, ServerNotRunning
from grid.etcd import EtcdConfig
from grid.forks import check_grpc
from grid.interceptors import Filter, IncomingCall, Interceptor
from grid.mailbox.dispatcher import State
from grid.mailbox.interception import IncomingInterception
from grid.mailbox.mailbox import Groups, Mailbox
from grid.process import stoppable_as_first_process
from grid.server.config import ServerConfig, check_annotations
from grid.server.decorators import Definitions
from grid.server.definitions import Definition
from grid.server.foreground import (
    PATIENCE,
    completed_before,
    run_alone,
    stop_signals,
    warn_of_paused_loop,
)
from grid.server.joining import PortLocked
from grid.server.lifecycle import Lifecycle
from grid.server.statistics import ServerStatistics
from grid.tls import TLS

__all__ = ["Server", "cut"]


class Server(Definitions):
    """A peer: it owns names under one lease, serves mailboxes and runs actors.

    Use it as `async with Server("shop") as server:`, or call `serve()` to run
    until SIGTERM, or `run()` from a script without an event loop.

    Args:
        namespace: the grid it belongs to; by default `GRID_NAMESPACE`.
        etcd: endpoints as `host:port,host:port` or an `EtcdConfig`; by default
            `GRID_ETCD`, else `127.0.0.1:2379`.
        listen: `host:port` to listen on; port 0 takes a free one.
        advertise: the `host[:port]` others dial, needed if `listen` is
            0.0.0.0; `"auto"` is this machine's address on the way to etcd.
        name: the peer's name; by default made from its address.
        annotations: what the peer says of itself, for others to read in `query`.
        lease: seconds after which a dead peer's names are free; 2 at least.
        allow_leadership: whether the leader may run here.
        drain_timeout: seconds that actors get to end when the peer stops.
        slots: actors that it runs at most, the leader aside; by default any number. Starts
            beyond that are refused with `PeerFull`, and go to the next peer.
        on_lease_lost: `"rejoin"` under a new lease, or `"exit"` with `LeaseLost`.
        max_message_bytes: the largest message sent or accepted.
        reflection: offer gRPC reflection (needs the extra `reflection`).
        unix_socket: also listen on a unix socket, which processes of this user
            on this host use; by default unless `advertise` names an address.
        compression: pack larger answers by `zstd`, `gzip`, or the best that both
            sides have (`auto`); by default never. Clients choose their own compression.
        checksum: send a checksum with each answer.
        tls: serve with TLS, and with nothing else; its client then speaks TLS, too. By default
            what the variables `GRID_TLS_CA`, `GRID_TLS_CERT`, `GRID_TLS_KEY` say, if anything.
        filters: async functions that say which messages come to a mailbox.
        interceptors: async functions around each message that comes for a
            mailbox, the first outermost; for both see `grid.interceptors`.
        codec: the message types it knows; by default those of `grid.register`.

    Attributes:
        config: how it serves.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        etcd: str | EtcdConfig | None = None,
        listen: str = "127.0.0.1:0",
        advertise: str | None = None,
        name: str | None = None,
        annotations: Iterable[str] = (),
        lease: float = 10.0,
        allow_leadership: bool = True,
        drain_timeout: float = 10.0,
        slots: int | None = None,
        on_lease_lost: Literal["rejoin", "exit"] = "rejoin",
        max_message_bytes: int = 100 * 1024 * 1024,
        reflection: bool = False,
        unix_socket: bool | None = None,
        compression: str | None = None,
        checksum: bool = False,
        tls: TLS | None = None,
        filters: Iterable[Filter[IncomingCall]] = (),
        interceptors: Iterable[Interceptor[IncomingCall]] = (),
        codec: Codec = default_codec,
    ) -> None:
        self.config: ServerConfig = ServerConfig(
            namespace=default_namespace(namespace),
            etcd=default_etcd(etcd),
            listen=listen,
            advertise=advertise,
            name=name,
            annotations=check_annotations(annotations),
            lease=lease,
            allow_leadership=allow_leadership,
            drain_timeout=drain_timeout,
            slots=slots,
            on_lease_lost=on_lease_lost,
            max_message_bytes=max_message_bytes,
            reflection=reflection,
            unix_socket=unix_socket,
            compression=compression,
            checksum=checksum,
            tls=default_tls(tls),
        )
        self.config.check_fields()
        if not isinstance(codec, Codec):
            raise InvalidArgument("codec", codec, "a Codec")
        stoppable_as_first_process()
        self._codec = codec
        self._interception = IncomingInterception(filters, interceptors)
        super().__init__()
        self._lifecycle: Lifecycle | None = None

    def __repr__(self) -> str:
        state = self._lifecycle.peer.dispatcher.state if self._lifecycle else "not started"
        return f"<Server {self.config.namespace} {state}>"

    # -- what it is while it runs ------------------------------------------------

    @property
    def name(self) -> str:
        """The peer's name. Raises `ServerNotRunning` before the start."""
        return self._started().peer.name

    @property
    def address(self) -> str:
        """The address that others dial."""
        return self._started().peer.address

    @property
    def state(self) -> State:
        """State of the server towards requests."""
        return self._lifecycle.peer.dispatcher.state if self._lifecycle else State.STOPPED

    def statistics(self) -> ServerStatistics:
        """Snapshot of actors, mailboxes and session counters; available at any time.

        Call it on the server's event loop.
        """
        return (
            self._lifecycle.statistics() if self._lifecycle else ServerStatistics(state=self.state)
        )

    @property
    def client(self) -> Client:
        """A client of the same grid, which ends with the server."""
        return self._started().client

    def open_mailbox(
        self,
        name: str,
        *,
        size: int = 64,
        type: str = "",  # noqa: A002
        groups: Groups | None = None,
    ) -> Opening[Mailbox]:
        """A mailbox outside of actors: `async with server.open_mailbox("orders") as mailbox:`.

        It can be awaited instead; then close it yourself. Cancelling leaves no name behind. The
        type is registered with the name, for clients that look for mailboxes of a kind, and so
        are paths of groups, each with what the mailbox offers there.

        Raises (once entered or awaited):
            InvalidName: the name breaks the rule.
            AlreadyRegistered: the name or a path has an owner.
            ServerNotRunning, LeaseLost, EtcdUnavailable: it cannot be claimed now.
            WrongEventLoop: the server was started on another event loop.
        """
        peer = self._started().peer
        return Opening(lambda: peer.open_mailbox(name, size, type, groups))

    # -- life ----------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Change fields of `config` before the start.

        Raises:
            GridError: there is no such field, or it cannot have that value.
        """
        if self._lifecycle is not None:
            raise RuntimeError("a running server cannot be configured")
        fields = ServerConfig.__dataclass_fields__
        for name in changes.keys() - fields.keys():
            raise InvalidArgument(
                "a field of the configuration", name, f"one of {', '.join(fields)}"
            )
        changed = replace(self.config, **changes)
        changed.check_fields()
        self.config = changed

    async def start(self) -> None:
        """Bind the port, join the namespace, and serve.

        When it returns, the peer is in the registry and answers. When it raises
        or is cancelled, nothing is left behind. A server starts once.

        Raises:
            InvalidNamespace, InvalidAddress, LeaseTooShort: the configuration.
            InvalidArgument: an actor asks for a resource that was not provided, there are several
                stores for `ctx.state`, or a file of TLS cannot be used.
            AddressInUse: the port is taken.
            AddressLocked, AlreadyRegistered: another live peer has the address
                or the name.
            EtcdUnavailable: etcd does not answer.
            ServerNotRunning: it was stopped meanwhile.
            WrongEventLoop: it was started on another event loop.
        """
        if self._lifecycle is not None:
            self._lifecycle.peer.check_loop()
            raise RuntimeError("a server starts once; make a new one")
        check_grpc()
        warn_of_paused_loop()
        self.config.check()
        self._check_needs()
        for any_port in (True, True, False) if self.config.has_any_port else (False,):
            self._lifecycle = Lifecycle(
                self.config,
                self._codec,
                self._definitions.values(),
                self._interception,
                self._resources,
            )
            try:
                await self._lifecycle.start(any_port=any_port)
            except PortLocked:
                continue  # the system chooses another one
            except BaseException:
                self._lifecycle = None
                raise
            return

    async def stop(self) -> None:
        """Drain and leave: no new requests, actors end, names go, the lease last.

        Idempotent. It returns when all is done, at most a few seconds after
        `drain_timeout`, and goes on when the caller is cancelled. If an actor
        does not end even when cancelled, the lease is left to run out, so that
        its name is not free while it runs. A start that is under way is undone.

        Raises:
            WrongEventLoop: this is not the event loop of the start.
        """
        if self._lifecycle is not None:
            await self._lifecycle.stop(self.config.drain_timeout)

    async def serve(self) -> None:
        """Start, run until SIGTERM or SIGINT, then drain; a second signal cuts the drain.

        It returns also when `stop` was called.

        Raises:
            LeaseLost: the lease was lost and the policy is to exit.
            CannotRunHere: this is not the main thread, which alone can handle signals.
            And what `start` raises.
        """
        await self._serve(())

    async def _serve(self, early: Sequence[int]) -> float:
        stopping = asyncio.Event()
        with stop_signals(lambda: self._signalled(stopping), early):
            if await completed_before(stopping, self.start()):
                try:
                    await completed_before(stopping, self._failure())
                finally:
                    await self.stop()
        return self._lifecycle.patience if self._lifecycle else PATIENCE

    def run(self) -> None:
        """`serve()` on an event loop of its own (uvloop where it exists).

        What does not end with the server, be it an actor that goes on when it is
        cancelled or a thread that never returns, does not keep the process: that
        exits with 1 soon after. An actor that calls `sys.exit()` ends itself only.

        Raises:
            CannotRunHere: an event loop runs here, or this is not the main thread.
            And what `serve` raises.
        """
        run_alone(self._serve, lambda: self._lifecycle.runner.names() if self._lifecycle else [])

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

    async def _failure(self) -> None:
        await self._started().failed

    def _signalled(self, stopping: asyncio.Event) -> None:
        if stopping.is_set() and self._lifecycle is not None:
            self._lifecycle.hurry()
        stopping.set()

    def _define(self, definition: Definition) -> None:
        if self._lifecycle is not None:
            for name in ("keep", "activate"):  # which a peer says when it joins
                if value := getattr(definition, name):
                    raise InvalidArgument(name, value, "declared before the server starts")
            self._lifecycle.runner.define(definition)
        super()._define(definition)

    def _started(self) -> Lifecycle:
        if self._lifecycle is None or self.state in (State.STARTING, State.STOPPED):
            raise ServerNotRunning
        return self._lifecycle


async def cut(server: object, reason: str) -> None:
    """End a server as the end of its process would; see `grid.testing.kill`.

    Raises:
        InvalidArgument: it is no server, or does not run.
        WrongEventLoop: it runs on another event loop.
    """
    lifecycle = server._lifecycle if isinstance(server, Server) else None
    if lifecycle is None or lifecycle.ending:
        raise InvalidArgument("server", server, "a grid.Server that was started, not stopped")
    await asyncio.shield(lifecycle.cut(reason))
