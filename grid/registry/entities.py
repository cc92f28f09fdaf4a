"""The entities of a namespace: snapshots and watches."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from grid.errors import ClientClosed
from grid.etcd import Change, EtcdClient, KeyValue, Watch
from grid.registry.names import Kind, prefix
from grid.registry.registration import Amount, MalformedRegistration, decode_registration

__all__ = ["Entity", "EntityEvent", "EntityFound", "EntityLost", "EntityWatch", "Kind", "entities"]

_log = logging.getLogger("grid.query")


@dataclass(frozen=True, slots=True)
class Entity:
    """A peer, an actor or a mailbox.

    Attributes:
        kind: which of the three.
        name: its short name.
        peer: the name of the peer it is on (a peer is on itself).
        address: where that peer is dialled.
        epoch: grows with each new registration of the name.
        lease: the id of the peer's lease.
        annotations: what a peer says of itself; empty for the others.
        type: the type of an actor, or of a mailbox that was opened with one; else empty.
        types: the actor types that a peer defined when it joined; empty for other kinds.
        keep: how many actors of a type there shall always be, as a peer declares it.
    """

    kind: Kind
    name: str
    peer: str
    address: str
    epoch: int
    lease: int
    annotations: tuple[str, ...] = ()
    type: str = ""
    types: tuple[str, ...] = ()
    keep: tuple[tuple[str, Amount], ...] = ()


@dataclass(frozen=True, slots=True)
class EntityFound:
    """An entity is there: it was when the watch began, or came since, or changed."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class EntityLost:
    """An entity is gone; as it was last."""

    entity: Entity


EntityEvent = EntityFound | EntityLost


def entity_of(kind: Kind, stored: KeyValue, start: int) -> Entity | None:
    """The entity in a stored value; None, with a warning, if it is not one.

    Args:
        kind: what it is.
        stored: the key and value.
        start: characters of the key before the name.
    """
    try:
        found = decode_registration(stored)
    except MalformedRegistration as error:
        _log.warning("skipped, not a registration: %s", error)
        return None
    return Entity(
        kind,
        stored.key[start:],
        found.peer,
        found.address,
        found.epoch,
        found.lease,
        found.annotations,
        found.type,
        found.types,
        found.keep,
    )


def entities(kind: Kind, stored: list[KeyValue], start: int) -> Iterator[Entity]:
    """The entities in stored values, in their order."""
    for one in stored:
        entity = entity_of(kind, one, start)
        if entity is not None:
            yield entity


class EntityWatch:
    """All entities of a kind as `EntityFound`, then every change, in order.

    Use it as `async with client.watch(Kind.PEER) as events: async for event in events:`.
    What there is is read when the block is entered, so every change that comes after
    that is seen, also one that the block itself causes before it iterates.
    It survives the loss of connections and of etcd members without missing a
    change. Entering and iterating raise `EtcdUnavailable` when etcd cannot be had for
    longer than the watch's patience. The iteration ends when the client closes; it
    never just goes silent.
    """

    def __init__(self, etcd: EtcdClient, namespace: str, kind: Kind, *, patience: float) -> None:
        self.kind = kind
        self._start = len(prefix(namespace, kind))
        self._watch: Watch = etcd.watch(prefix(namespace, kind), patience=patience)
        self._events: deque[EntityEvent] = deque()

    async def __aenter__(self) -> Self:
        try:
            await self._read()
        except StopAsyncIteration:
            raise ClientClosed from None
        except BaseException:
            await self._watch.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._watch.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EntityEvent:
        while not self._events:
            await self._read()
        return self._events.popleft()

    async def _read(self) -> None:
        batch = await anext(self._watch)
        for change in batch.changes:
            self._events.extend(self._event(change))

    def _event(self, change: Change) -> Iterator[EntityEvent]:
        found = change.current and entity_of(self.kind, change.current, self._start)
        if found:
            yield EntityFound(found)
        elif change.previous is not None:
            lost = entity_of(self.kind, change.previous, self._start)
            if lost:
                yield EntityLost(lost)
