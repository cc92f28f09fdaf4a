"""What can be asked of a machine; none of it waits for the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from machine.core.base import Core
from machine.core.mutation import Mutation
from machine.errors import InvalidArgument, UnknownState
from machine.rules.kinds import Kind, kind_of
from machine.times import Time

if TYPE_CHECKING:
    from machine.schema.state import State

__all__ = ["Checks"]

Position = Literal["any", "first", "last"]
Names = str | Iterable[str]


class Checks(Core):
    """The questions.

    They answer from what is committed: during negotiation that is the state
    before, in final handlers the state after. They may be asked from any
    thread. States are given one by one or as iterables; on a disposed machine
    everything is inactive.
    """

    __slots__ = ()

    # -- active states -------------------------------------------------------------------

    def is_(self, state: Names = (), *more: Names) -> bool:
        """True if all these states are active; also for none. Unknown ones are not."""
        if type(state) is str and not more:
            return state in self._active
        return not self._disposed and self._active.issuperset(_flat((state, *more)))

    def not_(self, *states: Names) -> bool:
        """True if none of these states is active; also for none.

        Raises:
            UnknownState: one is not in the schema.
        """
        return self._config.active.isdisjoint(self._names(states))

    def any_(self, *groups: Names) -> bool:
        """True if all states of one of these groups are active; a single name is a group."""
        return any(self.is_(group) for group in groups)

    def has(self, *states: Names) -> bool:
        """True if all these states are in the schema; also for none."""
        return not self._disposed and all(s in self._compiled.index for s in _flat(states))

    @property
    def active(self) -> tuple[str, ...]:
        """The active states in the order of their handlers, the latest called first."""
        return self._config.names

    def active_states(self, *states: Names) -> tuple[str, ...]:
        """Those of these states that are active, in the order given; all active ones for none."""
        if not states:
            return self._config.names
        return tuple(state for state in _flat(states) if state in self._config.active)

    def count_active(self, *states: Names) -> int:
        """How many of these states are active, or of all."""
        return len(self.active_states(*states))

    def switch(self, *groups: Names) -> str:
        """The first of these states that is active, or an empty string; for `match`."""
        active = self._config.active
        return next((state for state in _flat(groups) if state in active), "")

    @property
    def is_err(self) -> bool:
        """True while the state Exception is active."""
        return "Exception" in self._config.active

    # -- clocks --------------------------------------------------------------------------

    def tick(self, state: str) -> int:
        """How often a state was activated and deactivated: odd while it is active; 0 if unknown."""
        at = self._compiled.index.get(state)
        return 0 if at is None or self._disposed else self._ticks[at]

    def time(self, *states: Names) -> Time:
        """The ticks of these states in the order given, or of all in the order of `names`.

        Raises:
            UnknownState: one is not in the schema.
        """
        if self._disposed:
            return Time((), ())
        ticks = self._ticks
        if not states:
            return Time(ticks, self._compiled.names)
        names = self._names(states)
        return Time([ticks[at] for at in self._indexes(names)], names)

    @property
    def current_ticks(self) -> Sequence[int]:
        """The ticks of all states in the order of `names`, without a copy.

        A snapshot: a transition replaces it as a whole. Observers keep and compare
        it, and do not change it.
        """
        return self._ticks

    def clock(self, *states: Names) -> dict[str, int]:
        """The ticks by state, of these or of all."""
        time = self.time(*states)
        return dict(zip(time.names, time, strict=True))

    def time_sum(self, *states: Names) -> int:
        """The sum of the ticks of these states, or of all."""
        return sum(self.time(*states))

    def is_time(self, time: Sequence[int], *states: Names) -> bool:
        """True if the ticks are exactly these, of these states or of all."""
        return not self._disposed and tuple(self.time(*states)) == tuple(time)

    def was_time(self, time: Sequence[int], *states: Names) -> bool:
        """True if each tick is at least that of `time`: the machine has been there."""
        now = self.time(*states)
        return len(now) == len(time) and all(a >= b for a, b in zip(now, time, strict=True))

    def is_clock(self, clock: Mapping[str, int]) -> bool:
        """True if each state's tick is exactly that in `clock`."""
        return not self._disposed and all(self.tick(s) == tick for s, tick in clock.items())

    def was_clock(self, clock: Mapping[str, int]) -> bool:
        """True if each state's tick is at least that in `clock`."""
        return not self._disposed and all(self.tick(s) >= tick for s, tick in clock.items())

    # -- names ---------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """All states in their official order."""
        return self._compiled.names

    def parse_states(self, *states: Names) -> tuple[str, ...]:
        """Those of these states that are in the schema, once each, in the order given."""
        index = self._compiled.index
        return tuple(dict.fromkeys(state for state in _flat(states) if state in index))

    def check_states(self, *states: Names) -> tuple[str, ...]:
        """These states, once each, in the order given.

        Raises:
            UnknownState: one is not in the schema.
        """
        return self._names(states)

    def index(self, state: str) -> int:
        """The position of a state in `names`; -1 if it is unknown."""
        return -1 if self._disposed else self._compiled.index.get(state, -1)

    # -- the queue -----------------------------------------------------------------------

    @property
    def queue(self) -> tuple[Mutation, ...]:
        """What waits for its turn, the next one first."""
        waiting = tuple(self._queue or ())  # a copy, as other threads go on
        return tuple(mutation for mutation in waiting if mutation._function is None)

    @property
    def queue_len(self) -> int:
        """How much waits for its turn."""
        return len(self._queue or ())

    @property
    def queue_tick(self) -> int:
        """How many mutations have had their turn, from 1; those put to the front do not count."""
        return self._queue_tick

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
            states: which it calls, beside others.
            without_args: only one that has no arguments.
            exactly: only one that calls no others.
            check: a dry run, and not a mutation.
            since: only one with at least this queue tick.
            position: only the first or the last in the queue.
        """
        wanted, sought = set(_flat(states)), kind_of(kind)
        for mutation in self._at(position):
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
        """True if at least so many mutations in the queue call these states, to limit a rate."""
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

    def _at(self, position: Position) -> tuple[Mutation, ...]:
        queue = self.queue
        if position == "any":
            return queue
        if position not in ("first", "last"):
            raise InvalidArgument(
                f"position is any, first or last, not {position!r}", argument="position"
            )
        return queue[:1] if position == "first" else queue[-1:]

    # -- for people ----------------------------------------------------------------------

    def __str__(self) -> str:
        return self.string()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.string()}>"

    def string(self) -> str:
        """The active states and their ticks: `(Foo:1 Bar:3)`, in the order of `names`."""
        ticks = self.time()
        return f"({_listed(zip(ticks.names, ticks, strict=True), 1)})" if ticks else ""

    def string_all(self) -> str:
        """All states and their ticks, the inactive ones in brackets: `(Foo:1) [Bar:2]`."""
        ticks = self.time()
        inactive = _listed(zip(ticks.names, ticks, strict=True), 0)
        return f"{self.string()} [{inactive}]" if ticks else ""

    def inspect(self, *states: Names) -> str:
        """Some states, or all, with their ticks and relations, one fact a line."""
        if self._disposed:
            return ""
        names = self._names(states) if states else self._compiled.names
        ticks = self._ticks
        return "".join(
            f"{ticks[at] % 2} {name}\n{_facts(ticks[at], self._compiled.schema[name])}"
            for name, at in zip(names, self._indexes(names), strict=True)
        )


def _facts(tick: int, state: State) -> str:
    facts = [("Tick", str(tick))]
    facts += [("Auto", "true")] if state.auto else []
    facts += [("Multi", "true")] if state.multi else []
    for title, others in (
        ("Add", state.add),
        ("Require", state.require),
        ("Remove", state.remove),
        ("After", state.after),
    ):
        facts += [(title, " ".join(others))] if others else []
    return "".join(f"    |{title:<8} {value}\n" for title, value in facts)


def _listed(clock: Iterable[tuple[str, int]], odd: int) -> str:
    return " ".join(f"{name}:{tick}" for name, tick in clock if tick % 2 == odd)


def _flat(groups: Iterable[Any]) -> Iterator[str]:
    for group in groups:
        if isinstance(group, str):
            yield group
        elif isinstance(group, Iterable):
            yield from group
        else:
            raise UnknownState(str(group))
