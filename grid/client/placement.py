"""Placement: the peers to start an actor on, in the order in which they are tried. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from grid.errors import InvalidArgument, PeerFull
from grid.registry.registration import Registration

__all__ = [
    "PeerLoad",
    "Place",
    "able",
    "check_place",
    "chosen",
    "lacking",
    "least_loaded",
    "passed_over",
]


@dataclass(frozen=True, slots=True)
class PeerLoad:
    """A peer that may take an actor.

    Attributes:
        name: its name.
        annotations: what it says of itself.
        actors: those that run on it; 0 of a peer that does not tell, such as a Go peer.
        slots: how many it runs at most; None for no limit.
    """

    name: str
    annotations: tuple[str, ...]
    actors: int = 0
    slots: int | None = None

    @property
    def free(self) -> bool:
        """True if it has a slot for one more."""
        return self.slots is None or self.actors < self.slots


Place = Literal["name", "spread"] | Callable[[Sequence[PeerLoad]], Iterable[str]]


def check_place(place: object) -> None:
    """Raise `InvalidArgument` unless it is a way to choose a peer."""
    if place not in ("name", "spread") and not callable(place):
        raise InvalidArgument("place", place, '"name", "spread" or a function of the peers')


def able(
    peers: Iterable[Registration],
    type: str,  # noqa: A002
    annotations: Iterable[str],
) -> dict[str, Registration]:
    """The peers that carry the annotations and may have the type, by name."""
    wanted = set(annotations)
    found = {peer.peer: peer for peer in peers if wanted <= set(peer.annotations)}
    if not any(type in one.types for one in found.values()):
        return found  # it may have been defined after its peer joined
    # Go peers do not say what they define.
    return {name: one for name, one in found.items() if not one.session or type in one.types}


def least_loaded(loads: Iterable[PeerLoad]) -> list[str]:
    """The peers with free slots, the least loaded first: by share of slots, then by actors."""

    def load(one: PeerLoad) -> tuple[float, int, str]:
        return (one.actors / one.slots if one.slots else 0.0, one.actors, one.name)

    return [one.name for one in sorted((one for one in loads if one.free), key=load)]


def lacking(peers: Iterable[Registration], annotations: Iterable[str]) -> dict[str, str]:
    """Why peers are not able, by name: the annotations that they do not carry."""
    wanted = list(annotations)
    found = {}
    for one in peers:
        missing = [text for text in wanted if text not in one.annotations]
        if missing:
            found[one.peer] = f"it has no annotation {', '.join(missing)}"
    return found


def passed_over(place: Place, loads: Iterable[PeerLoad]) -> dict[str, str]:
    """Why peers were not chosen by load, by name."""
    if callable(place):
        return {one.name: "the function given as place did not choose it" for one in loads}
    return {one.name: str(PeerFull(one.name, one.slots or 0)) for one in loads if not one.free}


def chosen(place: Place, loads: Sequence[PeerLoad]) -> list[str]:
    """The names of peers in the order of a placement by load.

    Raises:
        InvalidArgument: a function returned what is no name of these peers.
    """
    if not callable(place):
        return least_loaded(loads)
    found = place(loads)
    names = [found] if isinstance(found, str) else list(found)
    known = {one.name for one in loads}
    for name in names:
        if name not in known:
            raise InvalidArgument("what place returned", name, "names of the peers it was given")
    return names
