"""Waiting for several things at once, as a task or as a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from asyncio import events
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError, WaitTimeout, did_you_mean, near_names
from machine.schema.schema import EXCEPTION
from machine.waits.result import Result
from machine.waits.wait import Wait

__all__ = [
    "AnyMachine",
    "Came",
    "check_blocking",
    "group_when",
    "in_group",
    "in_time",
    "states_of_group",
    "wait_for_all",
    "wait_for_all_blocking",
    "wait_for_any",
    "wait_for_any_blocking",
    "when_group",
]

T = TypeVar("T")
AnyMachine: TypeAlias = Machine[Any]
Waitable: TypeAlias = Awaitable[Any] | concurrent.futures.Future[Any]
Blocking: TypeAlias = Wait | Result | concurrent.futures.Future[Any]


class Came(NamedTuple):
    """What came first.

    Attributes:
        position: its place among what was waited for, from 0.
        what: itself.
        value: what awaiting it gave: None for a `Wait`, the final Result for a Result.
    """

    position: int
    what: Any
    value: Any


# -- as a task ---------------------------------------------------------------------------


async def wait_for_all(
    *waits: Waitable, timeout: float | None = None, machine: AnyMachine | None = None
) -> list[Any]:
    """Wait until all of them are done.

    Cancelling this, and every error, leaves Waits, Results, tasks and futures
    as they are; coroutines that were given here are cancelled.

    Args:
        waits: what `when...` and mutations give, and anything else that can be awaited.
        timeout: seconds.
        machine: give up as soon as this machine has Exception.

    Returns:
        What awaiting each of them gives, in their order.

    Raises:
        WaitTimeout: names those that are still open.
        MachineDisposed: a machine of theirs has ended.
        Exception: what one of them raised, or the error of `machine`.
    """
    async with _Join(waits, machine) as join:
        await join.run(asyncio.FIRST_EXCEPTION, timeout)
        return [task.result() for task in join.tasks]


async def wait_for_any(
    *waits: Waitable, timeout: float | None = None, machine: AnyMachine | None = None
) -> Came:
    """Wait until one of them is done; arguments and errors as for `wait_for_all`.

    Returns:
        Which one came, and what it gave. Of several at once the first that did
        not fail.
    """
    if not waits:
        raise InvalidArgument("any of nothing never comes", argument="waits")
    async with _Join(waits, machine) as join:
        await join.run(asyncio.FIRST_COMPLETED, timeout)
        done = [index for index, task in enumerate(join.tasks) if task.done()]
        index = next((one for one in done if _went_well(join.tasks[one])), done[0])
        return Came(index, waits[index], join.tasks[index].result())


class _Join:
    """Futures for all that is waited for, and the end of those that nobody else has."""

    def __init__(self, waits: tuple[Waitable, ...], machine: AnyMachine | None) -> None:
        self._waits = waits
        self._machine = machine
        self._own: list[asyncio.Task[Any]] = []
        self._failure: asyncio.Task[Any] | None = None
        self.tasks: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> Self:
        self._check()
        self.tasks = [self._future(wait) for wait in self._waits]
        if self._machine is not None:
            self._failure = asyncio.create_task(_awaiting(self._machine.when_err()))
            self._own.append(self._failure)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._own:
            task.cancel()
        if self._own:
            await asyncio.wait(self._own)
        for task in self._own:
            if not task.cancelled():
                task.exception()  # it has been told, or nobody asks

    def _check(self) -> None:
        for wait in self._waits:
            if isinstance(wait, concurrent.futures.Future | Awaitable):
                continue
            for other in self._waits:
                if isinstance(other, Coroutine):
                    other.close()
            raise InvalidArgument(
                f"{wait!r} cannot be awaited",
                argument="waits",
                hint="Give what machine.when(...) or machine.add(...) returned, or a coroutine.",
            )

    def _future(self, wait: Waitable) -> asyncio.Future[Any]:
        if asyncio.isfuture(wait):
            return wait
        if isinstance(wait, concurrent.futures.Future):
            return asyncio.wrap_future(wait)
        task = asyncio.create_task(_awaiting(wait))
        self._own.append(task)
        return task

    async def run(self, until: str, timeout: float | None) -> None:
        """Return when it is decided, or raise why it is not."""
        ends_at = None if timeout is None else asyncio.get_running_loop().time() + timeout
        await asyncio.sleep(0)  # what is done already is so without any time
        while not self._decided(until):
            some = {task for task in self.tasks if not task.done()}
            left = None
            if ends_at is not None:
                left = ends_at - asyncio.get_running_loop().time()
            also = set() if self._failure is None else {self._failure}
            if left is not None and left <= 0:
                raise WaitTimeout(self._open(), timeout or 0.0)
            await asyncio.wait(some | also, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None and self._failure.done() and not self._decided(until):
                self._failed(self._failure)

    def _decided(self, until: str) -> bool:
        if until == asyncio.FIRST_COMPLETED:
            return any(task.done() for task in self.tasks)
        for task in self.tasks:
            if task.done() and not _went_well(task):
                task.result()
        return all(task.done() for task in self.tasks)

    def _failed(self, failure: asyncio.Task[Any]) -> None:
        failure.result()
        machine = self._machine
        assert machine is not None  # noqa: S101 - it has failed
        raise machine.err or MachineError(
            f"it has the state {EXCEPTION}, and no error", machine=machine.id, state=EXCEPTION
        )

    def _open(self) -> str:
        pairs = zip(self._waits, self.tasks, strict=True)
        still = [_words(wait) for wait, task in pairs if not task.done()]
        return f"{len(still)} of {len(self.tasks)}: {'; '.join(still)};"


async def _awaiting(wait: Awaitable[T]) -> T:
    return await wait


def _went_well(task: asyncio.Future[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _words(wait: object) -> str:
    if isinstance(wait, Wait):
        return wait._what
    if isinstance(wait, Result):
        return "a mutation to run" if wait._wait is None else wait._wait._what
    if isinstance(wait, Coroutine):
        return f"{getattr(wait, '__qualname__', 'a coroutine')}()"
    return repr(wait)


async def in_time(work: Awaitable[T], timeout: float | None, what: str, machine: AnyMachine) -> T:
    """Await something; WaitTimeout if that takes longer than so many seconds."""
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise WaitTimeout(what, timeout or 0.0, machine=machine.id) from None


# -- as a thread -------------------------------------------------------------------------


def wait_for_all_blocking(
    *waits: Blocking, timeout: float | None = None, machine: AnyMachine | None = None
) -> list[Any]:
    """`wait_for_all` for a thread without an event loop: blocks it.

    Raises:
        InvalidArgument: this is a handler of `machine`, or the thread of an
            event loop; or something other than a Wait, a Result or a future of
            `concurrent.futures` was given.
    """
    _check_waits(waits, machine)
    return _in_own_loop(wait_for_all(*waits, timeout=timeout, machine=machine))


def wait_for_any_blocking(
    *waits: Blocking, timeout: float | None = None, machine: AnyMachine | None = None
) -> Came:
    """`wait_for_any` for a thread without an event loop; as `wait_for_all_blocking`."""
    _check_waits(waits, machine)
    return _in_own_loop(wait_for_any(*waits, timeout=timeout, machine=machine))


def _check_waits(waits: Iterable[object], machine: AnyMachine | None) -> None:
    check_blocking("wait", machine)
    for wait in waits:
        if not isinstance(wait, Wait | Result | concurrent.futures.Future):
            raise InvalidArgument(
                f"a thread can wait for a Wait or a Result, not for {wait!r}", argument="waits"
            )


def _in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Only waiting is done in it: handlers never see this loop."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


def check_blocking(what: str, machine: AnyMachine | None) -> None:
    """Refuse what would wait for itself.

    Raises:
        InvalidArgument: this is a handler of the machine, or the thread of a
            running event loop.
    """
    if machine is not None and in_handler(machine):
        raise InvalidArgument(
            f"one cannot {what} in a handler: the queue goes on only after it",
            machine=machine.id,
            hint="Mutate and return; or do it in an async State handler, with the async function.",
        )
    if events._get_running_loop() is not None:
        raise InvalidArgument(
            f"one cannot {what} on the thread of an event loop without stopping the loop",
            machine=None if machine is None else machine.id,
            hint="Await the function of the same name without _blocking.",
        )


def in_handler(machine: AnyMachine) -> bool:
    """True on the thread that drains the machine, while it does."""
    return machine._thread == threading.get_ident() and machine.transition is not None


# -- groups ------------------------------------------------------------------------------


def group_when(machines: Iterable[AnyMachine], *states: str) -> tuple[Wait, ...]:
    """For each machine a wait for its states, for `wait_for_all` and `wait_for_any`."""
    return tuple(machine.when(*states) for machine in machines)


def states_of_group(machine: AnyMachine, group: str) -> tuple[str, ...]:
    """The states of a group of the machine's schema.

    Raises:
        InvalidArgument: there is no such group.
    """
    groups = machine.schema.groups
    if group not in groups:
        near = did_you_mean(near_names(group, groups))
        raise InvalidArgument(
            f"the schema has no group {group!r}{near}", argument="group", machine=machine.id
        )
    return groups[group]


def in_group(machine: AnyMachine, group: str) -> tuple[str, ...]:
    """Which states of a group are active, in the group's order."""
    return machine.active_states(states_of_group(machine, group))


def when_group(machine: AnyMachine, group: str, *, every: bool = False) -> Wait:
    """A wait for one state of a group to be active, or for `every` one at the same time."""
    states = states_of_group(machine, group)
    return machine.when(*states) if every else machine.when_any(*states)
