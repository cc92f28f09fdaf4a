"""Replays of recordings.

Theory of operation
-------------------

The behaviour of a machine follows from its state, its handlers and the order of
its queue. Mutations of handlers come again by themselves. Those from outside that
ran at once are made again, one after the other, whenever the machine is idle.
One that was queued, because another thread was at work, has to get into the
queue at the same place. So the recorder and the replay count events, which are
the same in both and happen on the thread that works: a transition begins, a
handler's mutation is queued, or is not because it is queued already. The
recording says how many there had been when a mutation was queued. As soon as
the replay is as far, a thread queues the mutation, from inside the hook.

The recorder may be told a little late that something was queued. The ticks of
the queue tell the true order: a mutation comes after those of handlers with a
smaller tick, and before those with a larger one.
"""

from __future__ import annotations

import bisect
import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from machine.core.mutation import DropReason, Mutation
from machine.core.options import Options
from machine.core.replaying import (
    check_machine,
    keep_handlers,
    put_state,
    queue_error,
    queue_mutation,
)
from machine.core.tracer import Tracer
from machine.errors import MachineError
from machine.recording.format import (
    RecordedMutation,
    Recording,
    is_nested,
    is_nested_duplicate,
    mutation_of,
    outcome_of,
    read_recording,
)
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from machine.texts import error_text

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.transition import Transition

__all__ = ["ReplayDiffers", "Report", "replay", "replay_file"]

_COMPARED = ("kind", "called", "auto", "check", "accepted", "ticks", "error")
_NOTHING = "nothing more"
_ENDLESS = 1 << 62
_Todo = tuple[int, dict[str, Any] | RecordedMutation]


class ReplayDiffers(MachineError, AssertionError):
    """A replay came to something else than the recording.

    Attributes:
        path, line: where in the recording.
        expected, got: both outcomes, as text.
    """

    def __init__(self, path: str, line: int, expected: str, got: str, machine: str) -> None:
        self.path = path
        self.line = line
        self.expected = expected
        self.got = got
        super().__init__(
            f"{path}, line {line}: expected {expected}; got {got}",
            machine=machine,
            hint="Compare the schema and the handlers with those of the recording.",
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a replay.

    Attributes:
        path: of the recording.
        machine: on which it was replayed.
        mutations: the number that was made.
        transitions: the number that was compared and equal.
        complete: False if the recording was cut off.
        difference: the first one; None if all is the same.
    """

    path: str
    machine: Machine[Any]
    mutations: int
    transitions: int
    complete: bool
    difference: ReplayDiffers | None

    @property
    def ok(self) -> bool:
        """True if there is no difference."""
        return self.difference is None

    def __str__(self) -> str:
        done = f"{self.path}: {self.mutations} mutations, {self.transitions} transitions"
        if self.difference is not None:
            return f"{done}, then a difference: {self.difference}"
        return f"{done}, all the same" + ("" if self.complete else "; the recording was cut off")


def replay(
    path: str | os.PathLike[str],
    machine: Machine[Any] | None = None,
    *,
    handlers: object = (),
) -> Report:
    """Replay a recording, and compare the outcomes.

    The calling thread carries it out. Async handlers are left out.

    Args:
        path: of the recording.
        machine: of the same states; it is given the recorded state first. By
            default a plain one with the recorded schema is made.
        handlers: for this machine, as in `Machine`.

    Raises:
        ReplayDiffers: at the first difference.
        InvalidArgument: the file is no recording, or `machine` is at work.
        ImportMismatch: `machine` has other states.
        OSError: the file cannot be read.
    """
    report = replay_file(path, machine, handlers=handlers)
    if report.difference is not None:
        raise report.difference
    return report


def replay_file(
    path: str | os.PathLike[str],
    machine: Machine[Any] | None = None,
    *,
    handlers: object = (),
) -> Report:
    """As `replay`, but a difference is in the report, and not raised."""
    check_machine(machine)
    recording = read_recording(path)
    made = _machine_of(recording) if machine is None else machine
    for group in handlers if isinstance(handlers, list | tuple) else (handlers,):
        made.bind(group)
    keep_handlers(made, lambda handler: not handler.is_async)
    header = recording.header
    names = recording.schema.names
    put_state(made, names, header["ticks"], header["active"], header["queue_tick"])
    player = _Player(recording, made)
    made.bind_tracer(player)
    try:
        return player.play()
    finally:
        made.detach_tracer(player)


def _machine_of(recording: Recording) -> Machine[Any]:
    from machine.core.machine import Machine

    options = Options(**recording.header.get("options", {}))
    return Machine(recording.schema, id=recording.header["machine"], options=options)


class _Player(Tracer):
    """A tracer that makes the mutations of a recording, and compares their outcomes."""

    def __init__(self, recording: Recording, machine: Machine[Any]) -> None:
        self._recording = recording
        self._machine = machine
        self._names = recording.schema.names
        self._expected = [one for one in recording.entries if "transition" in one[1]]
        todo: list[_Todo] = []
        for line, data in recording.entries:
            if "mutation" in data:
                todo.append((line, mutation_of(line, data)))
            elif "transition" not in data:
                todo.append((line, data))
        nested = [data["queued"] for _, data in self._expected if "queued" in data]
        self._todo = _in_queue_order(todo, nested)
        self._next = self._events = self._ended = self._made = 0
        self._difference: ReplayDiffers | None = None

    def play(self) -> Report:
        """Make all mutations of the recording."""
        while self._difference is None and self._next < len(self._todo):
            self._do_next()
        recording = self._recording
        if self._difference is None and self._ended < len(self._expected):
            line, data = self._expected[self._ended]
            self._differs(line, _shown(data), _NOTHING)
        return Report(
            recording.path,
            self._machine,
            self._made,
            self._ended,
            recording.complete,
            self._difference,
        )

    def _do_next(self, at_work: bool = False) -> None:
        line, one = self._todo[self._next]
        self._next += 1
        try:
            if isinstance(one, RecordedMutation):
                self._made += 1
                _make(self._machine, one, at_work)
            elif "schema" in one:
                self._machine.set_schema(Schema.from_dict(one["schema"]))
                self._names = self._machine.names
            elif "state" in one:
                put_state(self._machine, self._names, one["state"], one["active"])
        except Exception as error:  # noqa: BLE001 - it is the outcome
            if self._catches(error):
                self._differs(line, f"{one} to be taken", error_text(error))

    def _catches(self, error: Exception) -> bool:
        """True if an error came from the mutation, and not from a handler (with catch=False)."""
        return self._machine.options.catch or isinstance(error, MachineError)

    def _come_along(self) -> None:
        """Make the mutations that came just now, while the machine was at work."""
        while self._difference is None and self._next < len(self._todo):
            one = self._todo[self._next][1]
            after = one.after if isinstance(one, RecordedMutation) else None
            if after is None or self._events < after:
                return
            thread = threading.Thread(target=self._do_next, args=(True,))
            thread.start()
            thread.join()

    def _differs(self, line: int, expected: str, got: str) -> None:
        self._difference = ReplayDiffers(
            self._recording.path, line, expected, got, self._machine.id
        )

    # -- listening -----------------------------------------------------------------------

    def transition_init(self, tx: Transition) -> None:
        self._event()

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        if is_nested(machine, mutation):
            self._event()

    def mutation_dropped(
        self, machine: Machine[Any], mutation: Mutation, reason: DropReason
    ) -> None:
        if is_nested_duplicate(machine, reason):
            self._event()

    def _event(self) -> None:
        self._events += 1
        self._come_along()

    def transition_end(self, tx: Transition) -> None:
        if self._difference is not None:
            return
        got = outcome_of(tx, self._ended + 1)
        if self._ended >= len(self._expected):
            recording = self._recording
            if recording.complete and not recording.waiting:
                line = recording.entries[-1][0] + 1 if recording.entries else 1
                self._differs(line, _NOTHING, _shown(got))
            return
        line, expected = self._expected[self._ended]
        if any(expected.get(name) != got.get(name) for name in _COMPARED):
            self._differs(line, _shown(expected), _shown(got))
            return
        self._ended += 1


def _make(machine: Machine[Any], one: RecordedMutation, at_work: bool) -> None:
    """Make a mutation as it was made; `at_work` if it is to be queued."""
    error = one.args.get("error") if isinstance(one.args, dict) else None
    if one.check:
        ask = machine.can_remove if one.kind is Kind.REMOVE else machine.can_add
        ask(*one.called, args=one.args, source=one.source)
    elif one.first:
        machine.prepend(one.kind, *one.called, args=one.args, source=one.source)
    elif EXCEPTION in one.called and one.kind is Kind.ADD and isinstance(error, BaseException):
        rest = {name: value for name, value in one.args.items() if name != "error"}
        queue_error(machine, one.called, error, rest, one.source)
    elif at_work:  # it was queued then, also if it would change nothing now
        mutation = Mutation(one.kind, one.called, one.args, source=one.source)
        queue_mutation(machine, mutation)
    else:
        getattr(machine, one.kind.value)(*one.called, args=one.args, source=one.source)


def _in_queue_order(todo: list[_Todo], nested: list[list[int]]) -> list[_Todo]:
    """The mutations with a tick in the order of the queue, also relative to those of handlers.

    Args:
        nested: the tick and the event of each mutation of a handler.
    """
    places = [at for at, (_, one) in enumerate(todo) if _place(one)]
    ordered = sorted((todo[at][1] for at in places), key=_place)
    known = sorted(nested)
    for at, one in zip(places, ordered, strict=True):
        if isinstance(one, RecordedMutation):
            after = one.after
            if after is not None:
                middle = bisect.bisect(known, [one.tick, _ENDLESS])
                after = max([after, *(event for _, event in known[:middle][-1:])])
                after = min([after, *(event - 1 for _, event in known[middle:][:1])])
            todo[at] = (one.line, replace(one, after=after))
    return todo


def _place(one: dict[str, Any] | RecordedMutation) -> tuple[int, bool] | tuple[()]:
    """The position in the queue; () for mutations put to the front, and other lines."""
    if isinstance(one, RecordedMutation) and one.tick:
        return one.tick, one.after is not None
    return ()


def _shown(data: dict[str, Any]) -> str:
    auto = ":auto" if data.get("auto") else ":check" if data.get("check") else ""
    done = "accepted" if data["accepted"] else "canceled"
    ticks = " ".join(f"{name}:{tick}" for name, tick in data["ticks"].items())
    error = f", {data['error']}: {data['text']}" if data.get("error") else ""
    called = ", ".join(data["called"])
    return f"[{data['kind']}{auto}] {called} {done} ({ticks}){error}"
