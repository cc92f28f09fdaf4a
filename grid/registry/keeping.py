"""Kept actors: those that a namespace shall always have, and the steps that lead there.

A definition may say how many of its actors there shall be: one on each peer that defines the
type, or N in the namespace. Peers register these declarations; where peers differ, as in a
rolling update, the one that joined last is followed. This module compares declarations with the
actors that are there. It is pure: registrations go in, steps come out.

The actors of a type that is kept N times are named `<type>-0` to `<type>-<N-1>`, those of one kept
on each peer `<type>-<peer>`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from grid.errors import InvalidArgument
from grid.registry.entities import Entity
from grid.registry.registration import EACH_PEER, Amount, is_amount

__all__ = [
    "EACH_PEER",
    "Amount",
    "Pacing",
    "Start",
    "Steps",
    "check_keep",
    "declared",
    "kept",
    "steps",
]

_FIRST_PAUSE = 0.2  # seconds between a start and the next one of the same name; doubles each time
_LONGEST_PAUSE = 30.0
_WITHIN = 60.0  # seconds in which starts of a name are counted


def check_keep(keep: Amount | None) -> Amount | None:
    """The argument itself; raises `InvalidArgument` if it is no such amount."""
    if keep is not None and not is_amount(keep):
        raise InvalidArgument("keep", keep, f'a whole number from 1, or "{EACH_PEER}"')
    return keep


@dataclass(frozen=True, slots=True)
class Start:
    """An actor to start.

    Attributes:
        type: its definition.
        name: its name.
        peer: the peer to start it on; empty if no peer that defines the type can be tried now.
    """

    type: str
    name: str
    peer: str


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps from the actors that are there to those that shall be.

    Attributes:
        starts: actors to start.
        stops: names of actors that are too many, or on another peer than their own.
        blocked: names that are held by an actor of another type.
    """

    starts: tuple[Start, ...] = ()
    stops: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


def declared(peers: Iterable[Entity]) -> dict[str, Amount]:
    """The amount of each type that is kept; of several, that of the peer that joined last."""
    found: dict[str, Amount] = {}
    for peer in sorted(peers, key=lambda one: one.epoch):
        found.update(peer.keep)
    return found


def kept(
    type: str,  # noqa: A002
    amount: Amount,
    peers: Iterable[Entity],
) -> dict[str, str]:
    """The names that a type shall have, each with its own peer; empty for any peer."""
    if amount == EACH_PEER:
        return {f"{type}-{one.name}": one.name for one in peers if type in one.types}
    return {f"{type}-{number}": "" for number in range(int(amount))}


def steps(
    peers: Collection[Entity], actors: Iterable[Entity], avoid: Collection[str] = ()
) -> Steps:
    """The steps to take.

    Args:
        peers: those that are registered.
        actors: the actors whose names may be those of kept ones; others do no harm.
        avoid: peers that could not be reached lately.
    """
    there = {one.name: one for one in actors}
    starts: list[Start] = []
    stops: list[str] = []
    blocked: list[str] = []
    for type_, amount in sorted(declared(peers).items()):
        wanted = kept(type_, amount, peers)
        load = Counter({one.name: 0 for one in peers if type_ in one.types})
        missing: list[str] = []
        for name, own in wanted.items():
            actor = there.get(name)
            if actor is None:
                missing.append(name)
            elif actor.type != type_:
                blocked.append(name)
            elif own and actor.peer != own:
                stops.append(name)
            else:
                load[actor.peer] += 1
        if amount != EACH_PEER:
            stops.extend(_surplus(type_, int(amount), there))
        for peer in avoid:
            load.pop(peer, None)
        for name in missing:
            peer = wanted[name] or min(load, key=lambda one: (load[one], one), default="")
            if peer in load:
                load[peer] += 1
            starts.append(Start(type_, name, peer if peer in load else ""))
    return Steps(tuple(starts), tuple(stops), tuple(blocked))


def _surplus(type: str, amount: int, there: Mapping[str, Entity]) -> Iterator[str]:  # noqa: A002
    own = re.compile(re.escape(type) + r"-(0|[1-9][0-9]*)")
    for name, actor in there.items():
        found = own.fullmatch(name)
        if found and int(found[1]) >= amount and actor.type == type:
            yield name


class Pacing:
    """Pauses between starts of one name, so that an actor that fails at once does not spin."""

    def __init__(self) -> None:
        self._starts: dict[str, deque[float]] = {}

    def wait(self, name: str, at: float) -> float:
        """Seconds until the name may be started; `at` is now, in seconds of any clock."""
        starts = self._starts.get(name)
        while starts and starts[0] <= at - _WITHIN:
            starts.popleft()
        if not starts:
            self._starts.pop(name, None)
            return 0.0
        pause = min(_FIRST_PAUSE * 2.0 ** (len(starts) - 1), _LONGEST_PAUSE)
        return max(0.0, starts[-1] + pause - at)

    def started(self, name: str, at: float) -> None:
        """Note a start, whatever came of it."""
        self._starts.setdefault(name, deque(maxlen=16)).append(at)
