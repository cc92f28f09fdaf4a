"""Random cases for the machine and its model: made, run on both, compared, made smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from machine.core.machine import Machine
from machine.core.options import Options
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.rules.kinds import Kind
from machine.schema.schema import Schema
from machine.waits.result import Result
from tests.machine.model import EXCEPTION, Handler, Model, Op, Record, parse

__all__ = ["Behaviour", "Case", "difference", "make_cases", "minimised"]

ARGS = {"x": 1}
KINDS = {"+": Kind.ADD, "-": Kind.REMOVE, "=": Kind.SET}
SIGNS = {kind: sign for sign, kind in KINDS.items()}
ASKED = ["+"] * 9 + ["-"] * 5 + ["="] * 4 + ["err", "can+", "can-", "pre+", "pre-", "pre="]


class Behaviour(NamedTuple):
    """Behaviour of a handler: it logs itself, and on its first call does this as well."""

    does: tuple[Op, ...] = ()
    raises: bool = False
    refuses: int = 0  # on each so many-th call; 0 never


@dataclass(frozen=True)
class Case:
    """A schema, a mapping of handlers for each binding, and what is asked from outside."""

    schema: tuple[str, ...]
    groups: tuple[dict[str, Behaviour], ...]
    steps: tuple[Op, ...]
    queue_limit: int = 1000
    traced: bool = True  # a machine that nobody looks at goes other ways


# making


def make_cases(seed: int, count: int) -> list[Case]:
    """Cases of one schema."""
    rng = Random(seed)
    names = list("ABCDEFG"[: rng.randint(2, 7)])
    if rng.random() < 0.15:
        names.append(EXCEPTION)
    schema = _schema(rng, names)
    if EXCEPTION not in names:
        names.append(EXCEPTION)
    handlers = handler_names(names)
    return [
        Case(
            schema,
            tuple(_group(rng, names, handlers) for _ in range(rng.choice((0, 1, 1, 1, 2)))),
            tuple(_op(rng, names) for _ in range(rng.randint(3, 7))),
            rng.randint(1, 3) if rng.random() < 0.08 else 1000,
            rng.random() < 0.6,
        )
        for _ in range(count)
    ]


def handler_names(names: Sequence[str]) -> list[str]:
    """All that there can be."""
    found = [name + suffix for name in names for suffix in ("Exit", "Enter", "End", "State")]
    found += [name + other for name in names for other in names]
    return [*found, "AnyEnter", "AnyState"]


def _schema(rng: Random, names: list[str]) -> tuple[str, ...]:
    ranks = rng.sample(names, len(names))  # only what comes later is required: no cycles
    parts = []
    for name in names:
        others = [EXCEPTION, *names] if rng.random() < 0.1 else names
        later = ranks[ranks.index(name) + 1 :]
        require = _some(rng, later, 2) if rng.random() < 0.25 else []
        relations = {
            "?": require,
            "+": _some(rng, others, 2) if rng.random() < 0.4 else [],
            "-": [one for one in _some(rng, others, 2) if one not in require],
            ">": _some(rng, others, 2) if rng.random() < 0.25 else [],
        }
        if rng.random() < 0.6:
            relations["-"] = []
        flags = "*" * (rng.random() < 0.2) + "!" * (rng.random() < 0.25)
        texts = [sign + ",".join(found) for sign, found in relations.items() if found]
        parts.append(" ".join([name + flags, *texts]))
    return tuple(parts)


def _some(rng: Random, names: Sequence[str], most: int) -> list[str]:
    return rng.sample(names, min(len(names), rng.randint(1, most)))


def _op(rng: Random, names: list[str]) -> Op:
    kind = rng.choice(ASKED)
    if kind == "err":
        return Op(kind, tuple(_some(rng, names, 1)) if rng.random() < 0.5 else ())
    states = () if rng.random() < 0.03 else tuple(_some(rng, names, rng.choice((1, 2, 3))))
    return Op(kind, states, args=rng.random() < 0.15)


def _group(rng: Random, names: list[str], handlers: list[str]) -> dict[str, Behaviour]:
    density = rng.choice((0.1, 0.2, 0.3, 0.3, 1))
    share = 1 / (density * len(handlers))  # about four do something, however many there are
    group = {}
    for name in handlers:
        if rng.random() > density:
            continue
        draw = rng.random() / share
        behaviour = Behaviour()
        if draw < 1:
            behaviour = Behaviour(refuses=rng.randint(1, 3))
        elif draw < 2:
            does = tuple(_op(rng, names) for _ in range(rng.randint(0, 2)))
            behaviour = Behaviour(does, raises=True)
        elif draw < 4:
            does = tuple(_op(rng, names) for _ in range(rng.randint(1, 4)))
            behaviour = Behaviour(does, refuses=rng.choice((0, 0, 0, 2)))
        group[name] = behaviour
    return group


# running


class Script:
    """The handlers of a case for one of the two, and what they saw."""

    def __init__(self, case: Case) -> None:
        self.ask: Callable[[Op], str]
        self.active: Callable[[], Sequence[str]]
        self.log: list[tuple[str, ...]] = []
        self.answers: list[str] = []
        self.groups = [
            {name: self._handler(f"{at}.{name}", does) for name, does in group.items()}
            for at, group in enumerate(case.groups)
        ]

    def _handler(self, name: str, behaviour: Behaviour) -> Handler:
        calls = 0
        does, raises, refuses = behaviour

        def handler() -> bool | None:
            nonlocal calls
            calls += 1
            self.log.append((name, *self.active()))
            if calls == 1:
                for op in does:
                    self.answers.append(self.ask(op))
                if raises:
                    raise RuntimeError(name)
            return False if refuses and calls % refuses == 0 else None

        return handler


class _Ends(Tracer):
    def __init__(self) -> None:
        self.records: list[Record] = []

    def transition_end(self, tx: Transition) -> None:
        mutation = tx.mutation
        plan = (tx.target, tx.exits, tx.enters) if tx.committed else ((), (), ())
        what = (SIGNS[mutation.kind], mutation.called, mutation.auto, mutation.check)
        self.records.append(Record(*what, tx.accepted, *plan, tuple(tx.time_after)))


class Subject:
    """The machine, asked and looked at as the model is."""

    def __init__(self, case: Case) -> None:
        self.script = Script(case)
        self.tracer = _Ends()
        self.asked: list[Result] = []
        options = Options(handler_timeout=60, queue_limit=case.queue_limit)
        self.machine: Machine[Any] = Machine(
            _schema_of(case.schema), tracers=[self.tracer] if case.traced else [], options=options
        )
        for group in filter(None, self.script.groups):
            self.machine.bind(group)
        self.script.ask = self.do
        self.script.active = lambda: self.machine.active

    def do(self, op: Op) -> str:
        result = self._ask(op)
        if result.queued:
            self.asked.append(result)
            return f"Q{result.tick}"
        return "E" if result.executed else "C"

    def _ask(self, op: Op) -> Result:
        machine, (kind, states, with_args) = self.machine, op
        args = ARGS if with_args else None
        if kind == "err":
            error = ValueError("asked for")
            return machine.add_err_state(states[0], error) if states else machine.add_err(error)
        if kind.startswith("pre"):
            return machine.prepend(KINDS[kind[3]], *states, args=args)
        calls = {
            "+": machine.add,
            "-": machine.remove,
            "=": machine.set,
            "can+": machine.can_add,
            "can-": machine.can_remove,
        }
        return calls[kind](*states, args=args)

    def seen(self, result: str) -> dict[str, object]:
        """All that can be compared after a step."""
        finals = [result.final for result in self.asked]
        return {
            "result": result,
            "active": list(self.machine.active),
            "ticks": self.machine.clock(),
            "queue tick": self.machine.queue_tick,
            "handlers": self.script.log,
            "nested results": self.script.answers,
            "their outcomes": ["E" if r.executed else "Q" if r.queued else "C" for r in finals],
            "transitions": self.tracer.records,
            "error": self.machine.err is not None,
        }


_schemas: dict[tuple[str, ...], Schema] = {}  # the latest, as the cases of one come together


def _schema_of(parts: tuple[str, ...]) -> Schema:
    if parts not in _schemas:
        _schemas.clear()
        _schemas[parts] = Schema.parse("; ".join(parts))
    return _schemas[parts]


class Expected:
    """The model."""

    def __init__(self, case: Case) -> None:
        self.script = Script(case)
        schema = "; ".join(case.schema)
        self.model = Model(schema, self.script.groups, queue_limit=case.queue_limit)
        self.do = self.model.do
        self.script.ask = self.do
        self.script.active = lambda: self.model.active

    def seen(self, result: str) -> dict[str, object]:
        """The same as of the machine."""
        return {
            "result": result,
            "active": self.model.active,
            "ticks": self.model.ticks,
            "queue tick": self.model.queue_tick,
            "handlers": self.script.log,
            "nested results": self.script.answers,
            "their outcomes": [mutation.outcome for mutation in self.model.asked],
            "transitions": self.model.records,
            "error": self.model.errors > 0,
        }


def difference(case: Case) -> str | None:
    """Difference between the machine and the model; None if there is none."""
    subject, expected = Subject(case), Expected(case)
    for at, op in enumerate(case.steps):
        wanted = expected.seen(expected.do(op))
        if not case.traced:
            del expected.model.records[:]
        try:
            got = subject.seen(subject.do(op))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            return f"step {at} {op}: {type(error).__name__}: {error}"
        if got != wanted:
            apart = [_apart(what, got[what], wanted[what]) for what in wanted]
            return "\n".join([f"step {at} {op}:", *filter(None, apart)])
    return None


def _apart(what: str, got: Any, wanted: Any) -> str:
    """Text of the difference: of long lists, from its place on."""
    if got == wanted:
        return ""
    if what in ("handlers", "transitions"):
        short = min(len(got), len(wanted))
        at = next((at for at in range(short) if got[at] != wanted[at]), short)
        got, wanted = got[at : at + 5], wanted[at : at + 5]
    return f"  {what}:\n    machine {got}\n    model   {wanted}"


# making smaller


def minimised(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that fails too, of which nothing can be left out."""
    while True:
        for smaller in _smaller(case):
            if smaller != case and fails(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    for at in range(len(case.steps)):
        yield replace(case, steps=_without(case.steps, at))
    for at in range(len(case.groups)):
        yield replace(case, groups=_without(case.groups, at))
    yield from _smaller_groups(case)
    for at, op in enumerate(case.steps):
        for less in _shorter(op):
            yield replace(case, steps=_with(case.steps, at, less))
    for name in parse("; ".join(case.schema)):
        yield _without_state(case, name)
    for at, part in enumerate(case.schema):
        for plainer in _plainer(part):
            yield replace(case, schema=_with(case.schema, at, plainer))
    yield replace(case, queue_limit=1000)
    yield replace(case, traced=True)


def _smaller_groups(case: Case) -> Iterator[Case]:
    for at, group in enumerate(case.groups):
        for name, behaviour in group.items():
            rest = {other: does for other, does in group.items() if other != name}
            yield replace(case, groups=_with(case.groups, at, rest))
            for less in _calmer(behaviour):
                yield replace(case, groups=_with(case.groups, at, {**group, name: less}))


def _calmer(behaviour: Behaviour) -> Iterator[Behaviour]:
    if behaviour.raises:
        yield behaviour._replace(raises=False)
    if behaviour.refuses:
        yield behaviour._replace(refuses=0)
    for at, op in enumerate(behaviour.does):
        yield behaviour._replace(does=_without(behaviour.does, at))
        for less in _shorter(op):
            yield behaviour._replace(does=_with(behaviour.does, at, less))


def _shorter(op: Op) -> Iterator[Op]:
    for at in range(len(op.states)):
        yield op._replace(states=_without(op.states, at))
    if op.args:
        yield op._replace(args=False)


def _without_state(case: Case, name: str) -> Case:
    """The case without a state, its handlers, and everywhere it is named."""
    parts = []
    for part in case.schema:
        head, *relations = part.split()
        if head.rstrip("*!") == name:
            continue
        kept = [(one[0], [o for o in one[1:].split(",") if o != name]) for one in relations]
        parts.append(" ".join([head, *(sign + ",".join(names) for sign, names in kept if names)]))

    def cut(ops: Sequence[Op]) -> tuple[Op, ...]:
        return tuple(op._replace(states=tuple(s for s in op.states if s != name)) for op in ops)

    known = set(handler_names(list(parse("; ".join(parts)))))
    groups = tuple(
        {handler: does._replace(does=cut(does.does)) for handler, does in group.items()}
        for group in ({h: does for h, does in group.items() if h in known} for group in case.groups)
    )
    return replace(case, schema=tuple(parts), groups=groups, steps=cut(case.steps))


def _plainer(part: str) -> Iterator[str]:
    head, *relations = part.split()
    for flag in "*!":
        if flag in head:
            yield " ".join([head.replace(flag, ""), *relations])
    for at in range(len(relations)):
        yield " ".join([head, *relations[:at], *relations[at + 1 :]])


def _without(items: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*items[:at], *items[at + 1 :])


def _with(items: tuple[Any, ...], at: int, item: object) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])
