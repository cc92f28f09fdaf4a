"""Questions to a machine; none of them waits for the queue.

A `View` rests on a few attributes, which `__init__` sets and a transition (or, in a
mirror of a remote machine, each change of its clocks) replaces as wholes, so that
other threads see all of it or nothing:

==================  ===============================================================
`_m_relations`      the schema by index
`_m_ticks`          the clocks of all states, in the official order
`_m_config`         the active states in their order; `_m_active` are their names
`_m_queue`          mutations that wait, or None
`_m_queue_tick`     the mutations that had their turn, from 1
`_m_transition`     the running transition, or the last one while the drain lasts
`_m_err`            the last error
`_m_disposed`       True once the machine has ended
==================  ===============================================================
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeAlias

from machine.core.mutation import Mutation
from machine.core.snapshot import Snapshot
from machine.core.texts import check_no_args, facts, listed, unknown_state
from machine.core.transition import Transition
from machine.errors import InvalidArgument, UnknownState
from machine.rules.kinds import Kind, kind_of
from machine.rules.resolution import Configuration, Relations
from machine.schema.schema import EXCEPTION, Schema
from machine.schema.state import name_of
from machine.times import Time

__all__ = ["Names", "Position", "View", "zeros"]

Position: TypeAlias = Literal["any", "first", "last"]
Names: TypeAlias = str | Enum | Iterable[str | Enum]


class View:
    """Questions to a machine.

    The answers are from the committed state: during negotiation that is the state
    before, in final handlers the state after. Any thread may ask. States are given
    one by one or as iterables; on a disposed machine everything is inactive.

    Attributes:
        id: the machine's name among those that an observer knows.
        machine_tick: how often its state was imported.
    """

    __slots__ = (
        "__weakref__",
        "_m_active",
        "_m_config",
        "_m_disposed",
        "_m_err",
        "_m_queue",
        "_m_queue_tick",
        "_m_relations",
        "_m_ticks",
        "_m_transition",
        "id",
        "machine_tick",
    )

    def __init__(self, relations: Relations, id: str) -> None:  # noqa: A002 - the public name
        self.id: str = id
        self.machine_tick: int = 0
        self._m_relations = relations
        self._m_config: Configuration = relations.empty
        self._m_active = relations.empty.active  # of the configuration, for `is_`
        self._m_ticks = zeros(len(relations.names))
        self._m_queue: deque[Mutation] | None = None
        self._m_queue_tick = 1
        self._m_transition: Transition | None = None
        self._m_err: BaseException | None = None
        self._m_disposed = False

    # -- active states -------------------------------------------------------------------

    def is_(self, state: Names = (), *more: Names) -> bool:
        """True if all these states are active; also for none. Unknown ones are not."""
        if type(state) is str and not more:
            return state in self._m_active
        return not self._m_disposed and self._m_active.issuperset(_flat((state, *more)))

    def not_(self, *states: Names) -> bool:
        """True if none of these states is active; also for none.

        Raises:
            UnknownState: one is not in the schema.
        """
        return self._m_config.active.isdisjoint(self._m_names(states))

    def any_(self, *groups: Names) -> bool:
        """True if all states of one of these groups are active; a single name is a group."""
        return any(self.is_(group) for group in groups)

    def has(self, *states: Names) -> bool:
        """True if all these states are in the schema; also for none."""
        return not self._m_disposed and all(s in self._m_relations.index for s in _flat(states))

    @property
    def active(self) -> tuple[str, ...]:
        """The active states in the order of their handlers, the latest called first."""
        return self._m_config.names

    def active_states(self, *states: Names) -> tuple[str, ...]:
        """Those of these states that are active, in the order given; all active ones for none."""
        if not states:
            return self._m_config.names
        return tuple(state for state in _flat(states) if state in self._m_config.active)

    def count_active(self, *states: Names) -> int:
        """The number of these states that are active, or of all."""
        return len(self.active_states(*states))

    def switch(self, *groups: Names) -> str:
        """The first of these states that is active, or an empty string; for `match`."""
        active = self._m_config.active
        return next((state for state in _flat(groups) if state in active), "")

    @property
    def err(self) -> BaseException | None:
        """The last error; it stays when Exception is removed."""
        return self._m_err

    @property
    def is_err(self) -> bool:
        """True while the state Exception is active."""
        return EXCEPTION in self._m_config.active

    # -- clocks --------------------------------------------------------------------------

    def tick(self, state: str) -> int:
        """The number of times a state began and ended: odd while it is active; 0 if unknown."""
        at = self._m_relations.index.get(state)
        return 0 if at is None or self._m_disposed else self._m_ticks[at]

    def time(self, *states: Names) -> Time:
        """The ticks of these states in the order given, or of all in the order of `names`.

        Raises:
            UnknownState: one is not in the schema.
        """
        if self._m_disposed:
            return Time((), ())
        ticks = self._m_ticks
        if not states:
            return Time(ticks, self._m_relations.names)
        names = self._m_names(states)
        return Time([ticks[at] for at in self._m_indexes(names)], names)

    @property
    def current_ticks(self) -> Sequence[int]:
        """The ticks of all states in the order of `names`, without a copy.

        A snapshot: a transition replaces it as a whole. Observers keep and compare
        it, and do not change it.
        """
        return self._m_ticks

    def clock(self, *states: Names) -> dict[str, int]:
        """The ticks by state, of these or of all."""
        time = self.time(*states)
        return dict(zip(time.names, time, strict=True))

    def time_sum(self, *states: Names) -> int:
        """The sum of the ticks of these states, or of all."""
        return sum(self.time(*states))

    def is_time(self, time: Sequence[int], *states: Names) -> bool:
        """True if the ticks are exactly these, of these states or of all."""
        return not self._m_disposed and tuple(self.time(*states)) == tuple(time)

    def was_time(self, time: Sequence[int], *states: Names) -> bool:
        """True if each tick is at least that of `time`: the machine has reached it."""
        now = self.time(*states)
        return len(now) == len(time) and all(a >= b for a, b in zip(now, time, strict=True))

    def is_clock(self, clock: Mapping[str, int]) -> bool:
        """True if each state's tick is exactly that in `clock`."""
        return not self._m_disposed and all(self.tick(s) == tick for s, tick in clock.items())

    def was_clock(self, clock: Mapping[str, int]) -> bool:
        """True if each state's tick is at least that in `clock`."""
        return not self._m_disposed and all(self.tick(s) >= tick for s, tick in clock.items())

    def export(self) -> Snapshot:
        """The machine's state as a value; from any thread, at any time."""
        names, ticks = self._m_relations.names, tuple(self._m_ticks)
        return Snapshot(self.id, names, ticks, self._m_queue_tick, self.machine_tick)

    # -- the machine ---------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The states and their relations."""
        return self._m_relations.schema

    @property
    def transition(self) -> Transition | None:
        """The transition that is carried out, if one is."""
        return self._m_transition

    @property
    def disposed(self) -> bool:
        """True once the machine has ended: it takes no mutations and shows no states."""
        return self._m_disposed

    # -- names ---------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """All states in their official order."""
        return self._m_relations.names

    def parse_states(self, *states: Names) -> tuple[str, ...]:
        """Those of these states that are in the schema, once each, in the order given."""
        index = self._m_relations.index
        return tuple(dict.fromkeys(state for state in _flat(states) if state in index))

    def check_states(self, *states: Names) -> tuple[str, ...]:
        """These states, once each, in the order given.

        Raises:
            UnknownState: one is not in the schema.
        """
        return self._m_names(states)

    def index(self, state: str) -> int:
        """The position of a state in `names`; -1 if it is unknown."""
        return -1 if self._m_disposed else self._m_relations.index.get(state, -1)

    # -- the queue -----------------------------------------------------------------------

    @property
    def queue(self) -> tuple[Mutation, ...]:
        """The mutations that wait, the next one first."""
        waiting = tuple(self._m_queue or ())  # a copy, as other threads go on
        return tuple(mutation for mutation in waiting if mutation._function is None)

    @property
    def queue_len(self) -> int:
        """The number of mutations and evals that wait."""
        return len(self._m_queue or ())

    @property
    def queue_tick(self) -> int:
        """The number of mutations that had their turn, from 1, without those put to the front."""
        return self._m_queue_tick

    def find_queued(
        self,
        kind: Kind | str,
        *states: Names,
        without_args: bool = False,
        exactly: bool = False,
        check: bool = False,
        since: int = 0,
        position: Position = "any",
    ) -> Mutation | None:
        """The first mutation in the queue that calls these states, or None.

        Args:
            kind: add, remove or set.
            states: states that it calls, beside others.
            without_args: only one that has no arguments.
            exactly: only one that calls no others.
            check: a dry run, and not a mutation.
            since: only one with at least this queue tick.
            position: only the first or the last in the queue.
        """
        wanted, sought = set(_flat(states)), kind_of(kind)
        for mutation in self._m_at(position):
            if (
                mutation.kind is sought
                and mutation.check is check
                and mutation.queue_tick >= since
                and wanted.issubset(mutation.called)
                and not (exactly and len(wanted) != len(mutation.called))
                and not (without_args and mutation.args)
            ):
                return mutation
        return None

    def is_queued(self, kind: Kind | str, *states: Names, **which: Any) -> bool:
        """True if `find_queued` finds one."""
        return self.find_queued(kind, *states, **which) is not None

    def is_queued_above(self, count: int, kind: Kind | str, *states: Names) -> bool:
        """True if at least `count` mutations in the queue call these states; limits a rate."""
        wanted, sought = set(_flat(states)), kind_of(kind)
        found = (m for m in self.queue if m.kind is sought and wanted.issubset(m.called))
        return sum(1 for _ in found) >= count

    def will_be(self, *states: Names, position: Position = "any") -> bool:
        """True if the queue has a mutation that adds these states."""
        return self.is_queued(Kind.ADD, *states, position=position)

    def will_be_any(self, *groups: Names) -> bool:
        """True if the queue has a mutation that adds all states of one of these groups."""
        return any(self.will_be(group) for group in groups)

    def will_be_removed(self, *states: Names, position: Position = "any") -> bool:
        """True if the queue has a mutation that removes these states."""
        return self.is_queued(Kind.REMOVE, *states, position=position)

    def _m_at(self, position: Position) -> tuple[Mutation, ...]:
        queue = self.queue
        if position == "any":
            return queue
        if position not in ("first", "last"):
            raise InvalidArgument(
                f"position must be any, first or last, not {position!r}", argument="position"
            )
        return queue[:1] if position == "first" else queue[-1:]

    # -- as text ----------------------------------------------------------------------

    def __str__(self) -> str:
        return self.string()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.string()}>"

    def string(self) -> str:
        """The active states and their ticks: `(Foo:1 Bar:3)`, in the order of `names`."""
        ticks = self.time()
        return f"({listed(zip(ticks.names, ticks, strict=True), 1)})" if ticks else ""

    def string_all(self) -> str:
        """All states and their ticks, the inactive ones in brackets: `(Foo:1) [Bar:2]`."""
        ticks = self.time()
        inactive = listed(zip(ticks.names, ticks, strict=True), 0)
        return f"{self.string()} [{inactive}]" if ticks else ""

    def inspect(self, *states: Names) -> str:
        """Some states, or all, with their ticks and relations, one fact a line."""
        if self._m_disposed:
            return ""
        names = self._m_names(states) if states else self._m_relations.names
        ticks = self._m_ticks
        return "".join(
            f"{ticks[at] % 2} {name}\n{facts(ticks[at], self._m_relations.schema[name])}"
            for name, at in zip(names, self._m_indexes(names), strict=True)
        )

    # -- states by name ------------------------------------------------------------------

    def _m_names(self, states: Iterable[object]) -> tuple[str, ...]:
        """Return the state names, once each, that a caller gave in whatever nesting."""
        names: dict[str, None] = {}
        index = self._m_relations.index
        for given in states:
            if isinstance(given, str):
                one: Iterable[object] = (given,)
            elif isinstance(given, Iterable) and not isinstance(given, type):
                check_no_args(given, self.id)
                one = given
            else:
                one = (given,)
            for name in one:
                if isinstance(name, Enum):
                    name = name_of(name)
                if not isinstance(name, str) or name not in index:
                    raise unknown_state(name, self._m_relations.names, self.id)
                names[name] = None
        return tuple(names)

    def _m_indexes(self, names: Iterable[str]) -> tuple[int, ...]:
        index = self._m_relations.index
        return tuple(index[name] for name in names)


def zeros(count: int) -> array[int]:
    """Return clocks that have not ticked: an array, because each commit copies it."""
    return array("Q", bytes(8 * count))


def _flat(groups: Iterable[Any]) -> Iterator[str]:
    for group in groups:
        if isinstance(group, str):
            yield group
        elif isinstance(group, Enum):
            yield name_of(group)
        elif isinstance(group, Iterable):
            yield from (name_of(one) if isinstance(one, Enum) else one for one in group)
        else:
            raise UnknownState(str(group))
