"""A server while it runs: joined, perhaps fenced and joined again, drained, left.

    STARTING --join--> SERVING --stop--> DRAINING --> STOPPED
                        |   ^
                 lease  |   | join
                 lost   v   |
                       FENCED

Joining: the port is bound and answers (with a refusal) before the lease is
granted, so a client that finds the peer in the registry also reaches it. Fencing:
the moment the lease is lost nothing is dispatched or answered; the actors are
cancelled with `LeaseLost`, and only when they have ended does the peer join
again. Draining: actors get time to end, each name goes when its owner ended,
and the lease goes last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from grid.aio import being_cancelled
from grid.client.client import Client
from grid.codec import Codec
from grid.deadline import Deadline
from grid.errors import (
    AddressLocked,
    AlreadyRegistered,
    EtcdError,
    GridError,
    LeaseLost,
    ServerNotRunning,
)
from grid.etcd import EtcdClient, Lease
from grid.forks import sockets_stay
from grid.mailbox.dispatcher import State
from grid.mailbox.interception import IncomingInterception
from grid.mailbox.mailbox import Mailbox
from grid.registry.membership import Membership, join, wait_gone
from grid.registry.names import Kind, default_peer_name, full_name
from grid.server.actors import ActorRunner
from grid.server.config import ServerConfig
from grid.server.control import serve_control
from grid.server.definitions import Definition
from grid.server.elections import start_elections
from grid.server.location import Location
from grid.server.peer import Peer
from grid.server.resources import Resources
from grid.server.statistics import ServerStatistics, statistics_of
from grid.server.upkeep import watch_descriptors, watch_names
from grid.transport.answer import Answer, all_done
from grid.transport.service import WireService
from grid.transport.unix_paths import new_socket_path, socket_name

__all__ = ["Lifecycle"]

_log = logging.getLogger("grid.server")

_CONTROL_SIZE = 1024  # starts and stops that wait for their turn
_REJOIN_PAUSE = 1.0  # seconds between tries to come back after a lost lease
_GRACE = 2.0  # seconds to tell etcd that the names are free
_LAST_ANSWERS = 0.5  # seconds for answers that are given but not written yet
_LEAVING = 2.0  # seconds for the event loop to end after the server has
_RESOURCES = 5.0  # seconds for the resources to be left
_HURRIED = 0.2  # seconds for each of these when the process shall end at once


class Lifecycle:
    """The running parts of a server, and the order in which they begin and end."""

    def __init__(
        self,
        config: ServerConfig,
        codec: Codec,
        definitions: Iterable[Definition],
        interception: IncomingInterception,
        resources: Resources,
    ) -> None:
        self._config = config
        self._resources = resources
        resources.serve(codec, config.max_message_bytes)
        self._etcd = EtcdClient(config.etcd)
        self._client: Client | None = None
        self._codec = codec
        socket = new_socket_path() if config.wants_socket else None
        self._service = WireService(
            config.listen,
            settings=config.session_settings,
            reflection=config.reflection,
            unix_socket=socket,
        )
        self._location = Location(config, self._service.port)
        self.peer = Peer(
            config.namespace,
            config.name or "",  # the name and the address are those of the next join
            "",
            codec=codec,
            limit=config.max_message_bytes,
            socket=socket_name(socket) if socket else "",
        )
        self._interception = interception
        if interception:
            self.peer.dispatcher.interception = interception
        self.runner = ActorRunner(self.peer, lambda: self.client, definitions, config.slots)
        self._membership_tasks: list[asyncio.Task[None]] = []
        self._leaderships: list[asyncio.Task[None]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._undoing: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._kept_from_children = contextlib.ExitStack()
        sockets: list[int | str] = [self._service.port, *([socket] if socket else [])]
        self._kept_from_children.enter_context(sockets_stay(*sockets))
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def client(self) -> Client:
        """The peer's own client, made when first asked for."""
        if self._client is None:
            self._client = Client(
                self._config.namespace,
                etcd=self._etcd,
                max_message_bytes=self._config.max_message_bytes,
                compression=self._config.compression,
                checksum=self._config.checksum,
                codec=self._codec,
            )
        return self._client

    def statistics(self) -> ServerStatistics:
        """Snapshot of the counters; see `Server.statistics`."""
        return statistics_of(self.peer.dispatcher, *self._service.statistics())

    async def start(self) -> None:
        """Answer on the port and join; on any failure everything is undone.

        Raises:
            ServerNotRunning: `stop` was called meanwhile.
        """
        self._starting = asyncio.create_task(self._start(), name="start")
        try:
            await self._starting
        except asyncio.CancelledError:
            await self._undo()
            if being_cancelled():
                raise
            raise ServerNotRunning from None
        except BaseException:
            await self._undo()
            raise

    async def _start(self) -> None:
        await self._service.start(self.peer.dispatcher)
        await self._resources.open()
        await self._join()
        self._keeper = asyncio.create_task(self._keep(), name="lease keeper")

    async def _undo(self) -> None:
        # Not in `_start`: a task that is cancelled before its first step runs nothing of it.
        if self._undoing is None:
            self._undoing = asyncio.create_task(self._close(), name="undo of the start")
        await asyncio.shield(self._undoing)

    async def stop(self, grace: float) -> None:
        """Drain and leave, once; further callers wait for the same end."""
        if self._stopping is None or not self._stopping.done():
            self.peer.check_loop()
        await asyncio.shield(self._begin_stop(grace))

    def _begin_stop(self, grace: float | None = None) -> asyncio.Task[None]:
        if self._stopping is None:
            grace = self._config.drain_timeout if grace is None else grace
            self._stopping = asyncio.create_task(self._stop(grace), name="drain")
        return self._stopping

    def hurry(self) -> None:
        """Cut a drain short: cancel what still runs."""
        self._hurried.set()

    @property
    def patience(self) -> float:
        """Seconds that the event loop may take to end after the server has."""
        return self._at_most(_LEAVING)

    def _at_most(self, seconds: float) -> float:
        return min(seconds, _HURRIED) if self._hurried.is_set() else seconds

    # -- joined ------------------------------------------------------------------

    async def _join(self) -> None:
        peer, config = self.peer, self._config
        peer.address = await self._location.find()
        peer.name = config.name or default_peer_name(peer.address)
        membership = await join(
            self._etcd, lease=config.lease, address=peer.address, peer=peer.name
        )
        peer.membership = membership
        try:
            control = await self._claim_own_name(membership)
        except BaseException:
            peer.membership = None
            await membership.leave()
            raise
        peer.dispatcher.open(peer.address, peer.name, membership.lease)
        await self._service.set_serving(True)
        self._membership_tasks = [
            asyncio.create_task(
                serve_control(
                    control, self.runner, grace=config.drain_timeout, drain=self._begin_stop
                ),
                name="control",
            )
        ]
        self._look_after(watch_names(self._etcd, membership, self._name_deleted), "names")
        self._look_after(watch_descriptors(self._set_healthy), "descriptors")
        if config.advertise is not None:
            self._look_after(self._watch_location(membership.lease), "location")
        if config.allow_leadership:
            self._leaderships = start_elections(self._etcd, config.namespace, self.runner)
            self._membership_tasks.extend(self._leaderships)
        _log.info("peer %s serves %s at %s", peer.name, peer.namespace, peer.address)

    def _look_after(self, upkeep: Coroutine[Any, Any, None], name: str) -> None:
        self._membership_tasks.append(asyncio.create_task(upkeep, name=name))

    async def _set_healthy(self, healthy: bool) -> None:
        await self._service.set_serving(healthy and self.peer.dispatcher.state is State.SERVING)

    async def _claim_own_name(self, membership: Membership) -> Mailbox:
        """The peer's mailbox, once its name is free: the lease of a former peer may still hold it.

        Raises:
            AlreadyRegistered: a peer held the name for twice the lease.
        """
        deadline = Deadline.after(2 * self._config.lease)
        while True:
            try:
                return await self.peer.claim_own_name(
                    self._config.annotations, _CONTROL_SIZE, self.runner.offers()
                )
            except AlreadyRegistered as error:
                if not membership.lease.valid:
                    raise LeaseLost from None
                _log.info("peer %s waits for the lease that has its name: %s", error.peer, error)
                try:
                    async with asyncio.timeout(deadline.remaining()):
                        await wait_gone(self._etcd, error.key)
                except TimeoutError:
                    raise error from None

    async def _name_deleted(self, key: str) -> None:
        error = LeaseLost(f"{key} was deleted in etcd")
        namespace, name = self.peer.namespace, self.peer.name
        if key in {full_name(namespace, kind, name) for kind in (Kind.PEER, Kind.MAILBOX)}:
            # Without its own name the peer is found by no client: it joins again.
            await self.peer.joined().lease.abandon(str(error))
            return
        self.runner.lose(key, error)
        mailbox = self.peer.dispatcher.find(key)
        if mailbox is not None:
            mailbox._lose(error)
            await mailbox.close()

    async def _watch_location(self, lease: Lease) -> None:
        address = self.peer.address
        await self._location.check_reachable(self.peer.name, address)
        if self._config.advertises_itself:
            new = await self._location.wait_moved(address, max(1.0, lease.ttl / 3))
            # Its names lead to the old address: it has to leave them and to join again.
            await lease.abandon(f"this machine's address is {new} now, not {address}")

    async def _keep(self) -> None:
        try:
            while True:
                error = LeaseLost(await self.peer.joined().lease.wait_lost())
                _log.error("peer %s: %s", self.peer.name, error)
                await self._fence(error)
                if self._config.on_lease_lost == "exit":
                    raise error
                await self._rejoin()
        except GridError as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _fence(self, error: LeaseLost) -> None:
        self.peer.dispatcher.state = State.FENCED
        await self._service.set_serving(False)
        membership = self.peer.joined()
        await membership.claims.close()
        self.runner.lose_all(error)
        for mailbox in self.peer.dispatcher.mailboxes():
            mailbox._lose(error)
            self.peer.dispatcher.remove(mailbox)
        await self._end_membership_tasks()
        await self.runner.wait_ended()
        self.peer.membership = None
        await membership.leave()

    async def _rejoin(self) -> None:
        while True:
            try:
                await self._join()
            except (EtcdError, AddressLocked, AlreadyRegistered, LeaseLost) as error:
                _log.warning("peer %s cannot join again yet: %s", self.peer.name, error)
                await asyncio.sleep(_REJOIN_PAUSE)
            else:
                return

    async def _end_membership_tasks(self) -> None:
        tasks, self._membership_tasks = self._membership_tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- drained -------------------------------------------------------------------

    async def _stop(self, grace: float) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._keeper is None:
            await self._undo()
            return
        deadline = Deadline.after(grace)
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        if self.peer.dispatcher.state is State.SERVING:
            self.peer.dispatcher.state = State.DRAINING
        await self._service.set_serving(False)
        _log.info("peer %s drains", self.peer.name)
        for leadership in self._leaderships:
            leadership.cancel()  # another peer shall have the leader, not this one again
        for mailbox in self.peer.dispatcher.mailboxes():
            mailbox._drain()
        stuck = await self._end_actors(grace)
        await self._end_membership_tasks()
        await self._last_requests(deadline)
        if stuck:
            _log.error(
                "peer %s leaves its names to the lease: still running: %s",
                self.peer.name,
                ", ".join(stuck),
            )
        await self._close(revoke=not stuck)
        if not self.failed.done():
            self.failed.set_result(None)
        _log.info("peer %s left", self.peer.name)

    async def _end_actors(self, grace: float) -> list[str]:
        ending = asyncio.create_task(self.runner.stop_all("the peer stops", grace))
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait([ending, hurried], return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                self.runner.hurry("the peer was told to stop at once")
            return await ending
        finally:
            hurried.cancel()

    async def _last_requests(self, deadline: Deadline) -> None:
        # Mailboxes outside of actors: their owners may still answer what they hold.
        mailboxes = self.peer.dispatcher.mailboxes()
        answers = [answer for mailbox in mailboxes for answer in mailbox._unanswered]
        if (answers or self._interception.busy) and not self._hurried.is_set():
            hurried = asyncio.create_task(self._hurried.wait())
            everything = asyncio.create_task(self._all_answered(answers))
            await asyncio.wait(
                [everything, hurried],
                timeout=deadline.remaining(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            everything.cancel()
            hurried.cancel()

    async def _all_answered(self, answers: Iterable[Answer]) -> None:
        await all_done(answers)
        await self._interception.idle()

    async def _close(self, *, revoke: bool = True) -> None:
        dispatcher = self.peer.dispatcher
        for mailbox in dispatcher.mailboxes():
            mailbox._end(None)
        await self._interception.close(self._at_most(_LAST_ANSWERS))
        await self._resources.close(self._at_most(_RESOURCES))
        if self._client is not None:
            await self._client.close()
        await self._service.stop(self._at_most(_LAST_ANSWERS))
        dispatcher.close()
        membership, self.peer.membership = self.peer.membership, None
        with contextlib.suppress(GridError):  # names that cannot be freed now go with the lease
            if membership is not None:
                await membership.leave(revoke=revoke, timeout=self._at_most(_GRACE))
        await self._etcd.close()
        self._kept_from_children.close()
