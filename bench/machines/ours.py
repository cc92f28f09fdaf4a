"""Our machines, as sides."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from bench.machines import ASYNC, AUTOS, AWAITS, NONE, TEN, TOGGLE, TWO, Drive, LoopDrive, Side
from machine import Machine, Schema

__all__ = [
    "TEN_STATES",
    "Enters",
    "again",
    "awaiting",
    "first_time",
    "many",
    "many_states",
    "mutating",
]

TEN_STATES = Schema.parse(
    "Idle -Busy,Failed; Busy -Idle,Failed +Lit; Failed -Idle,Busy; Lit ?Busy; Warm ?Lit; "
    "Powered; Locked ?Powered; Open -Locked ?Powered; Ready ?Idle -Warm; Seen! >Busy"
)
_STATES = {
    TOGGLE: Schema.parse("Idle -Busy; Busy -Idle"),
    TEN: TEN_STATES,
    AUTOS: Schema.parse(
        "Idle -Busy,Failed; Busy -Idle,Failed +Lit; Failed -Idle,Busy; Lit ?Busy; Warm* ?Lit; "
        "Powered; Locked ?Powered; Open -Locked ?Powered; Ready* ?Idle -Warm; Seen! >Busy"
    ),
}
_numbers = itertools.count()


class Enters:
    """Two plain handlers a mutation."""

    def IdleEnter(self) -> None: ...  # noqa: N802 - the name of a handler
    def IdleState(self) -> None: ...  # noqa: N802
    def BusyEnter(self) -> None: ...  # noqa: N802
    def BusyState(self) -> None: ...  # noqa: N802


class _Async:
    """An async handler a mutation, which returns at once."""

    done = 0

    async def IdleState(self) -> None:  # noqa: N802
        self.done += 1

    async def BusyState(self) -> None:  # noqa: N802
        self.done += 1


class _Awaits:
    """An async handler a mutation, which awaits once."""

    done = 0

    async def IdleState(self) -> None:  # noqa: N802
        await asyncio.sleep(0)
        self.done += 1

    async def BusyState(self) -> None:  # noqa: N802
        await asyncio.sleep(0)
        self.done += 1


_HANDLERS: dict[str, Any] = {NONE: None, TWO: Enters, ASYNC: _Async, AWAITS: _Awaits}


def _machine(shape: str, handlers: str) -> tuple[Machine[Any], Any]:
    group = _HANDLERS[handlers]
    bound = group() if group is not None else None
    machine: Machine[Any] = Machine(_STATES[shape], handlers=() if bound is None else bound)
    machine.add("Powered" if shape != TOGGLE else "Idle")
    machine.add("Idle")
    return machine, bound


def mutating(shape: str, handlers: str) -> Drive:
    """Mutations with plain handlers, or none."""
    return _alternating(_machine(shape, handlers)[0], "Busy", "Idle")


def _alternating(machine: Machine[Any], one: str, other: str) -> Drive:
    add = machine.add

    def drive(count: int) -> None:
        for _ in range(count // 2):
            add(one)
            add(other)

    return drive


def awaiting(shape: str, handlers: str) -> LoopDrive:
    """Mutations with an async handler; each has returned before the next mutation."""
    machine: Machine[Any] | None = None
    bound: Any = None

    async def drive(count: int) -> None:
        nonlocal machine, bound
        if machine is None:  # inside the loop that its handlers need
            machine, bound = _machine(shape, handlers)
        add, pause = machine.add, asyncio.sleep
        while bound.done < 1:
            await pause(0)
        wanted = bound.done
        for _ in range(count // 2):
            add("Busy")
            wanted += 1
            while bound.done < wanted:
                await pause(0)
            add("Idle")
            wanted += 1
            while bound.done < wanted:
                await pause(0)

    return drive


def many(shape: str, handlers: str, machines: int) -> LoopDrive:
    """The same on many machines at once: all are mutated, then all handlers return."""
    made: list[tuple[Machine[Any], Any]] = []

    async def settled(each: int) -> None:
        for _, bound in made:
            while bound.done < each:  # noqa: ASYNC110 - a pass of the loop is what is measured
                await asyncio.sleep(0)

    async def drive(count: int) -> None:
        if not made:
            made.extend(_machine(shape, handlers) for _ in range(machines))
            await settled(1)
        done = made[0][1].done
        for number in range(count // machines):
            name = "Idle" if number % 2 else "Busy"
            for machine, _ in made:
                machine.add(name)
            done += 1
            await settled(done)

    return drive


def many_states(count: int, handlers: str, active: int = 0) -> Drive:
    """A toggle among many states, some of which are active."""
    names = [f"S{number}" for number in range(count - 2)]
    machine: Machine[Any] = Machine(
        Schema.parse("; ".join([*names, "Idle -Busy", "Busy -Idle"])),
        handlers=() if handlers == NONE else _HANDLERS[handlers](),
    )
    machine.add("Idle", *names[:active])
    return _alternating(machine, "Busy", "Idle")


def first_time(count: int) -> Side:
    """Mutations without a cached plan, in a schema of many states with relations."""

    def measure(mutations: int) -> float:
        took = 0.0
        made = 0
        while made < mutations:
            machine, names = _related(count)
            add, remove = machine.add, machine.remove
            began = time.thread_time()
            for name in names:
                add(name)
                remove(name)
            took += time.thread_time() - began
            made += 2 * len(names)
        return took * mutations / made

    return measure


def again(count: int) -> Drive:
    """The same mutations when they were made before."""
    machine, names = _related(count)

    def drive(mutations: int) -> None:
        add, remove = machine.add, machine.remove
        for _ in range(-(-mutations // (2 * len(names)))):
            for name in names:
                add(name)
                remove(name)

    return drive


def _related(count: int) -> tuple[Machine[Any], list[str]]:
    """A machine of a schema that is new each time: each state ends one, a fourth starts one."""
    mark = next(_numbers)
    names = [f"S{number}N{mark}" for number in range(count)]
    states = [
        f"{name} -{names[(at + 1) % len(names)]}"
        + (f" +{names[(at + 2) % len(names)]}" if at % 4 == 0 else "")
        for at, name in enumerate(names)
    ]
    return Machine(Schema.parse("; ".join(states))), names[:64]
