"""A slow and obvious model of the machine: what every mutation must lead to.

It knows names and lists alone: no masks, no memory of earlier results, no threads. It is written
from the rules and shares no code with the package.

Schemas are given in the short form, `A*! ?B +C -D >E; B; ...`. A mutation is `Op(kind, states,
args)`; the kinds are `+` add, `-` remove, `=` set, `err` an error (with the states given), `can+`
and `can-` dry runs, `pre+`, `pre-` and `pre=` the same put in front of the queue. Results are "E"
executed, "C" canceled, "Q7" queued with the queue tick 7, "Q2" queued in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["EXCEPTION", "Handler", "Model", "Mutation", "Op", "Record", "StateDef", "parse"]

EXCEPTION = "Exception"
ALIVE = ("Healthcheck", "Heartbeat")  # a lone one of these asks for no auto states

Handler = Callable[[], bool | None]


class Op(NamedTuple):
    """A mutation somebody asks for."""

    kind: str
    states: tuple[str, ...] = ()
    args: bool = False


@dataclass
class StateDef:
    """One state of a schema."""

    auto: bool = False
    multi: bool = False
    require: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


@dataclass
class Mutation:
    """A mutation in the queue."""

    kind: str
    called: list[str]
    args: bool = False
    tick: int = 0  # 0 if it was put in front
    auto: bool = False
    check: bool = False
    outcome: str = ""


class Record(NamedTuple):
    """A transition that ended; what it was to change only if it came to the commit."""

    kind: str
    called: tuple[str, ...]
    auto: bool
    check: bool
    accepted: bool
    target: tuple[str, ...]
    exits: tuple[str, ...]
    enters: tuple[str, ...]
    ticks: tuple[int, ...]


def unique(names: Iterable[str]) -> list[str]:
    """Each name once, where it came first."""
    seen: list[str] = []
    for name in names:
        if name not in seen:
            seen.append(name)
    return seen


def parse(text: str) -> dict[str, StateDef]:
    """The schema of a short form, normalised, with Exception last if it is missing."""
    states: dict[str, StateDef] = {}
    for part in text.split(";"):
        if not part.split():
            continue
        head, *relations = part.split()
        state = StateDef(auto="*" in head, multi="!" in head)
        for relation in relations:
            kind = {"?": state.require, "+": state.add, "-": state.remove, ">": state.after}
            kind[relation[0]].extend(relation[1:].split(","))
        states[head.rstrip("*!")] = state
    states.setdefault(EXCEPTION, StateDef(multi=True))
    for name, state in states.items():
        state.remove = [other for other in state.remove if other not in [name, *state.add]]
        state.after = [other for other in state.after if other != name]
    return states


class Model:
    """A machine: `do` what is asked, then look at `active`, `ticks` and the others.

    `groups` are the handlers by name, one mapping for each binding. `records`
    has every transition that ended, `asked` each mutation answered with "Q".
    """

    def __init__(
        self,
        schema: str,
        groups: Sequence[Mapping[str, Handler]] = (),
        *,
        order: Iterable[str] | None = None,
        queue_limit: int = 1000,
    ) -> None:
        self.states = parse(schema)
        self.names = list(order or self.states)
        self.groups = groups
        self.queue_limit = queue_limit
        self.active: list[str] = []
        self.ticks = dict.fromkeys(self.names, 0)
        self.queue: list[Mutation] = []
        self.queue_tick = 1
        self.draining = False
        self.errors = 0
        self.records: list[Record] = []
        self.asked: list[Mutation] = []
        self.topology: list[str] = []
        for name in sorted(self.states):
            if self.states[name].require:
                self._visit(name)

    def _visit(self, name: str) -> None:
        """Put what a state requires, and then the state, behind those that are there."""
        if name not in self.topology:
            for required in self.states[name].require:
                self._visit(required)
            self.topology.append(name)

    def do(self, op: Op) -> str:
        """Ask for a mutation: from outside, or from within a handler."""
        called = unique(op.states)
        if op.kind == "err":
            self.errors += 1
            return self._append(Mutation("+", unique([*called, EXCEPTION]), args=True))
        if op.kind.startswith(("can", "pre")):
            check = op.kind.startswith("can")
            mutation = Mutation(op.kind[-1], called, op.args, check=check)
            self.queue.insert(0, mutation)
            return self._drain(mutation)
        if len(self.queue) >= self.queue_limit and not self._let_in(op.kind, called):
            return "C"
        if op.kind == "-" and self.draining and not self.queue and not self._any_active(called):
            return "E"
        if not op.args and not any(self.states[name].multi for name in called) and self.queue:
            last = self.queue[-1]
            same = last.kind == op.kind and set(last.called) == set(called)
            if same and last.tick and not last.args:
                return self._queued(last)
        return self._append(Mutation(op.kind, called, op.args))

    def _let_in(self, kind: str, called: list[str]) -> bool:
        """Whether a full queue takes it: it switches Exception."""
        if EXCEPTION not in called:
            return False
        return kind == ("-" if EXCEPTION in self.active else "+")

    def _any_active(self, names: list[str]) -> bool:
        return any(name in self.active for name in names)

    def _append(self, mutation: Mutation) -> str:
        pending = len([queued for queued in self.queue if queued.tick])
        mutation.tick = self.queue_tick + pending + 1
        self.queue.append(mutation)
        return self._drain(mutation)

    def _queued(self, mutation: Mutation) -> str:
        self.asked.append(mutation)
        return f"Q{mutation.tick or 2}"

    def _drain(self, mutation: Mutation) -> str:
        if self.draining:
            return self._queued(mutation)
        self.draining = True
        while self.queue:
            item = self.queue.pop(0)
            if item.tick:
                self.queue_tick += 1
            item.outcome = self._run(item)
        self.draining = False
        return mutation.outcome

    def _run(self, mutation: Mutation) -> str:
        target = self._resolve(mutation, self._wanted(mutation))
        ok = self._related(mutation, target)
        exits, enters = self._changes(mutation, target)
        ok = ok and self._negotiate(mutation, target, exits, enters)
        if ok and mutation.auto:
            accepted = [name for name in mutation.called if name in target]
            target = self._resolve(mutation, [*accepted, *self.active])
            exits, enters = self._changes(mutation, target)
        if not ok or mutation.check:
            self._record(mutation, ok, [], [], [])
            return "E" if ok else "C"
        before, ticks = list(self.active), dict(self.ticks)
        self._commit(mutation, target)
        ok = self._finish(mutation, before, exits, enters)
        if ok and self.ticks != ticks:
            self._want_autos(mutation)
        self._record(mutation, ok, target, exits, enters)
        if mutation.kind == "-":
            return "E" if ok and not self._any_active(mutation.called) else "C"
        return "E" if ok else "C"

    def _record(self, mutation: Mutation, ok: bool, *lists: list[str]) -> None:
        called, target, exits, enters = map(tuple, [mutation.called, *lists])
        ticks = tuple(self.ticks[name] for name in self.names)
        what = (mutation.kind, called, mutation.auto, mutation.check)
        self.records.append(Record(*what, ok, target, exits, enters, ticks))

    def _wanted(self, mutation: Mutation) -> list[str]:
        if mutation.kind == "+":
            return [*mutation.called, *self.active]
        if mutation.kind == "-":
            return [name for name in self.active if name not in mutation.called]
        return mutation.called

    def _related(self, mutation: Mutation, target: list[str]) -> bool:
        """Whether the relations let the mutation pass."""
        missing = [name for name in mutation.called if name not in target]
        if mutation.kind == "-" or not missing:
            return True
        if mutation.auto:
            return len(missing) < len(mutation.called)
        return mutation.check and any(self.states[name].multi for name in mutation.called)

    def _changes(self, mutation: Mutation, target: list[str]) -> tuple[list[str], list[str]]:
        """The states that are left and those that are entered."""
        exits = self._order([name for name in self.active if name not in target])
        enters = []
        for name in target:
            again = self.states[name].multi and name in mutation.called
            if name not in self.active or again:
                enters.append(name)
        return exits, enters

    # relations

    def _resolve(self, mutation: Mutation, wanted: list[str]) -> list[str]:
        """The active states that the wanted ones lead to, in order."""
        names = self._required(self._implied(mutation, unique(wanted)))
        kept: list[str] = []
        blocked: list[str] = []
        for name in reversed(names):
            blockers = [
                other
                for other in names
                if name in self.states[other].remove and other not in blocked
            ]
            (blocked if blockers else kept).append(name)
        gone = [name for other in kept for name in self.states[other].remove]
        result = [name for name in self._implied(mutation, kept) if name not in gone]
        return self._order(self._required(result[::-1]))

    def _implied(self, mutation: Mutation, names: list[str]) -> list[str]:
        """The names and, one level deep, what they add."""
        result = list(names)
        for name in names:
            state = self.states[name]
            if name in self.active and not state.multi:
                continue
            removed = mutation.called if mutation.kind == "-" else []
            result += [other for other in state.add if other not in removed]
        return unique(result)

    def _required(self, names: list[str]) -> list[str]:
        """The names without those whose required states are missing."""
        while True:
            kept = [
                name
                for name in names
                if all(required in names for required in self.states[name].require)
            ]
            if kept == names:
                return kept
            names = kept

    def _order(self, names: list[str]) -> list[str]:
        """Required before requiring, then neighbours by After."""
        result = [name for name in names if name not in self.topology]
        result += [name for name in self.topology if name in names]
        for end in range(1, len(result)):
            at = end
            while at > 0 and self._comes_before(result[at], result[at - 1]):
                result[at - 1], result[at] = result[at], result[at - 1]
                at -= 1
        return result

    def _comes_before(self, name: str, other: str) -> bool:
        if other in self.states[name].after:
            return False
        return name in self.states[other].after

    # handlers

    def _call(self, mutation: Mutation, name: str, final: bool = False) -> str:
        """Call a handler in all groups: "yes", "no" or "raised"."""
        for group in self.groups:
            if name not in group:
                continue
            try:
                answer = group[name]()
            except RuntimeError:
                self.errors += 1
                if EXCEPTION not in mutation.called:
                    self.queue.insert(0, Mutation("+", [EXCEPTION], args=True))
                return "raised"
            if answer is False and not final:
                return "no"
        return "yes"

    def _negotiate(
        self, mutation: Mutation, target: list[str], exits: list[str], enters: list[str]
    ) -> bool:
        """Ask the handlers. In an auto transition `target` loses the auto states refused."""
        for handler, state in self._questions(mutation, target, exits, enters):
            if handler == "AnyEnter" and mutation.auto and not target:
                return False
            answer = self._call(mutation, handler)
            if answer == "no" and mutation.auto and state and self.states[state].auto:
                if state in target:
                    target.remove(state)
                answer = "yes"
            if answer != "yes":
                return False
        return True

    def _questions(
        self, mutation: Mutation, target: list[str], exits: list[str], enters: list[str]
    ) -> Iterator[tuple[str, str | None]]:
        """The negotiation handlers, each with the state that its "no" can strike alone."""
        before = list(self.active)
        for name in exits:
            yield name + "Exit", None
        for name in enters:
            yield name + "Enter", name
        for name in list(target):
            if name in before and mutation.kind != "-":
                yield name + name, None
        pairs_to = list(target)  # what is struck from here on is still asked about
        for name in before:
            for other in pairs_to:
                if name != other:
                    yield name + other, other
        yield "AnyEnter", None

    # commit

    def _commit(self, mutation: Mutation, target: list[str]) -> None:
        for name in self.names:
            if (name in self.active) != (name in target):
                self.ticks[name] += 1
            elif name in target and self.states[name].multi and name in mutation.called:
                self.ticks[name] += 2
        self.active = list(target)

    def _finish(
        self, mutation: Mutation, before: list[str], exits: list[str], enters: list[str]
    ) -> bool:
        """Call the final handlers; from one that raises on, undo."""
        finals = [(name, "End") for name in exits] + [(name, "State") for name in enters]
        for at, (name, suffix) in enumerate(finals):
            if self._call(mutation, name + suffix, final=True) == "raised":
                self._undo([state for state, _ in finals[at:]], before)
                return False
        return self._call(mutation, "AnyState", final=True) != "raised"

    def _undo(self, states: list[str], before: list[str]) -> None:
        """Bring states back to where they were before; one that was entered again stays."""
        for name in states:
            if name in before and name not in self.active:
                self.active.append(name)
                self.ticks[name] += 1
            elif name not in before:
                self.active.remove(name)
                self.ticks[name] += 1

    def _want_autos(self, mutation: Mutation) -> None:
        """Put the auto states that could become active in front of the queue."""
        alive = mutation.kind == "+" and len(mutation.called) == 1 and mutation.called[0] in ALIVE
        if mutation.auto or alive:
            return
        excluded = [name for other in self.active for name in self.states[other].remove]
        autos = [
            name
            for name in self.names
            if self.states[name].auto and name not in self.active and name not in excluded
        ]
        if autos:
            self.queue.insert(0, Mutation("+", autos, auto=True))
