"""One state whose work is shared by several workers, with a limit on how many run at a time.

    fan = fan_out("Start", "Fetch", 5)
    machine = Machine(fan.schema)
    fan.bind(machine, fetch, limit=2)           # async def fetch(number, ctx)
    machine.add("Fetch")
    await machine.when(fan.done)

`Fetch` is active while the whole lasts. Worker 3 works while `Fetch3` is
active, and then has `Fetch3Done`; when all have, `FetchDone` begins. Removing
`Fetch` cancels them and takes all of that back, so that it can begin again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from machine.core.handlers import Binding
from machine.core.machine import Machine
from machine.errors import InvalidArgument
from machine.schema.schema import Schema, as_schema
from machine.schema.state import EXCEPTION, State
from machine.waits.contexts import StateContext

__all__ = ["FanOut", "fan_out"]

AnyMachine: TypeAlias = Machine[Any]
Work: TypeAlias = Callable[[int, StateContext], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class FanOut:
    """The states of some workers.

    Attributes:
        schema: the one that was given, with these states.
        name: of the whole.
        workers: the states of the workers at work.
        dones: those of the workers that are ready, in the same order.
        done: all are ready.
    """

    schema: Schema
    name: str
    workers: tuple[str, ...]
    dones: tuple[str, ...]
    done: str

    def bind(self, machine: AnyMachine, work: Work, *, limit: int | None = None) -> Binding:
        """Let a function do the work in the background.

        Args:
            machine: one with this schema.
            work: is called with the number of the worker, from 1, and the
                context of its state. When it returns, the worker is ready.
                An error that it raises becomes the machine's error; its
                worker keeps its state, and the next worker begins.
            limit: the number of workers that work at the same time; all by default.

        Raises:
            InvalidArgument: the limit is not above 0.
            InvalidHandler: the machine does not have these states.
        """
        if limit is not None and limit < 1:
            raise InvalidArgument(f"limit is above 0, not {limit!r}", argument="limit")
        return machine.bind(_Workers(self, work, limit or len(self.workers)).handlers())


def fan_out(schema: object, name: str, workers: int) -> FanOut:
    """Add the states of some workers to a schema.

    Args:
        schema: a Schema, States class, text or mapping. If it has `name`
            already, that state keeps its relations.
        name: of the state for the whole, and the prefix of all other names.
        workers: the number of workers.

    Returns:
        Its schema has the states `{name}`, `{name}1`..., `{name}1Done`... and
        `{name}Done`, and the workers in the group `{name}Workers`.

    Raises:
        InvalidArgument: there is not at least one worker, or one of the new
            states is there already.
    """
    if workers < 1:
        raise InvalidArgument(f"workers are above 0, not {workers!r}", argument="workers")
    base = as_schema(schema)
    working = tuple(f"{name}{number}" for number in range(1, workers + 1))
    dones = tuple(f"{state}Done" for state in working)
    done = f"{name}Done"
    taken = [state for state in (*working, *dones, done) if state in base]
    if taken:
        raise InvalidArgument(f"the schema has {taken[0]!r} already", argument="name")
    states: dict[str, State] = {name: base[name] if name in base else State()}
    for state, ready in zip(working, dones, strict=True):
        states[state] = State(require=name, remove=ready)
        states[ready] = State(require=name, remove=state)
    states[done] = State(auto=True, require=(name, *dones))
    groups = {**base.groups, f"{name}Workers": working}
    whole = base.with_states(states)
    order = [state for state in whole.names if state != EXCEPTION]
    if EXCEPTION in base.names and base.names[-1] != EXCEPTION:
        order = list(whole.names)
    return FanOut(Schema(dict(whole), order=order, groups=groups), name, working, dones, done)


class _Workers:
    """Handlers that begin workers up to the limit, and the next one when one ends."""

    def __init__(self, fan: FanOut, work: Work, limit: int) -> None:
        self._fan = fan
        self._work = work
        self._limit = limit
        self._next = 0

    def handlers(self) -> dict[str, Callable[..., Any]]:
        handlers: dict[str, Callable[..., Any]] = {f"{self._fan.name}State": self._begin}
        for number, state in enumerate(self._fan.workers):
            handlers[f"{state}State"] = self._worker(number)
        return handlers

    def _begin(self, machine: AnyMachine) -> None:
        self._next = min(self._limit, len(self._fan.workers))
        old = machine.active_states(self._fan.workers, self._fan.dones)
        if old:
            machine.remove(old)  # as a Multi state may begin again while it is active
        machine.add(*self._fan.workers[: self._next])

    def _worker(self, number: int) -> Callable[..., Any]:
        async def work(machine: AnyMachine, ctx: StateContext) -> None:
            try:
                await self._work(number + 1, ctx)
            except BaseException:
                task = asyncio.current_task()
                # Unless this very task is cancelled: what it awaited may have been.
                if not ctx.expired and task is not None and not task.cancelling():
                    self._begin_next(machine)
                raise
            if not ctx.expired:
                self._begin_next(machine)
                machine.add(self._fan.dones[number])

        return work

    def _begin_next(self, machine: AnyMachine) -> None:
        if self._next < len(self._fan.workers):
            self._next += 1
            machine.add(self._fan.workers[self._next - 1])
