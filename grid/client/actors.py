"""Actors from the outside: references to them, starts, stops and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, cast

from grid.client.activation import Activation
from grid.client.actor_ref import ActorRef
from grid.client.arguments import annotations_of, check_bytes
from grid.client.lookups import from_etcd, read_registration, registration_of
from grid.client.placement import PeerLoad, Place, able, check_place, chosen, lacking, passed_over
from grid.client.reports import ActorReport, reports_of
from grid.client.sender import Messaging
from grid.deadline import Deadline, within
from grid.errors import (
    AlreadyRegistered,
    GridError,
    InvalidArgument,
    NotDelivered,
    NotPlaced,
    OutcomeUnknown,
    PeerFull,
    RequestFailed,
    UnknownActor,
    UnregisteredMailbox,
)
from grid.numbers import check_seconds
from grid.registry.names import Kind, check_actor_type, full_name
from grid.registry.registration import (
    Registration,
)
from grid.registry.ring import Ring
from grid.wire_pb2 import (
    Ack,
    ActorReports,
    ActorReportsQuery,
    ActorStart,
    ActorStop,
    PeerDrain,
)

__all__ = ["ActorCalls"]

A = TypeVar("A")

_ASKING = 1.0  # seconds for a peer to tell its load
_MAX_STARTS = 256  # starts of actors that are under way at once; the others wait


@dataclass(frozen=True, slots=True)
class _Where:
    """The place of an actor, as its starter asks for it; see `start_actor`."""

    peer: str | None
    annotations: tuple[str, ...]
    place: Place
    key: str


class ActorCalls(Messaging):
    """Calls about actors; see `Client`."""

    _ring = Ring(())  # of the peers that were there at the last start

    @cached_property
    def _starting(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(_MAX_STARTS)

    @cached_property
    def _activation(self) -> Activation:
        return Activation(self._peers, self._start_activated, self._router.start)

    async def _activate(self, key: str, deadline: Deadline) -> bool:
        return await self._activation(key, deadline)

    async def _start_activated(self, type: str, name: str) -> None:  # noqa: A002
        await self.start_actor(type, name=name, if_exists="return")

    def actor(self, cls: type[A], name: str) -> A:
        """A typed reference to an actor of a class with handlers.

            greeter = client.actor(Greeter, "bob")
            greeting = await greeter.greet(Hello())

        Each handler is a method that sends its message; type checkers see its message and its
        answer. Nothing is asked yet: whether the name is there shows at the first call. Calls
        take the options of `request` or `stream` and raise as these do.

        Args:
            cls: the class that the actor is made of.
            name: the actor's name.

        Raises:
            InvalidName: the name breaks the rule.
            InvalidArgument: the class has no handlers.
        """
        return cast("A", ActorRef(self, cls, name))

    async def start_actor(
        self,
        type: str,  # noqa: A002
        *,
        name: str | None = None,
        peer: str | None = None,
        data: bytes = b"",
        annotations: Iterable[str] = (),
        if_exists: Literal["fail", "return"] = "fail",
        place: Place = "name",
        key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Start an actor; it holds its name and runs when this returns.

        Args:
            type: the definition to start it by.
            name: its name; by default its type.
            peer: the peer to start it on; by default one is chosen by hashing
                the name over the live peers that define the type, and the next
                one if it cannot be reached, so equal names go to equal peers.
            data: opaque bytes for its factory.
            annotations: choose among the peers that carry all of these.
            if_exists: `"return"` returns the peer of an actor of this type that has
                the name already, wherever it runs, so that of many clients which
                start it at once one starts it and all succeed.
            place: `"name"` hashes the name; `"spread"` asks the peers, and takes the one with
                the least load (actors by slots, see `Server`); a function is given the
                `PeerLoad` of each peer, and returns names in the order to be tried.
            key: hash this text instead of the name, so that actors of one key share a peer.
            timeout: seconds for all of it; by default the client's.

        Returns:
            The name of the peer it runs on.

        Raises:
            InvalidActorType, InvalidName, InvalidArgument: before any I/O.
            AlreadyRegistered: the name has an owner, which keeps it.
            UnknownActorType, FactoryFailed, NilActor: the peer has no such actor
                (of a Go peer a failed factory is a `RequestFailed`).
            UnregisteredMailbox: there is no such peer, or none at all.
            NotPlaced: several peers were asked, and none took it, or there are peers and it may
                be placed on none of them; its `refusals` say why for each.
            What `request` raises. After `OutcomeUnknown` or `DeadlineExceeded`
            the actor may run: look with `query`.
        """
        self._check_open()
        check_actor_type(type)
        name = type if name is None else name
        full_name(self.namespace, Kind.ACTOR, name)
        check_bytes("data", data)
        wanted = annotations_of(annotations)
        if if_exists not in ("fail", "return"):
            raise InvalidArgument("if_exists", if_exists, '"fail" or "return"')
        check_place(place)
        if key is not None and not isinstance(key, str):
            raise InvalidArgument("key", key, "a string")
        start = ActorStart(type=type, name=name, data=data)
        where = _Where(peer, wanted, place, name if key is None else key)
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        await within(deadline, f"the start of {name!r}", self._starting.acquire())
        try:
            if if_exists == "return":
                return await self._start_once(start, where, deadline)
            return await self._start(start, where, deadline)
        finally:
            self._starting.release()

    async def _start_once(self, start: ActorStart, where: _Where, deadline: Deadline) -> str:
        for last in (False, False, True):
            try:
                return await self._start(start, where, deadline, again=True)
            except (AlreadyRegistered, NotPlaced, PeerFull) as error:
                holder = await self._holder(start.name, deadline)
                if holder is None:
                    if last or not isinstance(
                        error, AlreadyRegistered
                    ):  # a mailbox of that name, or an actor that ends again and again
                        raise
                elif not holder.type or holder.type == start.type:  # Go peers do not say
                    return holder.peer
                else:
                    error.add_note(f"it is an actor of type {holder.type!r}, not {start.type!r}")
                    raise
        raise AssertionError("the last try returns or raises")

    async def _start(
        self, start: ActorStart, where: _Where, deadline: Deadline, *, again: bool = False
    ) -> str:
        if where.peer is not None:
            key = full_name(self.namespace, Kind.PEER, where.peer)
            found = self._peers.find(key) or await read_registration(self._peers, key, deadline)
            await self._start_on(found, start, deadline, again=again)
            return where.peer
        candidates, unfit = await self._placement(start, where, deadline)
        refusals: dict[str, GridError] = {}
        asked: set[tuple[str, int]] = set()
        while candidates:
            candidate = candidates.pop(0)
            asked.add((candidate.peer, candidate.epoch))
            # One that leaves is not waited for, also by clients that send again without end. What
            # it may have begun ends with its lease.
            starting = self._start_on(candidate, start, deadline, again=again)
            try:
                await self._peers.while_there(candidate, starting)
            except NotDelivered as error:
                refusals[candidate.peer] = error
            except AlreadyRegistered as error:
                if again or error.peer not in _left(refusals):
                    raise
                text = f"{error.peer!r}, which left meanwhile, may have started it: {error}"
                raise OutcomeUnknown(text) from error
            else:
                return candidate.peer
            if not candidates and _left(refusals):
                # Others may have come since; or the same, if it had only lost etcd.
                there, _ = await self._placement(start, where, deadline)
                candidates = [one for one in there if (one.peer, one.epoch) not in asked]
        if len(refusals) == 1:
            raise next(iter(refusals.values()))
        told = {peer: str(error) for peer, error in refusals.items()} or unfit
        if not told:
            raise UnregisteredMailbox("a peer", self.namespace)
        raise NotPlaced(start.name, told, asked=bool(refusals))

    async def stop_actor(
        self, name: str, *, grace: float | None = None, timeout: float | None = None
    ) -> None:
        """Stop an actor; its names are free when this returns.

        Args:
            name: the actor's name.
            grace: seconds it may go on to finish before it is cancelled; by
                default its peer's.
            timeout: seconds for all of it; by default the client's, and never
                less than `grace` needs.

        Raises:
            UnknownActor: no actor of that name runs.
            ActorStillRunning: it did not end, and keeps its names.
            RequestFailed: a Go peer has it, and cannot stop actors by message.
            What `request` raises. Stopping again is safe.
        """
        self._check_open()
        key = full_name(self.namespace, Kind.ACTOR, name)
        stop = ActorStop(name=name)
        if grace is not None:
            stop.grace_ms = int(check_seconds("grace", grace) * 1000)
        stored = await self._etcd.get(key, timeout=timeout)
        found = registration_of(stored)
        if found is None:
            raise UnknownActor(name)
        if not found.session:
            raise RequestFailed(
                f"grid: {name!r} runs on the Go peer {found.peer!r}, and Go peers cannot stop an "
                "actor by message: send it a message of its own, or stop the peer",
                "UNIMPLEMENTED",
            )
        seconds = timeout if timeout is not None else max(self.timeout, (grace or 0.0) + 5.0)
        await self.request(found.peer, stop, reply=Ack, timeout=seconds, idempotent=True)

    async def actor_reports(self, peer: str, *, timeout: float | None = None) -> list[ActorReport]:
        """Reports of a peer's actors: states, restarts and errors.

        An actor that runs, has never been restarted and has never failed has none. The last
        actors that ended by an error have one for a while.

        Raises:
            RequestFailed: a Go peer, or one of an older version, has no reports.
            UnregisteredMailbox: there is no such peer.
            What `request` raises. Asking again is safe.
        """
        query = ActorReportsQuery()
        found = await self.request(
            peer, query, reply=ActorReports, timeout=timeout, idempotent=True
        )
        return reports_of(peer, found)

    async def drain_peer(self, peer: str, *, timeout: float | None = None) -> None:
        """Tell a peer to drain, as SIGTERM does; it has begun to when this returns.

        Its actors get the peer's own time to end. Kept and activated ones start on other peers.

        Raises:
            RequestFailed: a Go peer, or one of an older version, cannot be told to.
            UnregisteredMailbox: there is no such peer.
            What `request` raises. Telling it again is safe.
        """
        await self.request(peer, PeerDrain(), reply=Ack, timeout=timeout, idempotent=True)

    async def _load(self, peer: Registration, deadline: Deadline) -> PeerLoad:
        query, seconds = ActorReportsQuery(), min(_ASKING, deadline.remaining())
        try:
            found = await self.request(
                peer.peer, query, reply=ActorReports, timeout=seconds, idempotent=True
            )
        except GridError:  # a Go peer; or it does not answer, which its start will show
            return PeerLoad(peer.peer, peer.annotations)
        return PeerLoad(peer.peer, peer.annotations, found.running, found.slots or None)

    async def _start_on(
        self, peer: Registration, start: ActorStart, deadline: Deadline, *, again: bool
    ) -> None:
        if not peer.session:
            await self._check_free(start.name, deadline)
        # Starts of many clients at once may fill the peer's mailbox; they wait for their turn.
        # To start again is safe where an actor that runs already is as good as a new one.
        await self.request(
            peer.peer,
            start,
            reply=Ack,
            timeout=deadline.remaining(),
            idempotent=again,
            wait=True,
        )

    async def _check_free(self, name: str, deadline: Deadline) -> None:
        # A Go peer that is asked for a name it runs refuses, and deletes the live name.
        holder = await self._holder(name, deadline)
        if holder is not None:
            raise AlreadyRegistered(holder.key, holder.peer, holder.address, holder.epoch)

    async def _holder(self, name: str, deadline: Deadline) -> Registration | None:
        key = full_name(self.namespace, Kind.ACTOR, name)
        reading = self._etcd.get(key, timeout=deadline.remaining())
        what = f"resolving {name!r}"
        return registration_of(await from_etcd(self._etcd, deadline, what, reading))

    async def _placement(
        self, start: ActorStart, where: _Where, deadline: Deadline
    ) -> tuple[list[Registration], dict[str, str]]:
        """The peers to try, in their order; if there are none, why each peer is unfit."""
        for fresh in (False, True):  # a view without such a peer may lag behind
            reading = self._peers.all(fresh=fresh)
            peers = await from_etcd(self._etcd, deadline, "listing the peers", reading)
            found = able(peers, start.type, where.annotations)
            if found:
                break
        if where.place != "name":
            loads = await asyncio.gather(*(self._load(one, deadline) for one in found.values()))
            names = chosen(where.place, loads)
            return [found[name] for name in names], passed_over(where.place, loads)
        if self._ring.members != tuple(sorted(found)):
            self._ring = Ring(found)  # its points cost a hash each: kept while the peers stay
        owners = [found[owner] for owner in self._ring.owners(where.key)]
        return owners, lacking(peers, where.annotations)


def _left(refusals: Mapping[str, GridError]) -> set[str]:
    """The peers that have left while they were asked."""
    return {peer for peer, error in refusals.items() if isinstance(error, UnregisteredMailbox)}
