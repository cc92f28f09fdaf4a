"""A machine as its mirrors see it: its clock as a value, and one signal for all its changes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from machine.core.machine import Machine
from machine.core.mutation import DropReason, Mutation, Source
from machine.core.tracer import Observed, Tracer
from machine.core.transition import Transition
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from machine.waits.result import Result
from rpc.machine_pb2 import Call, ClockMsg, Step
from rpc.machines.clock import Clock
from rpc.machines.feed import Projection
from rpc.machines.functions import Otherwise
from rpc.machines.messages import KIND_NUMBERS, seconds_of
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.values import from_values

__all__ = ["Served", "SourceMachine", "TracedStep"]

Served: TypeAlias = Machine[Any] | RemoteMachine[Any]

_MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One transition of the source, for mirrors that follow each of them."""

    mutation: Mutation
    accepted: bool
    ticks: Sequence[int]
    queue_tick: int

    def message(self, known: Mapping[str, int], clock: ClockMsg | None) -> Step:
        """The transition as a message.

        Args:
            known: the positions of the agreed names.
            clock: the change of the clock that it made; None: nothing that the mirror sees.
        """
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

    A mirror that is served again is a relay: its mutations run at its own source, so that
    they take time, and its ticks begin again when those of its source do.

    Args:
        machine: a machine of this process, or the mirror of another one.
        changed: called on the event loop, once for any number of changes, with the
            transitions since then while `keep_steps` is set.
        schema_changed: called on the event loop after a change of the schema.

    Attributes:
        keep_steps: True while each transition is kept for `changed`.
        mirrors: the number of those that `changed` has to tell of changes.
        generation: grows with each change of the schema, and each restart of a mirror's source.
        relay: the machine, if it is a mirror.
    """

    def __init__(
        self,
        machine: Served,
        changed: Callable[[list[TracedStep]], None],
        schema_changed: Callable[[], None],
    ) -> None:
        self.machine = machine
        self.relay = machine if isinstance(machine, RemoteMachine) else None
        self._relayed: set[asyncio.Task[Result]] = set()
        self._restarts = 0 if self.relay is None else self.relay.restarts
        self._schema = machine.schema
        self.keep_steps = False
        self.mirrors = 0
        self.generation = 0
        self._steps: deque[TracedStep] = deque(maxlen=_MOST_STEPS)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._changed = changed
        self._schema_changed = schema_changed
        self._signalled = False
        self._held = False
        self._imported = machine.machine_tick
        self._tracer = _Watcher(self)
        self._version = 0  # grows with each change, on the thread that makes it
        self._version_held = 0
        self._clocks: dict[str, tuple[int, Clock]] = {}
        machine.bind_tracer(self._tracer)

    def close(self) -> None:
        """Follow the machine no longer."""
        for task in self._relayed:
            task.cancel()
        if not self.machine.disposed:
            self.machine.detach_tracer(self._tracer)

    def clock(self, projection: Projection, shown: Clock | None) -> Clock:
        """The present clock as a mirror sees it; the same object while nothing changes."""
        # The version is read first: a change on another thread while the clock is being
        # made leaves one that is not used again.
        version = self._version
        if not projection.shallow:
            known = self._clocks.get(projection.key)
            if known is not None and known[0] == version:
                return known[1]
        machine = self.machine
        if machine.disposed and shown is not None:  # it has no ticks any more
            return shown
        ticks = machine.current_ticks
        clock = projection.clock(ticks, machine.queue_tick, machine.machine_tick, shown)
        if not projection.shallow:  # of those, each mirror has its own
            self._clocks[projection.key] = version, clock
        return clock

    @property
    def otherwise(self) -> Otherwise | None:
        """Calls a function of a relay's source; None if this is no relay."""
        return None if self.relay is None else self._call

    def visible(self) -> tuple[str, ...]:
        """The states that can be shown: a relay has some of its source's only, if it is told so."""
        return self.machine.names if self.relay is None else self.relay.mirrored

    def epoch(self, of_name: int) -> int:
        """The epoch of the ticks.

        Args:
            of_name: that of the name under which the machine is served, less than 2**40.
        """
        return (of_name + (self._restarts << 40)) % (1 << 64)

    def mutate(
        self,
        kind: Kind,
        states: Sequence[str],
        args: Mapping[str, Any] | None,
        origin: Source | None,
        timeout: float | None = None,
    ) -> Result | asyncio.Task[Result]:
        """Mutate the machine; raises as its methods do.

        With a relay, its source is asked, and has the `timeout` that is left for the one who asks;
        None: he does not say, and the relay's own holds.
        """
        machine = self.machine
        if isinstance(machine, RemoteMachine):
            act = {Kind.ADD: machine.add, Kind.REMOVE: machine.remove, Kind.SET: machine.set}[kind]
            return self._ask(act(*states, args=args, source=origin, timeout=timeout))
        if kind is Kind.ADD:
            return machine.add(*states, args=args, source=origin)
        if kind is Kind.REMOVE:
            return machine.remove(*states, args=args, source=origin)
        return machine.set(*states, args=args, source=origin)

    def add_error(
        self,
        states: Sequence[str],
        error: BaseException,
        args: Mapping[str, Any] | None,
        origin: Source | None,
        timeout: float | None = None,
    ) -> Result | asyncio.Task[Result]:
        """Make an error the machine's, and activate the states for its kind; as `mutate`."""
        machine = self.machine
        state = next((one for one in states if one != EXCEPTION), EXCEPTION)
        if isinstance(machine, RemoteMachine):
            return self._ask(
                machine.add_err_state(state, error, args=args, source=origin, timeout=timeout)
            )
        if state == EXCEPTION:
            return machine.add_err(error, args=args, source=origin)
        return machine.add_err_state(state, error, args=args, source=origin)

    async def _call(self, call: Call) -> Any:
        assert self.relay is not None  # noqa: S101 - only a relay is asked
        timeout = seconds_of(call.timeout)
        return await self.relay.get(call.name, timeout=timeout, **from_values(call.args))

    def _ask(self, call: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        # It outlives the mirror that asks: after a reconnect that gets the outcome of this call.
        task = self._loop.create_task(call, name=f"relayed to {self.machine.id}")
        self._relayed.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: asyncio.Task[Result]) -> None:
        self._relayed.discard(task)
        if not task.cancelled():
            task.exception()  # if a mirror waits for it, it gets it

    def fault(self) -> BaseException | None:
        """The last error, while Exception is active."""
        error = self.machine.err
        return error if error is not None and self.machine.is_(EXCEPTION) else None

    def hold(self) -> None:
        """Tell of no change until `release`: a mirror is about to make one itself."""
        self._held, self._version_held = True, self._version

    def release(self, *, told: bool) -> None:
        """Go on after `hold`.

        Args:
            told: the mirror that made the change has it; no one else needs to be told if
                there is no other.
        """
        self._held = False
        if self._version != self._version_held and not (told and self.mirrors == 1):
            self._signal()

    def tell(self) -> None:
        """Tell of all changes up to now, on the event loop."""
        self._signalled = False
        steps = []
        while self._steps:  # other threads may append meanwhile
            steps.append(self._steps.popleft())
        self._changed(steps)

    # -- called by the tracer, on any thread ------------------------------------------------

    def _ticked(self) -> None:
        self._version += 1
        if not self._held or threading.get_ident() != self._thread:
            self._signal()

    def _ended(self) -> None:
        self._version += 1
        self._signal()  # also while it is held: no outcome tells of this

    def _signal(self) -> None:
        if self._signalled:
            return
        self._signalled = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self.tell)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.tell)

    def _traced(self, tx: Transition) -> None:
        if self.keep_steps:
            ticks = tuple(tx.time_after)
            step = TracedStep(tx.mutation, tx.accepted, ticks, self.machine.queue_tick)
            self._steps.append(step)
        if self.relay is not None:
            self._follow(self.relay)
        self._ticked()

    def _follow(self, relay: RemoteMachine[Any]) -> None:
        if relay.restarts != self._restarts or relay.schema is not self._schema:
            self._restarts, self._schema = relay.restarts, relay.schema
            self._redefined()

    def _noted(self) -> None:
        if self._imported != self.machine.machine_tick:
            self._imported = self.machine.machine_tick
            self._ticked()

    def _redefined(self) -> None:
        self.generation += 1
        self._clocks.clear()
        self._version += 1
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._schema_changed)


class _Watcher(Tracer):
    def __init__(self, source: SourceMachine) -> None:
        self._source = source

    def transition_end(self, tx: Transition) -> None:
        """See `Tracer`."""
        self._source._traced(tx)

    def schema_changed(self, machine: Observed, old: Schema) -> None:
        """See `Tracer`."""
        self._source._redefined()

    def machine_disposed(self, machine: Observed) -> None:
        """See `Tracer`."""
        self._source._ended()

    def mutation_dropped(self, machine: Observed, mutation: Mutation, reason: DropReason) -> None:
        """See `Tracer`. The queue tick has moved."""
        self._source._ticked()

    def note(self, machine: Observed, level: str, text: str) -> None:
        """See `Tracer`. An import has no transition, but a note."""
        self._source._noted()
