"""Frames around states: groups, and states that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from machine.schema.schema import Schema

__all__ = ["Frame", "frames_of"]

_MOST_PAIRS = 400  # states; with more the search for states that exclude each other is skipped


@dataclass(frozen=True, slots=True)
class Frame:
    """States drawn together. `exclusive`: each removes all others, so at most one is active."""

    title: str
    members: tuple[str, ...]
    exclusive: bool

    @property
    def heading(self) -> str:
        """The text above it."""
        if not self.exclusive:
            return self.title
        return f"{self.title}: at most one" if self.title else "at most one"


def frames_of(
    schema: Schema, names: Sequence[str], *, exclusive: bool
) -> tuple[tuple[Frame, ...], dict[str, tuple[str, ...]]]:
    """The frames, no state in two of them, and the groups that have none because of that."""
    frames: list[Frame] = []
    taken: set[str] = set()
    unframed: dict[str, tuple[str, ...]] = {}
    known = {
        group: Frame(group, members, exclusive and _excluding(schema, members))
        for group, members in schema.groups.items()
        if len(members) > 1
    }
    for frame in sorted(known.values(), key=_rank):
        if taken.isdisjoint(frame.members):
            frames.append(frame)
            taken.update(frame.members)
        else:
            unframed[frame.title] = frame.members
    if exclusive and len(names) <= _MOST_PAIRS:
        free = [name for name in names if name not in taken]
        frames += [Frame("", members, True) for members in _cliques(schema, free, names)]
    place = {name: at for at, name in enumerate(names)}
    frames.sort(key=lambda frame: min(place[name] for name in frame.members))
    return tuple(frames), {group: unframed[group] for group in known if group in unframed}


def _rank(frame: Frame) -> tuple[bool, int]:
    """The largest that exclude each other first; then the smallest of the others."""
    return not frame.exclusive, len(frame.members) * (-1 if frame.exclusive else 1)


def _excluding(schema: Schema, members: Iterable[str]) -> bool:
    return all(_mutual(schema, one, other) for one, other in combinations(members, 2))


def _mutual(schema: Schema, one: str, other: str) -> bool:
    return other in schema[one].remove and one in schema[other].remove


def _cliques(schema: Schema, free: list[str], names: Sequence[str]) -> list[tuple[str, ...]]:
    """States that all exclude each other: three or more, or two that exclude no others."""
    everywhere = _neighbours(schema, names)
    found = []
    left = dict.fromkeys(free)
    while True:
        best = max((_grown(name, everywhere, left) for name in left), key=len, default=())
        if len(best) < 3:
            break
        found.append(best)
        for name in best:
            del left[name]
    for name in tuple(left):
        others = everywhere[name]
        if len(others) == 1 and others[0] in left and everywhere[others[0]] == [name]:
            found.append((name, others[0]))
            del left[name]
            del left[others[0]]
    return found


def _neighbours(schema: Schema, names: Sequence[str]) -> dict[str, list[str]]:
    return {
        name: [one for one in schema[name].remove if name in schema[one].remove] for name in names
    }


def _grown(name: str, neighbours: dict[str, list[str]], left: dict[str, None]) -> tuple[str, ...]:
    members = {name}
    for other in neighbours[name]:
        if other in left and members.issubset(neighbours[other]):
            members.add(other)
    return tuple(one for one in left if one in members)
