"""A schema compiled: what every mutation comes to, worked out once.

Theory of operation
-------------------

What a mutation does depends on three things only: the active states in their
order, the kind of the mutation, and the called states. Handlers may reject it,
but they cannot change its target. So the outcome is a function, and it is
memoised: a `Configuration` is an ordered set of active states, and each knows
the `Move`s that lead out of it. A machine only holds its configuration and its
ticks; all machines of one schema share configurations and moves. After the
first time a mutation is one lookup, however many states and relations there
are.

How a target is resolved (reference 2.3), from the called states followed by
the active ones:

1. states named in Add come along, one level;
2. states whose Require is not met are dropped, until nothing is;
3. from the last to the first, a state is blocked if another one that is not
   blocked itself has it in its Remove. The active ones stand last and are
   judged first, so what is called wins;
4. the states that are left bring along their Add once more (the second level),
   less what they Remove; Require is looked at again;
5. the rest is put in the order of handlers, which is the order of the active
   states from then on.

A state that was active and is not Multi does not bring along its Add again.

The memo is bounded: when there are too many moves it is dropped, and grows
again. Machines that hold an old configuration go on with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from machine.rules.kinds import Kind
from machine.rules.ordering import sort_stable, topology
from machine.schema.arguments import needs_args
from machine.waits.result import CANCELED, EXECUTED, Result

if TYPE_CHECKING:
    from machine.core.handlers import Handler
    from machine.core.plans import Shape
    from machine.schema.schema import Schema

__all__ = ["Compiled", "Configuration", "Move", "compiled_of"]

_MOST_MOVES = 50_000
_HEALTH = ({"Healthcheck"}, {"Heartbeat"})

Called = tuple[int, ...]


class Move:
    """What a mutation comes to in a configuration, if no handler rejects it.

    Attributes:
        kind: of the mutation.
        called: the called states, once each.
        names: their names.
        before: the configuration it starts in.
        accepted: False if the relations reject it.
        target: the configuration it leads to.
        exits: states that end, in the order of their handlers.
        enters: states that begin, or begin anew.
        ticks: how much to add to which clock.
        holds: True if what was asked for is so afterwards.
        result: what it comes to for the caller.
        follow_up: False if no auto states are to be tried after it.
        all_ticks: `ticks`, and those of the auto mutation that follows.
        final: the configuration after both.
    """

    __slots__ = (
        "accepted",
        "all_ticks",
        "before",
        "called",
        "enters",
        "exits",
        "final",
        "follow_up",
        "holds",
        "kind",
        "names",
        "result",
        "target",
        "ticks",
    )

    def __init__(
        self,
        kind: Kind,
        called: Called,
        before: Configuration,
        target: Configuration,
        accepted: bool,
    ) -> None:
        self.kind = kind
        self.called = called
        self.names: tuple[str, ...] = ()
        self.before = before
        self.target = target
        self.accepted = accepted
        self.exits: tuple[int, ...] = ()
        self.enters: tuple[int, ...] = ()
        self.ticks: tuple[tuple[int, int], ...] = ()
        self.holds = False
        self.result: Result = CANCELED
        self.follow_up = False
        self.all_ticks: tuple[tuple[int, int], ...] = ()
        self.final = before


class Configuration:
    """Some states that are active together, in their order.

    Attributes:
        order: their indexes.
        names: their names.
        active: the names as a set.
        adds, removes, sets: moves by what a caller wrote, for the fast path.
        moves: moves by kind, called states and whether they are auto.
        autos: what an auto mutation would call here.
    """

    __slots__ = ("active", "adds", "autos", "moves", "names", "order", "removes", "sets")

    def __init__(self, order: Called, names: tuple[str, ...], autos: Called) -> None:
        self.order = order
        self.names = names
        self.active = frozenset(names)
        self.autos = autos
        self.adds: dict[tuple[str, ...], Move] = {}
        self.removes: dict[tuple[str, ...], Move] = {}
        self.sets: dict[tuple[str, ...], Move] = {}
        self.moves: dict[tuple[Kind, Called, bool], Move] = {}

    def forget(self) -> None:
        """Drop the moves."""
        for memo in (self.adds, self.removes, self.sets, self.moves):
            memo.clear()


class Compiled:
    """The relations of one schema by index, and the memo that its machines share.

    Attributes:
        needy: states that cannot be called without arguments.
        shapes: of handlers, by what is bound.
        groups: handlers of classes, by class and prefix.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names = schema.names
        self.index = {name: at for at, name in enumerate(self.names)}
        states = [schema[name] for name in self.names]
        self.auto = [state.auto for state in states]
        self.multi = [state.multi for state in states]
        self._require = [self._indexes(state.require) for state in states]
        self._add = [self._indexes(state.add) for state in states]
        self._remove = [frozenset(self._indexes(state.remove)) for state in states]
        self._after = [frozenset(self._indexes(state.after)) for state in states]
        self._ordered = any(self._after)
        alphabetical = [self.index[name] for name in sorted(self.names)]
        self._position = topology(self._require, alphabetical)
        self._arranged = max(self._position, default=-1) >= 0
        self.needy = frozenset(
            name for name, state in zip(self.names, states, strict=True) if needs_args(state.args)
        )
        self._autos = tuple(at for at, auto in enumerate(self.auto) if auto)
        self._configurations: dict[Called, Configuration] = {}
        self._moves = 0
        self._lock = threading.Lock()
        self.shapes: dict[tuple[object, ...], Shape] = {}
        self.groups: dict[tuple[type, str], list[Handler]] = {}
        self.empty = self.configuration(())

    def _indexes(self, names: Iterable[str]) -> Called:
        return tuple(self.index[name] for name in names)

    def configuration(self, order: Called) -> Configuration:
        """The configuration of these active states."""
        found = self._configurations.get(order)
        if found is None:
            names = tuple(self.names[at] for at in order)
            made = Configuration(order, names, self._candidates(order))
            found = self._configurations.setdefault(order, made)
        return found

    def _candidates(self, active: Called) -> Called:
        gone = {other for state in active for other in self._remove[state]}
        return tuple(at for at in self._autos if at not in active and at not in gone)

    def move(self, before: Configuration, kind: Kind, called: Called, auto: bool = False) -> Move:
        """What a mutation comes to.

        Args:
            before: where it starts.
            kind: of the mutation.
            called: indexes, once each.
            auto: the last part of an auto mutation, of which some states may be missing.
        """
        found = before.moves.get((kind, called, auto))
        if found is None:
            with self._lock:
                self._make_room()
                found = self._move(before, kind, called, auto)
                before.moves[kind, called, auto] = found
        return found

    def _make_room(self) -> None:
        self._moves += 1
        if self._moves > _MOST_MOVES:
            self._moves = 0
            for configuration in self._configurations.copy().values():
                configuration.forget()
            self._configurations = {(): self.empty}
            for shape in self.shapes.values():
                shape.forget()

    # -- one move -----------------------------------------------------------------------

    def _move(self, before: Configuration, kind: Kind, called: Called, auto: bool) -> Move:
        target = self.resolve(before.order, kind, called)
        missing = sum(state not in target for state in called)
        if kind is Kind.REMOVE:
            accepted = True
        elif auto:
            accepted = missing < len(called)
        else:
            accepted = not missing
        move = Move(kind, called, before, self.configuration(target), accepted)
        self._fill(move)
        if accepted and not auto:
            self._fuse(move)
        return move

    def _fill(self, move: Move) -> None:
        old, new = move.before.order, move.target.order
        exits = [state for state in old if state not in new]
        self._arrange(exits)
        move.exits = tuple(exits)
        move.enters = tuple(
            state
            for state in new
            if state not in old or (self.multi[state] and state in move.called)
        )
        move.ticks = tuple(
            (state, 2 if state in old and state in new else 1)
            for state in (*move.exits, *move.enters)
        )
        move.holds = move.kind is not Kind.REMOVE or not any(s in new for s in move.called)
        if move.accepted and move.holds:
            move.result = EXECUTED
        move.names = tuple(self.names[state] for state in move.called)
        called = {self.names[state] for state in move.called}
        move.follow_up = not (move.kind is Kind.ADD and called in _HEALTH)

    def _fuse(self, move: Move) -> None:
        move.all_ticks, move.final = move.ticks, move.target
        if not (move.ticks and move.follow_up and move.target.autos):
            return
        tried = self._move(move.target, Kind.ADD, move.target.autos, True)
        if not tried.accepted:
            return
        kept = tuple(state for state in tried.called if state in tried.target.order)
        last = self._move(move.target, Kind.ADD, kept, True)
        total = dict(move.ticks)
        for state, ticks in last.ticks:
            total[state] = total.get(state, 0) + ticks
        move.all_ticks, move.final = tuple(total.items()), last.target

    # -- resolving ----------------------------------------------------------------------

    def resolve(self, active: Called, kind: Kind, called: Called) -> Called:
        """The states that are active afterwards, in their order; see the module."""
        wanted: Sequence[int]
        removing: frozenset[int] = frozenset()
        if kind is Kind.ADD:
            wanted = (*called, *active)
        elif kind is Kind.SET:
            wanted = called
        else:
            removing = frozenset(called)
            wanted = [state for state in active if state not in removing]
        before = frozenset(active)
        states = self._with_required(self._with_implied(dict.fromkeys(wanted), before, removing))
        kept = self._not_blocked(states)
        gone = {other for state in kept for other in self._remove[state]}
        left = [s for s in self._with_implied(kept, before, removing) if s not in gone]
        target = self._with_required(left[::-1])
        self._arrange(target)
        return tuple(target)

    def _with_implied(
        self, states: Iterable[int], before: frozenset[int], removing: frozenset[int]
    ) -> list[int]:
        implied = dict.fromkeys(states)
        for state in tuple(implied):
            if state not in before or self.multi[state]:
                implied.update(dict.fromkeys(o for o in self._add[state] if o not in removing))
        return list(implied)

    def _with_required(self, states: list[int]) -> list[int]:
        while True:
            there = set(states)
            met = [state for state in states if there.issuperset(self._require[state])]
            if len(met) == len(states):
                return met
            states = met

    def _not_blocked(self, states: list[int]) -> list[int]:
        blocked: set[int] = set()
        kept = []
        for state in reversed(states):
            if any(state in self._remove[other] and other not in blocked for other in states):
                blocked.add(state)
            else:
                kept.append(state)
        return kept

    def _arrange(self, states: list[int]) -> None:
        if self._arranged:
            states.sort(key=self._position.__getitem__)
        if self._ordered:
            sort_stable(states, self._comes_before)

    def _comes_before(self, one: int, other: int) -> bool:
        return other not in self._after[one] and one in self._after[other]


@lru_cache(maxsize=256)
def compiled_of(schema: Schema) -> Compiled:
    """The compiled form of a schema: the same for equal ones."""
    return Compiled(schema)
