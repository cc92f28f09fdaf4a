"""The keeper: an actor on one of the peers that starts kept actors, and starts them again.

It is elected as the leader is, among the peers that declare kept actors and may lead, so that it
is there whether or not the application has a leader of its own. It watches the peers and the
names of kept actors, and takes the steps that `grid.registry.keeping` decides. Two keepers, should
a frozen one wake up, do no harm: a name has one owner, whichever of them starts it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any

from grid.actor import ActorContext
from grid.deadline import now
from grid.errors import (
    AlreadyRegistered,
    DeadlineExceeded,
    EtcdError,
    GridError,
    NotDelivered,
    OutcomeUnknown,
    UnknownActor,
    UnknownActorType,
)
from grid.etcd import EtcdClient
from grid.registry.entities import Entity, entity_of
from grid.registry.keeping import Pacing, Start, declared, steps
from grid.registry.names import Kind, prefix

__all__ = ["KEEPER", "Keeper"]

_log = logging.getLogger("grid.keeper")

KEEPER = "grid-keeper"

_REST = 1.0  # seconds between a watch that failed and the next
_AVOID = 5.0  # seconds for which a peer that could not be reached is left alone
_SOON = 0.5  # seconds from a step to the next look
_LONGEST_LOOK = 30.0  # seconds between looks without a change
_MAX_CONCURRENT = 32  # starts under way on one peer, and stops under way
_TIMEOUT = 5.0  # seconds for a peer to start an actor
# Errors of a peer, after which another one may do better. The actor may run there all the same;
# the watch tells it then.
_AVOIDABLE = (NotDelivered, UnknownActorType, DeadlineExceeded, OutcomeUnknown)


class _Followed:
    """The entities under a prefix, kept current by a watch."""

    def __init__(self, etcd: EtcdClient, kind: Kind, start: str, more: str = "") -> None:
        self.entities: dict[str, Entity] = {}
        self.loaded = False
        self._etcd = etcd
        self._kind = kind
        self._start = start
        self._prefix = start + more

    async def follow(self, changed: asyncio.Event) -> None:
        """Keep them current, and set the event at each change, until cancelled."""
        while True:
            try:
                async with self._etcd.watch(self._prefix) as watch:
                    async for batch in watch:
                        if batch.snapshot:
                            self.entities.clear()
                        for change in batch.changes:
                            self.entities.pop(change.key, None)
                            if change.current is not None:
                                found = entity_of(self._kind, change.current, len(self._start))
                                if found is not None:
                                    self.entities[change.key] = found
                        self.loaded = True
                        changed.set()
            except EtcdError as error:
                _log.warning("going on with what was known of %s: %s", self._prefix, error)
            await asyncio.sleep(_REST)


class Keeper:
    """The actor that keeps others.

    Args:
        etcd: where peers and names are watched.
    """

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._changed = asyncio.Event()
        self._pacing = Pacing()
        self._avoided: dict[str, float] = {}  # peers, and until when
        self._said: set[str] = set()
        self._actors: dict[str, tuple[_Followed, asyncio.Task[None]]] = {}
        self._stop_slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._start_slots: dict[str, asyncio.Semaphore] = {}  # of each peer
        self._doing: dict[str, asyncio.Task[None]] = {}  # starts and stops, by the actor's name

    async def act(self, ctx: ActorContext) -> None:
        """Keep the declared actors until cancelled."""
        peers = _Followed(self._etcd, Kind.PEER, prefix(ctx.namespace, Kind.PEER))
        following = self._follow(peers, "keeper: peers")
        try:
            while True:
                pause = _LONGEST_LOOK
                if peers.loaded:
                    there = list(peers.entities.values())
                    self._follow_types(ctx.namespace, declared(there))
                    pause = await self._look(ctx, there)
                await self._change_within(pause)
                for task in self._following(following):
                    if task.done():
                        await task  # which raises: the next keeper starts from the beginning
        finally:
            tasks = [*self._following(following), *self._doing.values()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _follow(self, followed: _Followed, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(followed.follow(self._changed), name=name)
        task.add_done_callback(lambda _: self._changed.set())
        return task

    def _following(self, peers: asyncio.Task[None]) -> list[asyncio.Task[None]]:
        return [peers, *(task for _, task in self._actors.values())]

    async def _change_within(self, seconds: float) -> None:
        try:
            # Not `wait_for`: on Python 3.11 it forgets a cancellation that comes with a change.
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _follow_types(self, namespace: str, types: Collection[str]) -> None:
        # One watch for each, not one for all actors: of those there may be a million.
        for one in types:
            if one not in self._actors:
                start = prefix(namespace, Kind.ACTOR)
                followed = _Followed(self._etcd, Kind.ACTOR, start, f"{one}-")
                self._actors[one] = followed, self._follow(followed, f"keeper: actors {one}-")

    async def _look(self, ctx: ActorContext, peers: list[Entity]) -> float:
        """Begin the steps that are due; seconds until the next look without a change."""
        self._end_steps()
        followed = [one for one, _ in self._actors.values()]
        if not all(one.loaded for one in followed):
            return _LONGEST_LOOK
        names = {one.name for one in peers}
        for gone in self._start_slots.keys() - names:
            del self._start_slots[gone]
        at = now()
        self._avoided = {peer: until for peer, until in self._avoided.items() if until > at}
        actors = [actor for one in followed for actor in one.entities.values()]
        todo = steps(peers, actors, self._avoided.keys())
        self._say(todo.blocked, "the name %r is kept, but an actor of another type has it")
        self._say(
            [one.name for one in todo.starts if not one.peer],
            "%r cannot be started now: no peer that defines its type can be reached",
        )
        waits = [until - at for until in self._avoided.values()]
        for name in todo.stops:
            if name not in self._doing:
                self._begin(name, self._stop(ctx, name))
        for one in todo.starts:
            if one.name in self._doing:
                continue
            wait = self._pacing.wait(one.name, at)
            if wait > 0:
                waits.append(wait)
            elif one.peer:
                self._pacing.started(one.name, at)
                self._begin(one.name, self._start(ctx, one))
        if self._doing:
            waits.append(_SOON)
        return min([_LONGEST_LOOK, *waits])

    def _begin(self, name: str, step: Coroutine[Any, Any, None]) -> None:
        # Not waited for: a peer that does not answer is not to hold up what others can do.
        self._doing[name] = asyncio.create_task(step, name=f"keeper: {name}")

    def _end_steps(self) -> None:
        for name, task in tuple(self._doing.items()):
            if task.done():
                del self._doing[name]
                task.result()  # raises what is no error of the grid: the next keeper starts over

    def _say(self, names: Collection[str], text: str) -> None:
        for name in names:
            line = text % name
            if line not in self._said:
                self._said.add(line)
                _log.warning("%s", line)

    async def _start(self, ctx: ActorContext, one: Start) -> None:
        slots = self._start_slots.setdefault(one.peer, asyncio.Semaphore(_MAX_CONCURRENT))
        async with slots:
            if one.peer in self._avoided:
                return  # it did not answer meanwhile
            try:
                await ctx.client.start_actor(
                    one.type, name=one.name, peer=one.peer, timeout=_TIMEOUT
                )
            except AlreadyRegistered:
                return  # the watch will tell
            except GridError as error:
                if isinstance(error, _AVOIDABLE):
                    self._avoided[one.peer] = now() + _AVOID
                _log.warning("%r did not start on %s: %s", one.name, one.peer, error)
            else:
                _log.info("%r was started on %s", one.name, one.peer)

    async def _stop(self, ctx: ActorContext, name: str) -> None:
        async with self._stop_slots:
            try:
                await ctx.client.stop_actor(name)
            except UnknownActor:
                return
            except GridError as error:
                _log.warning("%r, which is not kept, did not stop: %s", name, error)
            else:
                _log.info("%r, which is not kept, was stopped", name)
