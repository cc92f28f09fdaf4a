"""Running actors: claim the name, make it, run it, end it, free the name.

The name is claimed before the factory is called, so a factory runs only on the
peer that owns the name, and it is freed only after the actor has ended, so two
incarnations never overlap under one lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from typing import TYPE_CHECKING

from grid.actor import ActorContext
from grid.aio import Opening
from grid.deadline import Deadline
from grid.errors import (
    ActorStillRunning,
    AlreadyRegistered,
    EtcdUnavailable,
    GridError,
    LeaseLost,
    PeerNotServing,
    UnknownActor,
    UnknownActorType,
)
from grid.errors.classification import from_actor
from grid.mailbox.mailbox import Groups, Mailbox
from grid.registry.names import Kind, check_actor_type, full_name
from grid.registry.registration import Offers
from grid.server.definitions import Act, BlockingAct, Definition
from grid.server.handover import Handover
from grid.server.idleness import Idleness
from grid.server.peer import Peer
from grid.server.reports import FailedActors, report_of
from grid.server.restarts import Restarts
from grid.server.running_actor import HURRIED_UNWIND, UNWIND, RunningActor
from grid.server.runs import ActorRuns, log_end, make_actor
from grid.server.slots import Slots
from grid.wire_pb2 import ActorReport, ActorReports

if TYPE_CHECKING:
    from grid.client.client import Client

__all__ = ["ActorRunner"]

_log = logging.getLogger("grid.actor")

_SAY_STUCK_AFTER = 10.0  # seconds
_FREE_POLL = 0.1  # seconds between looks at why names are not free yet
_IDLE_GRACE = 60.0  # seconds that an idle actor may take to end, such as to save its state


class ActorRunner:
    """The actors of one peer."""

    def __init__(
        self,
        peer: Peer,
        client: Callable[[], Client],
        definitions: Iterable[Definition],
        slots: int | None = None,
    ) -> None:
        self._peer = peer
        self._client = client
        self._definitions = {one.type: one for one in definitions}
        self._slots = Slots(peer, slots)
        self._hurried = asyncio.Event()
        self._handover = Handover(client, self._hurried)
        self._actors: dict[str, RunningActor] = {}
        self._elected: set[str] = set()  # names of actors that were, as of the leader
        self._failed = FailedActors()
        self._freeing: set[asyncio.Task[None]] = set()
        self._ending = False
        self._last: list[RunningActor] = []  # those that were there when the end began
        self._movers: set[RunningActor] = set()  # those of them that ran
        self._defined = asyncio.Event()

    def define(self, definition: Definition) -> None:
        """Add a definition, or replace the one of that type."""
        self._definitions[definition.type] = definition
        self._defined.set()

    async def wait_defined(self, type: str) -> None:  # noqa: A002
        """Return once there is a definition of that type."""
        while type not in self._definitions:
            self._defined.clear()
            await self._defined.wait()

    def offers(self) -> Offers:
        """The actors that are offered here."""
        offered = [one for one in self._definitions.values() if not one.internal]
        return Offers(
            tuple(one.type for one in offered),
            tuple((one.type, one.keep) for one in offered if one.keep is not None),
            tuple(one.type for one in offered if one.activate),
            tuple(one.type for one in offered if one.move),
        )

    def names(self) -> list[str]:
        """The names of the actors that run here."""
        return list(self._actors)

    def reports(self) -> ActorReports:
        """Reports of the actors that do not just run, and of the last ones that failed."""
        running, slots = self._placed(), self._slots.most or 0
        return ActorReports(actors=self._reports(), running=running, slots=slots)

    def _reports(self) -> Iterator[ActorReport]:
        found = (report_of(actor.context, actor.runs) for actor in self._actors.values())
        failed = {one.name for one in self._failed}  # they may hold their names for a while
        yield from (one for one in found if one is not None and one.name not in failed)
        yield from self._failed

    # -- start ---------------------------------------------------------------

    async def start(self, type: str, name: str, data: bytes) -> asyncio.Task[None]:  # noqa: A002
        """Start an actor; it holds its name and runs when this returns.

        Returns:
            The task of its whole life: done when its names are free again.

        Raises:
            InvalidActorType, InvalidName: they break the rule of names.
            UnknownActorType: there is no definition of that type here.
            AlreadyRegistered: the name has an owner.
            PeerFull: the peer has no free slot.
            FactoryFailed, NilActor: no actor came out; the name is free again.
        """
        check_actor_type(type)
        key = full_name(self._peer.namespace, Kind.ACTOR, name)
        definition = self._definitions.get(type)
        if definition is None:
            raise UnknownActorType(type, sorted(self.offers().types))
        elected = definition.internal or type == name == "leader"
        if elected:
            self._elected.add(name)
        free = elected or name in self._actors
        with contextlib.nullcontext() if free else self._slots.taken(self._placed()):
            return await self._start(key, definition, name, data)

    def _placed(self) -> int:
        # Those that were elected were not placed here, and take no slot.
        return len(self._actors) - sum(name in self._actors for name in self._elected)

    async def _start(
        self, key: str, definition: Definition, name: str, data: bytes
    ) -> asyncio.Task[None]:
        mailbox = None
        if definition.mailbox is not None:
            mailbox = self._peer.new_mailbox(name, definition.mailbox)
        keys, peer = (key,) if mailbox is None else (key, mailbox.key), self._peer
        if mailbox is None:
            epoch = await peer.claim(keys, type=definition.type)
        else:
            epoch = await peer.claim_with(keys, mailbox, type=definition.type)
        try:
            act = make_actor(definition, data)
            # While the claim was under way the peer may have begun to stop, or
            # lost its lease; what ends its actors has not seen this one.
            if self._ending:
                raise PeerNotServing(self._peer.name, "draining")
            if not self._peer.joined().lease.valid:
                raise LeaseLost
            return self._launch(key, epoch, definition, name, data, mailbox, act)
        except BaseException:
            # Whatever it is: without an actor the name would be held for as long as the peer lives.
            await self._give_back(key, epoch, mailbox)
            raise

    async def _give_back(self, key: str, epoch: int, mailbox: Mailbox | None) -> None:
        freeing = asyncio.create_task(self._free(key, epoch, mailbox), name=f"free {key}")
        self._freeing.add(freeing)
        freeing.add_done_callback(self._freed)
        await asyncio.wait([freeing])  # cancelled, it goes on

    def _freed(self, freeing: asyncio.Task[None]) -> None:
        self._freeing.discard(freeing)
        if not freeing.cancelled() and (error := freeing.exception()) is not None:
            _log.warning("%s: the name goes with the lease: %s", freeing.get_name(), error)

    async def _free(self, key: str, epoch: int, *mailboxes: Mailbox | None) -> None:
        await asyncio.gather(*(one.close() for one in mailboxes if one is not None))
        await self._peer.free((key,), epoch)

    def _launch(
        self,
        key: str,
        epoch: int,
        definition: Definition,
        name: str,
        data: bytes,
        mailbox: Mailbox | None,
        act: Act | BlockingAct,
    ) -> asyncio.Task[None]:
        mailboxes = [] if mailbox is None else [mailbox]
        context = ActorContext(
            name=name,
            id=key,
            type=definition.type,
            namespace=self._peer.namespace,
            peer=self._peer.name,
            epoch=epoch,
            data=data,
            client=self._client(),
            mailbox=mailbox,
            open_mailbox=partial(self._opening, mailboxes),  # closures would weigh more
            resources=definition.resources,
        )
        runs = ActorRuns(
            context,
            mailbox,
            mailboxes,
            Restarts(definition.restart),
            partial(make_actor, definition, data),
        )
        actor = RunningActor(context, mailboxes, runs)
        actor.acting = asyncio.create_task(runs.run(act), name=f"actor {name}")
        actor.life = asyncio.create_task(self._live(actor), name=f"life of actor {name}")
        self._actors[name] = actor
        self._failed.forget(name)
        if definition.idle is not None:
            actor.idleness = Idleness(
                mailboxes, definition.idle, lambda: self._begin_end(actor, "it was idle")
            )
        return actor.life

    def _opening(
        self,
        mailboxes: list[Mailbox],
        name: str,
        size: int,
        type: str,  # noqa: A002
        groups: Groups | None,
    ) -> Opening[Mailbox]:
        async def opened() -> Mailbox:
            mailbox = await self._peer.open_mailbox(name, size, type, groups)
            mailboxes.append(mailbox)
            return mailbox

        return Opening(opened)

    async def _live(self, actor: RunningActor) -> None:
        context = actor.context
        await asyncio.wait([actor.acting])
        if actor.idleness is not None:
            actor.idleness.close()
        log_end(context, actor.acting)
        if not actor.acting.cancelled() and actor.acting.exception() is not None:
            self._failed.add(context, actor.runs)
            await actor.tell_failure(activated=self._definitions[context.type].activate)
        try:
            await self._free(context.id, context.epoch, *actor.mailboxes)
        except GridError as error:
            text, fields = "actor %s: its name goes with the lease: %s", context._log_fields()
            _log.warning(text, context.id, error, extra=fields)
        finally:
            if self._actors.get(context.name) is actor:
                del self._actors[context.name]

    # -- stop ----------------------------------------------------------------

    async def stop(self, name: str, grace: float) -> None:
        """End an actor; its names are free when this returns.

        Args:
            name: the actor's name.
            grace: seconds it may go on before it is cancelled.

        Raises:
            UnknownActor: no actor of that name runs here.
            ActorStillRunning: it did not end; it keeps its names.
            EtcdUnavailable, EtcdOutOfSpace: it has ended, and its names are not free yet;
                freeing them goes on.
        """
        await self._end(self._found(name), "stopped by request", grace)

    def _found(self, name: str) -> RunningActor:
        actor = self._actors.get(name)
        if actor is None:
            raise UnknownActor(name)
        return actor

    def _begin_end(self, actor: RunningActor, reason: str) -> None:
        ending = asyncio.create_task(
            self._end(actor, reason, _IDLE_GRACE), name=f"end of actor {actor.context.name}"
        )
        self._freeing.add(ending)
        ending.add_done_callback(self._freed)

    def begin_end(self) -> bool:
        """Start nothing more; True if there are actors, which `stop_all` ends or hands over."""
        if not self._ending:
            self._ending = True
            self._last = list(self._actors.values())
            self._movers = {one for one in self._last if not one.acting.done()}
        return bool(self._last)

    async def stop_all(self, reason: str, grace: float) -> list[str]:
        """End all actors at once, for good; returns the names of those that did not end."""
        self.begin_end()
        ends = await asyncio.gather(
            *(self._hand_over(one, reason, grace) for one in self._last), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, GridError):
                raise end
        return [end.name for end in ends if isinstance(end, ActorStillRunning)]

    async def _hand_over(self, actor: RunningActor, reason: str, grace: float) -> None:
        await self._end(actor, reason, grace)
        if self._definitions[actor.context.type].moves and actor in self._movers:
            await self._handover.start(actor.context)

    async def move(self, name: str, peer: str, grace: float) -> None:
        """End an actor as `stop` does, and start it on another peer; if that fails, here again.

        Raises:
            UnknownActor, ActorStillRunning: it was not ended.
            RequestFailed: the other peer, asked first, does not take it; its cause says why.
        """
        context = (actor := self._found(name)).context
        if await self._handover.ask(context, peer):
            return
        if self._found(name) is not actor:  # it has ended, and started again, in between
            raise UnknownActor(name)
        await self._end(actor, f"it moves to peer {peer}", grace)
        try:
            await self._handover.start_on(context, peer)
        except GridError as error:
            if await self._start_again(context, peer, error):
                return
            # A sender would take it for safe to send again, and end the actor each time.
            raise from_actor(error) from error

    async def _start_again(self, context: ActorContext, peer: str, error: GridError) -> bool:
        """Start an actor here that did not move; True if it did move, and the answer was lost."""
        try:
            await self.start(context.type, context.name, context.data)
        except AlreadyRegistered as held:
            return held.peer == peer
        except GridError as failure:
            text = "actor %s runs nowhere: it was to move to peer %s (%s), and here: %s"
            _log.error(text, context.id, peer, error, failure, extra=context._log_fields())
        return False

    def hurry(self, reason: str) -> None:
        """Cancel all actors now, whatever grace they were given, and give them up soon."""
        for actor in self._actors.values():
            actor.acting.cancel(reason)
        self._hurried.set()

    async def wait_ended(self) -> None:
        """Return once no actor runs any more; say which ones take long."""
        while lives := [actor.life for actor in self._actors.values()]:
            done, _ = await asyncio.wait(lives, timeout=_SAY_STUCK_AFTER)
            if not done:
                _log.warning("still running after they were cancelled: %s", ", ".join(self._actors))

    def lose_all(self, error: LeaseLost) -> None:
        """Cancel all actors: their names are no longer theirs."""
        for actor in self._actors.values():
            for mailbox in actor.mailboxes:
                mailbox._lose(error)
            actor.lose(error)

    def cut(self, reason: str) -> None:
        """Cancel all actors as if the process were killed: they save nothing, and none follows."""
        self._ending = True
        for actor in self._actors.values():
            actor.context._cut_state(reason)
        self.lose_all(LeaseLost(reason))

    def lose(self, key: str, error: LeaseLost) -> None:
        """Cancel the actor that holds this full name, or a mailbox of it."""
        for actor in self._actors.values():
            if key == actor.context.id or any(key == one.key for one in actor.mailboxes):
                actor.lose(error)

    async def _end(self, actor: RunningActor, reason: str, grace: float) -> None:
        await actor.end(reason, grace, self._hurried)
        await self._wait_freed(actor)

    async def _wait_freed(self, actor: RunningActor) -> None:
        over = Deadline.after(HURRIED_UNWIND if self._hurried.is_set() else UNWIND)
        while not actor.life.done():
            await asyncio.wait([actor.life], timeout=_FREE_POLL)
            membership = self._peer.membership
            if actor.life.done() or membership is None:
                return
            if membership.claims.trouble is not None:
                raise copy(membership.claims.trouble)
            if over.passed:
                raise EtcdUnavailable(
                    f"actor {actor.context.name!r} has ended, its names are not free yet"
                )
