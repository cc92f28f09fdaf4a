"""A recorded scenario on our machine: where it differs."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from machine.core.machine import Machine
from machine.core.options import Options
from machine.core.tracer import Tracer
from machine.core.transition import Event, Transition
from machine.rules.kinds import Kind
from machine.schema.schema import Schema
from machine.waits.result import Result
from tests.machine.original.records import Record, Step

__all__ = ["KINDS", "OPERATION", "Boom", "Player", "differences", "shown"]

OPERATION = re.compile(r"(err!?|[?^]?[-+=~]#?)(.*)")
KINDS = {"+": Kind.ADD, "-": Kind.REMOVE, "=": Kind.SET}
MARKS = {kind: mark for mark, kind in KINDS.items()}


class Boom(Exception):
    """Error of a raising handler."""


class _Log(Tracer):
    """Every transition, as the driver writes it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def transition_end(self, tx: Transition) -> None:
        mutation = tx.mutation
        mark = "?" * mutation.check + "*" * mutation.auto + MARKS[mutation.kind]
        self.lines.append(f"{mark}{','.join(mutation.called)} {'E' if tx.accepted else 'C'}")


class Player:
    """One machine, with handlers that behave as in the scenario."""

    def __init__(self, record: Record, traced: bool) -> None:
        self.record = record
        self.log = _Log()
        self.traced = traced
        limit = record.limit or Options().queue_limit
        self.machine: Machine[Any] = Machine(
            Schema(Schema.parse(record.schema), order=record.names.split()),
            id="recorded",
            tracers=[self.log] if traced else [],
            options=Options(handler_timeout=60.0, queue_limit=limit),
        )
        self.counts: Counter[str] = Counter()
        self.calls: list[str] = []
        self.nested: list[str] = []
        if record.bind != "none":
            for group in range(1, record.groups + 1):
                self.machine.bind(self._handlers("" if group == 1 else f".{group}"))

    def _handlers(self, suffix: str) -> dict[str, Callable[..., object]]:
        names = self.record.names.split()
        tails = ("Enter", "Exit", "State", "End", *names)
        every = ["AnyEnter", "AnyState", *(name + tail for name in names for tail in tails)]
        if self.record.bind != "all":
            chosen = set(self.record.bind.split())
            every = [name for name in every if name in chosen]
        return {name: self._handler(name + suffix) for name in every}

    def _handler(self, name: str) -> Callable[..., object]:
        if not self.traced:
            return lambda: self._called(name)

        def handler(event: Event) -> bool | None:
            if not name.startswith(event.name):
                raise AssertionError(f"{event.name} is called as {name}")
            return self._called(name)

        return handler

    def _called(self, name: str) -> bool | None:
        self.calls.append(name)
        self.counts[name] += 1
        behaviour = self.record.handlers.get(name, {})
        now = self.counts[name] == behaviour.get("at", 1)
        if now:
            for operation in behaviour.get("do", ()):
                self.nested.append(f"{name}:{operation}:{self._act(operation, nested=True)}")
        if now and behaviour.get("boom"):
            raise Boom(f"boom {name}")
        refuses = behaviour.get("no", 0)
        if refuses == 1 or (refuses == 2 and now):
            return False
        return None if name.partition(".")[0].endswith(("State", "End")) else True

    def act(self, operation: str) -> Result:
        """Perform an operation from outside."""
        found = OPERATION.fullmatch(operation)
        assert found, operation
        mark, names = found.groups()
        return self._perform(mark, names.split(",") if names else [], operation)

    def _act(self, operation: str, nested: bool = False) -> str:
        ticked = operation[0] not in "?^"
        return shown(self.act(operation), ticked or not nested)

    def _perform(self, mark: str, states: list[str], operation: str) -> Result:
        machine = self.machine
        if mark == "err":
            return machine.add_err(Boom(operation))
        if mark == "err!":
            return machine.add_err_state(states[0], Boom(operation))
        if mark == "?+":
            return machine.can_add(*states)
        if mark == "?-":
            return machine.can_remove(*states)
        if mark == "~":
            return machine.toggle(*states)
        args = {"x": 1} if mark.endswith("#") else None
        mark = mark.removesuffix("#")
        if mark[0] == "^":
            return machine.prepend(KINDS[mark[1]], *states, args=args)
        plain = {"+": machine.add, "-": machine.remove, "=": machine.set}[mark]
        return plain(*states, args=args)

    def step(self, operation: str) -> Step:
        """Perform an operation from outside, and tell all that it came to."""
        self.calls, self.nested, self.log.lines = [], [], []
        result = self._act(operation)
        machine = self.machine
        return Step(
            operation,
            result,
            " ".join(machine.active),
            " ".join(str(machine.tick(name)) for name in machine.names),
            " ".join(self.calls),
            tuple(self.nested),
            machine.queue_tick,
            "" if machine.err is None else str(machine.err),
            " ".join(self.log.lines),
        )


def shown(result: Result, ticked: bool) -> str:
    """A result, as the driver writes it."""
    if result.executed:
        return "E"
    if result.canceled:
        return "C"
    return f"Q{result.tick}" if ticked else "Q"


def _expected(step: Step, traced: bool) -> Step:
    # A mutation that collapsed with the last queued one has that one's result; the original calls
    # it executed, and the driver notes the tick of the queued one behind a D.
    nested = tuple(re.sub(r":D(\d+)$", r":Q\1", one) for one in step.nested)
    return replace(step, nested=nested, transitions=step.transitions if traced else "")


def _broken(player: Player) -> str:
    machine = player.machine
    odd = {name for name in machine.names if machine.tick(name) % 2}
    return "" if odd == set(machine.active) else f"active {machine.active}, but odd are {odd}"


def _difference(ours: Step, theirs: Step) -> str:
    lines = []
    for name in Step.__dataclass_fields__:
        mine, original = getattr(ours, name), getattr(theirs, name)
        if mine != original:
            lines.append(f"    {name}\n      ours     {mine}\n      original {original}")
    return "\n".join(lines)


def differences(record: Record, traced: bool = False) -> str:
    """Readable differences of our machine; empty if there are none.

    The step that meets one of the decided deviations is performed last, and only has to leave the
    machine consistent.
    """
    player = Player(record, traced)
    done: list[str] = []
    try:
        for step in record.steps:
            ours = player.step(step.operation)
            done.append(step.operation)
            broken = _broken(player)
            if step.result:
                broken = _difference(ours, _expected(step, traced)) or broken
            if broken:
                return f"{_described(record)}\n  after {'  '.join(done)}\n{broken}"
    finally:
        player.machine.dispose_now()
    return ""


def _described(record: Record) -> str:
    lines = [f"  schema {record.schema}", f"  order  {record.names}"]
    if not record.stable:
        lines.append("  (the original gives this only with its loops over maps pinned)")
    if record.bind != "all":
        lines.append(f"  bound  {record.bind}")
    if record.groups > 1 or record.limit:
        lines.append(f"  groups {record.groups}, queue limit {record.limit or 'default'}")
    lines += [f"  {name} {behaviour}" for name, behaviour in record.handlers.items()]
    return "\n".join(lines)
