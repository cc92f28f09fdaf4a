"""Rules that a set of states must keep before a machine can be made of it."""

from __future__ import annotations

import keyword
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from machine.errors import Problem, did_you_mean, near_names
from machine.schema.state import EXCEPTION, RELATIONS, Relation, State

__all__ = ["check", "check_groups", "check_names", "check_order", "require_cycles"]

_PHASES = ("Enter", "Exit", "State", "End")
_ANY_PHASES = ("Enter", "State")


def check(states: Mapping[str, State]) -> list[Problem]:
    """All problems of these normalised states (EXCEPTION among them)."""
    problems = check_names(states)
    problems += _unknown(states)
    problems += _contradictions(states)
    problems += _cycles(states)
    problems += _ambiguous(tuple(states))
    return problems


def check_names(names: Iterable[str]) -> list[Problem]:
    """Names that cannot be a state's."""
    problems = []
    for name in names:
        if name == "Any":
            text = (
                "a state cannot be called 'Any': AnyEnter and AnyState are handlers of all states; "
                "choose another name"
            )
            problems.append(Problem("reserved-name", name, text=text))
        elif not name.isidentifier() or keyword.iskeyword(name):
            what = "empty" if not name else repr(name)
            text = (
                f"the state name {what} is no identifier; "
                "use letters, digits and underscores, as in 'DoorOpen'"
            )
            problems.append(Problem("bad-name", name, text=text))
    return problems


def check_order(order: Sequence[str], names: Iterable[str]) -> list[Problem]:
    """The differences between `order` and the set of `names`."""
    known = dict.fromkeys(names)
    problems = []
    for name, count in Counter(order).items():
        if name not in known:
            near = did_you_mean(near_names(name, known), name)
            text = f"order= has {name!r}, which is no state{near or '; take it out'}"
            problems.append(Problem("order-unknown", name, text=text))
        elif count > 1:
            text = f"order= has {name!r} {count} times; name each state once"
            problems.append(Problem("order-duplicate", name, text=text))
    given = set(order)
    for name in known:
        if name not in given and name != EXCEPTION:
            text = f"order= lacks {name!r}; it must name every state"
            problems.append(Problem("order-missing", name, text=text))
    return problems


def check_groups(groups: Mapping[str, Sequence[str]], names: Iterable[str]) -> list[Problem]:
    """Groups with names that are no states, and groups that cannot be told from a state."""
    known = dict.fromkeys(names)
    problems = []
    for group, members in groups.items():
        for name in members:
            if name not in known:
                near = did_you_mean(near_names(name, known), name)
                text = f"group {group!r} has {name!r}, which is no state{near or '; take it out'}"
                problems.append(Problem("group-unknown", name, other=group, text=text))
    return problems


def _unknown(states: Mapping[str, State]) -> Iterator[Problem]:
    for name, state in states.items():
        for kind in RELATIONS:
            for other in state.relation(kind):
                if other not in states:
                    near = did_you_mean(near_names(other, states), other)
                    fix = near or f"; define {other!r} or drop the relation"
                    text = f"{name!r} has {kind}={other!r}, which is no state{fix}"
                    yield Problem("unknown-state", name, kind.value, other, text)


def _contradictions(states: Mapping[str, State]) -> Iterator[Problem]:
    for name, state in states.items():
        for other in state.require:
            if other in state.remove and other != name:
                text = (
                    f"{name!r} both requires and removes {other!r}, so it can never be active; "
                    "drop one of the two"
                )
                yield Problem("require-and-remove", name, Relation.REQUIRE.value, other, text)


def _cycles(states: Mapping[str, State]) -> Iterator[Problem]:
    for cycle in require_cycles(states):
        first = cycle[0]
        if len(cycle) == 1:
            text = f"{first!r} requires itself; drop it from require"
        else:
            shown = " -> ".join((*cycle, first))
            text = (
                f"these states require each other, so none can be first: {shown}; "
                "drop one require, or use add"
            )
        other = cycle[1] if len(cycle) > 1 else first
        yield Problem("require-cycle", first, Relation.REQUIRE.value, other, text)


def require_cycles(
    states: Mapping[str, State], relation: Relation = Relation.REQUIRE
) -> list[tuple[str, ...]]:
    """Cycles of a relation, each as the names along it; at least one for every knot of cycles."""
    done: set[str] = set()
    cycles: list[tuple[str, ...]] = []
    for root in states:
        if root not in done:
            _walk(states, relation, root, done, cycles)
    return cycles


def _walk(
    states: Mapping[str, State],
    relation: Relation,
    root: str,
    done: set[str],
    cycles: list[tuple[str, ...]],
) -> None:
    path: dict[str, Iterator[str]] = {root: iter(states[root].relation(relation))}
    while path:
        name = next(reversed(path))
        following = next((one for one in path[name] if one in states and one not in done), None)
        if following is None:
            done.add(name)
            del path[name]
        elif following in path:
            along = list(path)
            cycles.append(tuple(along[along.index(following) :]))
        else:
            path[following] = iter(states[following].relation(relation))


def _ambiguous(names: tuple[str, ...]) -> Iterator[Problem]:
    """Method names that can be read as the handlers of two different things.

    Two readings `X + tail` and `Y + tail` of one text mean that X is the beginning of Y, so only
    such pairs are looked at; a state called like a phase collides with the phase itself.
    """
    for name in names:
        if name in _PHASES:
            text = (
                f"a state called {name!r} makes every Foo{name} ambiguous (the {name} of Foo, or "
                f"from Foo to {name}); choose another name"
            )
            yield Problem("ambiguous-handler", name, text=text)
    known = set(names) - set(_PHASES)
    tails = sorted({*known, *_PHASES})
    heads = {*known, "Any"}
    for longer in names:
        for cut in range(1, len(longer)):
            shorter = longer[:cut]
            if shorter in heads:
                yield from _collisions(shorter, longer, tails)


def _collisions(shorter: str, longer: str, tails: list[str]) -> Iterator[Problem]:
    between = longer[len(shorter) :]
    allowed = _ANY_PHASES if shorter == "Any" else None
    at = bisect_left(tails, between)
    while at < len(tails) and tails[at].startswith(between):
        tail, rest = tails[at], tails[at][len(between) :]
        at += 1
        if not rest or (allowed and tail not in allowed):
            continue
        spot = bisect_left(tails, rest)
        if spot < len(tails) and tails[spot] == rest:
            text = (
                f"the handler name {shorter}{tail} can be read as {_reading(shorter, tail)} and as "
                f"{_reading(longer, rest)}; rename one of the states"
            )
            yield Problem("ambiguous-handler", shorter, other=longer, text=text)


def _reading(head: str, tail: str) -> str:
    return f"the {tail} of {head}" if tail in _PHASES else f"from {head} to {tail}"
