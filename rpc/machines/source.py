"""A machine as its mirrors see it: its clock as a value, and one signal for all its changes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from machine.core.machine import Machine
from machine.core.mutation import Mutation, Source
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from machine.waits.result import Result
from rpc.machine_pb2 import ClockMsg, Step
from rpc.machines.clock import Clock
from rpc.machines.feed import Projection
from rpc.machines.messages import KIND_NUMBERS

__all__ = ["SourceMachine", "TracedStep"]

_MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One transition of the source, for mirrors that follow each of them."""

    mutation: Mutation
    accepted: bool
    ticks: Sequence[int]
    queue_tick: int

    def message(self, names: Sequence[str], clock: ClockMsg | None) -> Step:
        """The transition as a message.

        Args:
            names: the agreed names, to which positions refer.
            clock: the change of the clock that it made; None: nothing that the mirror sees.
        """
        known = {name: at for at, name in enumerate(names)}
        mutation = self.mutation
        return Step(
            kind=KIND_NUMBERS[mutation.kind],
            called=[known[name] for name in mutation.called if name in known],
            accepted=self.accepted,
            auto=mutation.auto,
            clock=clock,
        )


class SourceMachine:
    """The machine that is served.

    Args:
        machine: a machine, or a remote one that is served again.
        changed: called on the event loop, once for any number of changes, with the
            transitions since then while `keep_steps` is set.
        schema_changed: called on the event loop after a change of the schema.

    Attributes:
        keep_steps: whether each transition is kept for `changed`.
        steps: those since the last call of it.
    """

    def __init__(
        self,
        machine: Machine[Any],
        changed: Callable[[list[TracedStep]], None],
        schema_changed: Callable[[], None],
    ) -> None:
        self.machine = machine
        self.keep_steps = False
        self.steps: deque[TracedStep] = deque(maxlen=_MOST_STEPS)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._changed = changed
        self._schema_changed = schema_changed
        self._signalled = False
        self._tracer = _Watcher(self)
        self._clocks: dict[Projection, Clock] = {}
        machine.bind_tracer(self._tracer)

    def close(self) -> None:
        """Follow the machine no longer."""
        if not self.machine.disposed:
            self.machine.detach_tracer(self._tracer)

    def clock(self, projection: Projection, shown: Clock | None) -> Clock:
        """The present clock as a mirror sees it; the same object while nothing changes."""
        machine = self.machine
        known = self._clocks.get(projection)
        same_import = known is not None and known.machine_tick == machine.machine_tick
        if known is not None and same_import and not projection.shallow:
            return known
        clock = projection.clock(machine.time(), machine.queue_tick, machine.machine_tick, shown)
        self._clocks[projection] = clock
        return clock

    def mutate(
        self,
        kind: Kind,
        states: Sequence[str],
        args: Mapping[str, Any] | None,
        origin: Source | None,
    ) -> Result:
        """Mutate the machine; raises as its methods do."""
        machine = self.machine
        call = {Kind.ADD: machine.add, Kind.REMOVE: machine.remove, Kind.SET: machine.set}[kind]
        return call(*states, args=args, source=origin)

    def add_error(
        self,
        states: Sequence[str],
        error: BaseException,
        args: Mapping[str, Any] | None,
        origin: Source | None,
    ) -> Result:
        """Make an error the machine's, and activate the states for its kind."""
        for state in states:
            if state != EXCEPTION:
                return self.machine.add_err_state(state, error, args=args, source=origin)
        return self.machine.add_err(error, args=args, source=origin)

    def fault(self) -> BaseException | None:
        """The last error, while Exception is active."""
        return self.machine.err if self.machine.is_(EXCEPTION) else None

    # -- called by the tracer, on any thread ------------------------------------------------

    def _ticked(self) -> None:
        self._clocks.clear()
        if self._signalled:
            return
        self._signalled = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._tell)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._signalled = False
        steps = list(self.steps)
        self.steps.clear()
        self._changed(steps)

    def _traced(self, tx: Transition) -> None:
        if self.keep_steps:
            ticks = tuple(tx.time_after)
            step = TracedStep(tx.mutation, tx.accepted, ticks, self.machine.queue_tick)
            self.steps.append(step)
        self._ticked()

    def _redefined(self) -> None:
        self._clocks.clear()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._schema_changed)


class _Watcher(Tracer):
    def __init__(self, source: SourceMachine) -> None:
        self._source = source

    def transition_end(self, tx: Transition) -> None:
        """See `Tracer`."""
        self._source._traced(tx)

    def schema_changed(self, machine: Machine[Any], old: Schema) -> None:
        """See `Tracer`."""
        self._source._redefined()

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """See `Tracer`."""
        self._source._ticked()
