"""The workers that a peer may have, and the reason for which it takes no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.settings import PoolSettings

__all__ = ["Capacity", "Room", "place_of", "room_for"]

_MANY = 1 << 30


@dataclass(frozen=True, slots=True)
class Capacity:
    """Capacity of a peer, all and free, as its agent measured it.

    Attributes:
        cpus, free_cpus: processors.
        memory, free_memory: bytes.
        workers: of the kind that it had at that moment.
    """

    cpus: float = 0.0
    free_cpus: float = 0.0
    memory: int = 0
    free_memory: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """Room of a peer.

    Attributes:
        workers: of the kind that it may have in all.
        refusal: why it may have no more than these.
    """

    workers: int
    refusal: str


def room_for(settings: PoolSettings, annotations: Iterable[str], capacity: Capacity) -> Room:
    """The number of workers that a peer may have.

    A worker has its place also while it idles, so no more are started than the peer has processors
    and memory for in all; and what others use there is not free for more.
    """
    missing = sorted({*settings.annotations} - {*annotations})
    if missing:
        return Room(0, f"it lacks the annotation {', '.join(missing)}")
    found = [Room(settings.per_peer, f"it has {settings.per_peer}, the limit of a peer")]
    if not settings.per_peer:
        found = [Room(_MANY, "")]
    if settings.cpus:
        whole = int(capacity.cpus / settings.cpus)
        more = capacity.workers + max(0, int(capacity.free_cpus / settings.cpus))
        text = (
            f"{max(0.0, capacity.free_cpus):.1f} of its {capacity.cpus:g} processors are free; "
            f"a worker needs {settings.cpus:g}"
        )
        found.append(Room(min(whole, more), text))
    if settings.room:
        whole = capacity.memory // settings.room
        more = capacity.workers + capacity.free_memory // settings.room
        text = (
            f"{_mib(capacity.free_memory)} of its {_mib(capacity.memory)} MiB of memory are free; "
            f"a worker needs {_mib(settings.room)}"
        )
        found.append(Room(min(whole, more), text))
    return min(found, key=lambda one: one.workers)


def place_of(spread: str, peer: str, annotations: Iterable[str]) -> str:
    """The place over which workers are spread: the value of an annotation, else the peer."""
    for one in annotations:
        name, _, value = one.partition("=")
        if spread and name == spread:
            return value
    return "" if spread else peer


def _mib(size: int) -> int:
    return size >> 20
