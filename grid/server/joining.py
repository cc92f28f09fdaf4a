"""A peer as a member of its grid: it joins, is fenced when its lease is lost, and joins again.

The moment the lease is lost nothing is dispatched or answered; the actors are cancelled with
`LeaseLost`, and only when they have ended does the peer join again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from grid.deadline import Deadline
from grid.errors import AddressLocked, AlreadyRegistered, EtcdError, LeaseLost
from grid.etcd import EtcdClient, Lease
from grid.mailbox.dispatcher import State
from grid.mailbox.mailbox import Mailbox
from grid.registry.membership import Membership, is_locked, join, wait_gone
from grid.registry.names import Kind, default_peer_name, full_name
from grid.server.actors import ActorRunner
from grid.server.config import ServerConfig
from grid.server.control import serve_control
from grid.server.elections import start_elections
from grid.server.location import Location
from grid.server.peer import Peer
from grid.server.upkeep import watch_descriptors, watch_names
from grid.transport.service import WireService

__all__ = ["Joining", "PortLocked"]

_log = logging.getLogger("grid.server")

_CONTROL_SIZE = 1024  # starts and stops that wait for their turn
_REJOIN_PAUSE = 1.0  # seconds between tries to come back after a lost lease


class PortLocked(Exception):
    """The address of a port that the system chose is that of another peer, or of a dead one."""


class Joining:
    """The membership of one peer, from one lease to the next.

    Args:
        config: the server's.
        etcd: where it joins.
        peer: gets name, address and membership.
        runner: its actors.
        service: its port, which is open.
        drain: begins the end of the server, when another one tells it to.
    """

    def __init__(
        self,
        config: ServerConfig,
        etcd: EtcdClient,
        peer: Peer,
        runner: ActorRunner,
        service: WireService,
        drain: Callable[[], object],
    ) -> None:
        self._config = config
        self._etcd = etcd
        self._peer = peer
        self._runner = runner
        self._service = service
        self._drain = drain
        self._location = Location(config, service.port)
        self._tasks: list[asyncio.Task[None]] = []
        self._leaderships: list[asyncio.Task[None]] = []

    async def check_port(self) -> None:
        """Raise `PortLocked` where `join` would have to wait for the address."""
        if await is_locked(self._etcd, await self._location.find()):
            raise PortLocked

    async def join(self) -> None:
        """Join under a new lease; on any failure everything is undone.

        Raises:
            AddressLocked: another process has the address.
            AlreadyRegistered: a peer held the name for twice the lease.
            EtcdError, LeaseLost: it cannot join now.
        """
        peer, config = self._peer, self._config
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
        controlling = serve_control(
            control, self._runner, grace=config.drain_timeout, drain=self._drain
        )
        self._tasks = [asyncio.create_task(controlling, name="control")]
        self._look_after(watch_names(self._etcd, membership, self._name_deleted), "names")
        self._look_after(watch_descriptors(self._set_healthy), "descriptors")
        if config.advertise is not None:
            self._look_after(self._watch_location(membership.lease), "location")
        if config.allow_leadership:
            self._leaderships = start_elections(self._etcd, config.namespace, self._runner)
            self._tasks.extend(self._leaderships)
        _log.info("peer %s serves %s at %s", peer.name, peer.namespace, peer.address)

    def _look_after(self, upkeep: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(upkeep, name=name))

    async def _set_healthy(self, healthy: bool) -> None:
        await self._service.set_serving(healthy and self._peer.dispatcher.state is State.SERVING)

    async def _claim_own_name(self, membership: Membership) -> Mailbox:
        """The peer's mailbox, once its name is free: the lease of a former peer may still hold it.

        Raises:
            AlreadyRegistered: a peer held the name for twice the lease.
        """
        deadline = Deadline.after(2 * self._config.lease)
        while True:
            try:
                return await self._peer.claim_own_name(
                    self._config.annotations, _CONTROL_SIZE, self._runner.offers()
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
        namespace, name = self._peer.namespace, self._peer.name
        if key in {full_name(namespace, kind, name) for kind in (Kind.PEER, Kind.MAILBOX)}:
            # Without its own name the peer is found by no client: it joins again.
            await self._peer.joined().lease.abandon(str(error))
            return
        self._runner.lose(key, error)
        mailbox = self._peer.dispatcher.find(key)
        if mailbox is not None:
            mailbox._lose(error)
            await mailbox.close()

    async def _watch_location(self, lease: Lease) -> None:
        address = self._peer.address
        await self._location.check_reachable(self._peer.name, address)
        if self._config.advertises_itself:
            new = await self._location.wait_moved(address, max(1.0, lease.ttl / 3))
            # Its names lead to the old address: it has to leave them and to join again.
            await lease.abandon(f"this machine's address is {new} now, not {address}")

    async def keep(self) -> None:
        """Keep the peer in the grid: fence it when its lease is lost, and join again.

        Raises:
            LeaseLost: it is fenced, and is not to join again.
        """
        while True:
            error = LeaseLost(await self._peer.joined().lease.wait_lost())
            _log.error("peer %s: %s", self._peer.name, error)
            await self._fence(error)
            if self._config.on_lease_lost == "exit":
                raise error
            await self._rejoin()

    async def _fence(self, error: LeaseLost) -> None:
        self._peer.dispatcher.state = State.FENCED
        await self._service.set_serving(False)
        membership = self._peer.joined()
        await membership.claims.close()
        self._runner.lose_all(error)
        for mailbox in self._peer.dispatcher.mailboxes():
            mailbox._lose(error)
            self._peer.dispatcher.remove(mailbox)
        await self.end_tasks()
        await self._runner.wait_ended()
        self._peer.membership = None
        await membership.leave()

    async def _rejoin(self) -> None:
        while True:
            try:
                await self.join()
            except (EtcdError, AddressLocked, AlreadyRegistered, LeaseLost) as error:
                _log.warning("peer %s cannot join again yet: %s", self._peer.name, error)
                await asyncio.sleep(_REJOIN_PAUSE)
            else:
                return

    def stop_leading(self) -> None:
        """End the elections: another peer shall have the leader, not this one again."""
        for leadership in self._leaderships:
            leadership.cancel()

    def cancel_tasks(self) -> None:
        """Begin to end what goes on for as long as the peer is a member."""
        for task in self._tasks:
            task.cancel()

    async def end_tasks(self) -> None:
        """End what goes on for as long as the peer is a member."""
        self.cancel_tasks()
        tasks, self._tasks = self._tasks, []
        self._leaderships = []
        if tasks:
            await asyncio.wait(tasks)
