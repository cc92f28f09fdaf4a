"""The resolution of mutations: relations by index, and the memo of all that came of them.

Theory of operation
-------------------

The outcome of a mutation depends on three things only: the active states in their
order, the kind of the mutation, and the called states. Handlers may reject it,
but they cannot change its target. So the outcome is a function, and it is
memoised: a `Configuration` is an ordered set of active states, and each knows
the `Move`s that lead out of it. A machine only holds its configuration and its
ticks; all machines of one schema share configurations and moves. After the
first time a mutation is one lookup, however many states and relations there
are.

A target is resolved from the called states followed by the active ones:

1. states named in Add come along, one level;
2. states whose Require is not met are dropped, until nothing is;
3. from the last to the first, a state is blocked if another one that is not
   blocked itself has it in its Remove. The active ones stand last and are
   judged first, so what is called wins;
4. the states that are left bring along their Add once more (the second level),
   less those that they Remove; Require is looked at again;
5. the rest is put in the order of handlers, which is the order of the active
   states from then on.

A state that was active and is not Multi does not bring along its Add again.

The rules stand here once. Observers that want to know which relation did what
have the same resolution done again with a list that it explains itself into
(see `machine.rules.steps`).

The memo is bounded: when there are too many moves or configurations, such as
those that mirrors see, it is dropped, and grows again. Machines that hold an
old configuration go on with it.

Threads share the memo without a lock. Two threads that miss at the same time
work out equal moves, and the later one stays; configurations, of which
identity matters, are put in by `setdefault`, which is one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from machine.rules.kinds import Kind, StepKind
from machine.rules.ordering import sort_stable, topology
from machine.schema.arguments import needs_args
from machine.schema.schema import Schema
from machine.schema.state import State

__all__ = ["Configuration", "Effect", "Move", "Relations", "relations_of"]

_MAX_MOVES = 50_000
_MAX_CONFIGURATIONS = 50_000
_HEALTH = ({"Healthcheck"}, {"Heartbeat"})

Called: TypeAlias = tuple[int, ...]
Effect: TypeAlias = tuple[StepKind, int, tuple[int, ...]]  # a state, and those that did it


class Move:
    """The outcome of a mutation in a configuration, if no handler rejects it.

    Attributes:
        kind: of the mutation.
        called: the called states, once each.
        names: their names.
        before: the configuration it starts in.
        accepted: False if the relations reject it.
        target: the configuration it leads to.
        exits: states that end, in the order of their handlers.
        enters: states that begin, Multi ones also again.
        ticks: pairs of a state and the ticks that its clock makes.
        goal_met: True if the called states are afterwards as the mutation wants them.
        executed: True if it is accepted and its goal is met.
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
        "executed",
        "exits",
        "final",
        "follow_up",
        "goal_met",
        "kind",
        "names",
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
        self.kind: Kind = kind
        self.called: Called = called
        self.names: tuple[str, ...] = ()
        self.before: Configuration = before
        self.target: Configuration = target
        self.accepted: bool = accepted
        self.exits: tuple[int, ...] = ()
        self.enters: tuple[int, ...] = ()
        self.ticks: tuple[tuple[int, int], ...] = ()
        self.goal_met: bool = False
        self.executed: bool = False
        self.follow_up: bool = False
        self.all_ticks: tuple[tuple[int, int], ...] = ()
        self.final: Configuration = before


class Configuration:
    """Some states that are active together, in their order.

    Attributes:
        order: their indexes.
        names: their names.
        active: the names as a set.
        adds, removes, sets: moves by the arguments of the caller, for the fast path.
        moves: moves by kind, called states and whether they are auto.
        autos: the states that an auto mutation calls here.
    """

    __slots__ = ("active", "adds", "autos", "moves", "names", "order", "removes", "sets")

    def __init__(self, order: Called, names: tuple[str, ...], autos: Called) -> None:
        self.order: Called = order
        self.names: tuple[str, ...] = names
        self.active: frozenset[str] = frozenset(names)
        self.autos: Called = autos
        self.adds: dict[tuple[str, ...], Move] = {}
        self.removes: dict[tuple[str, ...], Move] = {}
        self.sets: dict[tuple[str, ...], Move] = {}
        self.moves: dict[tuple[Kind, Called, bool], Move] = {}

    def forget(self) -> None:
        """Drop the moves."""
        for memo in (self.adds, self.removes, self.sets, self.moves):
            memo.clear()


class Relations:
    """The relations of one schema by index, and the memo that its machines share.

    Attributes:
        schema: the schema.
        names: its states in their official order.
        index: the position of each state in that order.
        auto, multi: for each position, whether the state is Auto, or Multi.
        initial, final: the states that are active in a new machine, and those that end it.
        limits: states with a timeout or retries of their async work.
        needs_args: states that cannot be called without arguments.
        empty: the configuration without active states.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names: tuple[str, ...] = schema.names
        self.index: dict[str, int] = {name: at for at, name in enumerate(self.names)}
        states = [schema[name] for name in self.names]
        self.auto: list[bool] = [state.auto for state in states]
        self.multi: list[bool] = [state.multi for state in states]
        self._require = [self._indexes(state.require) for state in states]
        self._add = [self._indexes(state.add) for state in states]
        self._remove = [frozenset(self._indexes(state.remove)) for state in states]
        self._after = [frozenset(self._indexes(state.after)) for state in states]
        self._ordered = any(self._after)
        alphabetical = [self.index[name] for name in sorted(self.names)]
        self._position = topology(self._require, alphabetical)
        self._arranged = max(self._position, default=-1) >= 0
        self.initial: Called = tuple(at for at, state in enumerate(states) if state.initial)
        self.final: Called = tuple(at for at, state in enumerate(states) if state.final)
        self.limits: dict[int, State] = {
            at: state for at, state in enumerate(states) if state.timeout or state.retry
        }
        self.needs_args: frozenset[str] = frozenset(
            name for name, state in zip(self.names, states, strict=True) if needs_args(state.args)
        )
        self._autos = tuple(at for at, auto in enumerate(self.auto) if auto)
        self._configurations: dict[Called, Configuration] = {}
        self._moves = 0
        self.empty: Configuration = self.configuration(())

    def _indexes(self, names: Iterable[str]) -> Called:
        return tuple(self.index[name] for name in names)

    def configuration(self, order: Called) -> Configuration:
        """The configuration of these active states."""
        found = self._configurations.get(order)
        if found is None:
            if len(self._configurations) >= _MAX_CONFIGURATIONS:
                self._forget()
            names = tuple(self.names[at] for at in order)
            made = Configuration(order, names, self._candidates(order))
            found = self._configurations.setdefault(order, made)
        return found

    def _candidates(self, active: Called) -> Called:
        gone = {other for state in active for other in self._remove[state]}
        return tuple(at for at in self._autos if at not in active and at not in gone)

    def move(self, before: Configuration, kind: Kind, called: Called, auto: bool = False) -> Move:
        """Return the outcome of a mutation, worked out at the first time.

        Args:
            before: where it starts.
            kind: of the mutation.
            called: indexes, once each.
            auto: the last part of an auto mutation, of which some states may be missing.
        """
        found = before.moves.get((kind, called, auto))
        if found is None:
            self._make_room()
            found = before.moves[kind, called, auto] = self._move(before, kind, called, auto)
        return found

    def _make_room(self) -> None:
        self._moves += 1
        if self._moves > _MAX_MOVES:
            self._forget()

    def _forget(self) -> None:
        self._moves = 0
        for configuration in self._configurations.copy().values():
            configuration.forget()
        self._configurations = {(): self.empty}

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
        move.goal_met = move.kind is not Kind.REMOVE or not any(s in new for s in move.called)
        move.executed = move.accepted and move.goal_met
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

    def resolve(
        self, active: Called, kind: Kind, called: Called, explain: list[Effect] | None = None
    ) -> Called:
        """Return the states that are active afterwards, in their order; see the module.

        Args:
            active: the states that are active, in their order.
            kind: of the mutation.
            called: the called states, once each.
            explain: is given what each relation does, in the order in which it does it.
        """
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
        first: list[Effect] | None = None if explain is None else []
        second: list[Effect] | None = None if explain is None else []
        implied = self._with_implied(dict.fromkeys(wanted), before, removing, first)
        kept = self._not_blocked(self._with_required(implied, first), first)
        again = self._with_implied(kept, before, removing, second)
        target = self._with_required(self._not_removed(again, kept, second)[::-1], second)
        self._arrange(target)
        if explain is not None and first is not None and second is not None:
            # States that were dropped in the first round and do not come back are told of once.
            silent = frozenset(implied).difference(kept, target)
            explain += [(StepKind.CALLED, state, ()) for state in called]
            explain += first
            explain += [effect for effect in second if effect[1] not in silent]
        return tuple(target)

    def _with_implied(
        self,
        states: Iterable[int],
        before: frozenset[int],
        removing: frozenset[int],
        explain: list[Effect] | None,
    ) -> list[int]:
        implied = dict.fromkeys(states)
        for state in tuple(implied):
            if state in before and not self.multi[state]:
                continue
            for other in self._add[state]:
                if other not in implied and other not in removing:
                    implied[other] = None
                    if explain is not None:
                        explain.append((StepKind.IMPLIED, other, (state,)))
        return list(implied)

    def _with_required(self, states: list[int], explain: list[Effect] | None) -> list[int]:
        while True:
            there = set(states)
            met = [state for state in states if there.issuperset(self._require[state])]
            if len(met) == len(states):
                return met
            if explain is not None:
                for state in states:
                    missing = tuple(one for one in self._require[state] if one not in there)
                    if missing:
                        explain.append((StepKind.REJECTED, state, missing))
            states = met

    def _not_blocked(self, states: list[int], explain: list[Effect] | None) -> list[int]:
        """Return the states that are not blocked, the last one first."""
        blocked: set[int] = set()
        kept = []
        for state in reversed(states):
            by = [one for one in states if state in self._remove[one] and one not in blocked]
            if not by:
                kept.append(state)
                continue
            blocked.add(state)
            if explain is not None:
                explain.append((StepKind.BLOCKED, state, tuple(by)))
        return kept

    def _not_removed(
        self, states: list[int], kept: list[int], explain: list[Effect] | None
    ) -> list[int]:
        """Return the states that none of those kept has in its Remove."""
        gone = {other for state in kept for other in self._remove[state]}
        if explain is not None:
            for state in states:
                if state in gone:
                    by = tuple(one for one in kept if state in self._remove[one])
                    explain.append((StepKind.BLOCKED, state, by))
        return [state for state in states if state not in gone]

    def _arrange(self, states: list[int]) -> None:
        if self._arranged:
            states.sort(key=self._position.__getitem__)
        if self._ordered:
            sort_stable(states, self._comes_before)

    def _comes_before(self, one: int, other: int) -> bool:
        return other not in self._after[one] and one in self._after[other]


@lru_cache(maxsize=256)
def relations_of(schema: Schema) -> Relations:
    """Return the relations of a schema by index: the same object for equal schemas."""
    return Relations(schema)
