"""Balance: the moves after which actors are where a start would place them now. Pure.

Kept actors are spread: the peers of their type differ by one of them at most. Activated and movable
actors belong to the peer that the hash of their name leads to, as `Client.start_actor` has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from grid.registry.registration import Registration
from grid.registry.ring import Ring

__all__ = ["Move", "moves"]


@dataclass(frozen=True, slots=True)
class Move:
    """An actor that another peer shall have.

    Attributes:
        name: of the actor.
        type: its definition.
        source: the peer that it runs on.
        target: the peer that it shall run on.
    """

    name: str
    type: str
    source: str
    target: str


def moves(
    peers: Collection[Registration],
    actors: Iterable[Registration],
    types: Collection[str] | None = None,
) -> list[Move]:
    """The moves, in the order of the names.

    Args:
        peers: those that are registered.
        actors: those that run.
        types: the types to balance; None for all.
    """
    kept = {type_ for one in peers for type_, amount in one.keep if isinstance(amount, int)}
    placed = {type_ for one in peers for type_ in (*one.activates, *one.moves)} - kept
    homes: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    for peer in peers:
        for type_ in peer.types:
            if types is None or type_ in types:
                homes[type_][peer.peer] = []
    for actor in actors:
        # One whose peer does not offer its type, as it drains, is that peer's affair.
        if actor.peer in homes.get(actor.type, ()):
            homes[actor.type][actor.peer].append(actor.key.rpartition(".")[2])
    found: list[Move] = []
    for type_, there in homes.items():
        if type_ in kept:
            found.extend(_spread(type_, there))
        elif type_ in placed:
            found.extend(_placed(type_, there))
    return sorted(found, key=lambda one: one.name)


def _spread(type: str, there: dict[str, list[str]]) -> Iterator[Move]:  # noqa: A002
    for names in there.values():
        names.sort()
    while True:
        fullest = max(there, key=lambda peer: (len(there[peer]), peer))
        emptiest = min(there, key=lambda peer: (len(there[peer]), peer))
        if len(there[fullest]) - len(there[emptiest]) <= 1:
            return
        name = there[fullest].pop()
        there[emptiest].insert(0, name)
        yield Move(name, type, fullest, emptiest)


def _placed(type: str, there: dict[str, list[str]]) -> Iterator[Move]:  # noqa: A002
    ring = Ring(there)
    for peer, names in there.items():
        for name in names:
            owner = ring.owner(name)
            if owner != peer:
                yield Move(name, type, peer, owner)
