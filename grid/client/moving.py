"""Moves of actors from peer to peer, one or as many as balance asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from grid.client.lookups import from_etcd, read_registration, registration_of
from grid.client.reminders import ReminderCalls
from grid.deadline import Deadline
from grid.errors import (
    AlreadyRegistered,
    GridError,
    InvalidArgument,
    NotDelivered,
    PeerNotServing,
    RequestFailed,
    UnknownActor,
)
from grid.registry.balancing import Move, moves
from grid.registry.names import Kind, check_actor_type, check_name, full_name, prefix
from grid.registry.registration import (
    Registration,
)
from grid.wire_pb2 import Ack, ActorMove, ActorStart

__all__ = ["MAX_MOVES", "MovingCalls", "ask_to_take"]

MAX_MOVES = 16  # moves under way at once, by a call or by the end of a peer


class MovingCalls(ReminderCalls):
    """Calls that move actors; see `Client`."""

    async def move_actor(self, name: str, peer: str, *, timeout: float | None = None) -> None:
        """Move an actor to another peer; it runs there when this returns.

        The other peer is asked first, and the actor goes on undisturbed if that does not take it.
        Then it ends as by `stop_actor`, and is started there by its type and start bytes. Requests
        that come meanwhile are sent again to the new place. A kept actor may be placed by the
        keeper, which spreads them.

        Args:
            name: the actor's name.
            peer: the peer to move it to.
            timeout: seconds for all of it; by default the client's.

        Raises:
            UnknownActor: no actor of that name runs.
            UnregisteredMailbox: there is no such peer; the actor goes on.
            UnknownActorType, PeerFull, PeerNotServing, PeerUnreachable: that peer does not offer
                the type, has no free slot, drains, or cannot be reached; the actor goes on.
            ActorStillRunning: it did not end, and stays.
            RequestFailed: a Go peer, or one of an older version, has it.
            What `start_actor` raises: it was ended and did not start there, as when its factory
                failed, and its peer has started it again.
        """
        self._check_open()
        check_name(peer, Kind.PEER)
        key = full_name(self.namespace, Kind.ACTOR, name)
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        reading = self._etcd.get(key, timeout=deadline.remaining())
        stored = await from_etcd(self._etcd, deadline, f"resolving {name!r}", reading)
        found = registration_of(stored)
        if found is None:
            raise UnknownActor(name)
        if found.peer != peer:
            # Its peer finds out as well, but only once the actor has ended.
            target = full_name(self.namespace, Kind.PEER, peer)
            await read_registration(self._peers, target, deadline)
            move = ActorMove(name=name, peer=peer)
            try:
                await self.request(found.peer, move, reply=Ack, timeout=deadline.remaining())
            except RequestFailed as error:
                if error.cause is None:
                    raise
                raise error.cause from None

    async def rebalance(
        self, types: Iterable[str] | None = None, *, timeout: float | None = None
    ) -> list[Move]:
        """Move actors to where a start would place them now, as after a peer has joined.

        Kept actors are spread over the peers of their type; activated ones, and those defined
        with `move=True`, go to the peer that their name is hashed to. Others stay.

        Args:
            types: the types to move actors of; by default all.
            timeout: seconds for each move; by default the client's.

        Returns:
            The moves that were made.

        Raises:
            InvalidArgument, InvalidActorType: before any I/O.
            What `move_actor` raises, for the first move that failed; the others were tried, too.
        """
        self._check_open()
        if isinstance(types, str):
            raise InvalidArgument("types", types, 'a list of types, e.g. ["room"]')
        wanted = None if types is None else [check_actor_type(one) for one in types]
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        reading = self._peers.all(fresh=True)
        peers = await from_etcd(self._etcd, deadline, "listing the peers", reading)
        todo = moves(peers, await self._running(timeout), wanted)
        slots = asyncio.Semaphore(MAX_MOVES)
        errors: list[GridError] = []

        async def move(one: Move) -> Move | None:
            async with slots:
                try:
                    await self.move_actor(one.name, one.target, timeout=timeout)
                except UnknownActor:
                    return None  # it has ended meanwhile
                except GridError as error:
                    error.add_note(f"while {one.name!r} was moved to {one.target!r}")
                    errors.append(error)
                    return None
            return one

        moved = [one for one in await asyncio.gather(*map(move, todo)) if one is not None]
        if errors:
            errors[0].add_note(f"{len(errors)} of {len(todo)} moves failed")
            raise errors[0]
        return moved

    async def _running(self, timeout: float | None) -> list[Registration]:
        start = prefix(self.namespace, Kind.ACTOR)
        stored = (await self._etcd.get_prefix(start, timeout=timeout)).items
        found = map(registration_of, stored)
        return [one for one in found if one is not None]


async def ask_to_take(client: MovingCalls, start: ActorStart, peer: str, timeout: float) -> bool:
    """Ask a peer to start an actor that runs elsewhere, to learn whether it would.

    It looks at the type and its slots before it finds that the name has an owner, and calls the
    factory only after that.

    Returns:
        True if it has started the actor: the name was free, since the actor had ended.

    Raises:
        GridError: the peer does not take the actor, as `Client.start_actor` says, but one that
            drains says so at once.
    """
    deadline = Deadline.after(timeout)
    key = full_name(client.namespace, Kind.PEER, peer)
    if not (await read_registration(client._peers, key, deadline)).session:
        return False  # a Go peer may free the name, which is not its own
    try:
        plain = client._interception is None  # interceptors may change what is sent
        if not (plain and await _taken_at_once(client, start, peer, deadline)):
            await client.start_actor(
                start.type,
                name=start.name,
                peer=peer,
                data=start.data,
                timeout=deadline.remaining(),
            )
    except AlreadyRegistered:
        return False
    return True


async def _taken_at_once(
    client: MovingCalls, start: ActorStart, peer: str, deadline: Deadline
) -> bool:
    # As `start_actor`, but that waits for the end of a peer that drains.
    try:
        await client._router._ask_once(client._outgoing(peer, start, None), deadline, False)
    except NotDelivered as error:
        drains = isinstance(error, PeerNotServing) and error.state == "draining"
        if drains or not error.retryable:
            raise
        return False
    return True
