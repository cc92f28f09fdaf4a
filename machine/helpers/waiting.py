"""Waits for several things at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from machine.errors import InvalidArgument, MachineError
from machine.helpers.driven import AnyMachine, DrivenWait
from machine.schema.schema import EXCEPTION
from machine.waits.result import Result
from machine.waits.wait import Wait

__all__ = ["Completed", "wait_for_all", "wait_for_any"]

T = TypeVar("T")
Waitable: TypeAlias = Awaitable[Any] | concurrent.futures.Future[Any]


class Completed(NamedTuple):
    """The first of several waits that completed.

    Attributes:
        position: its index among the waits, from 0.
        what: the wait itself.
        value: its value: None for a plain `Wait`, the final Result for a Result.
    """

    position: int
    what: Any
    value: Any


def wait_for_all(
    *waits: Waitable, timeout: float | None = None, machine: AnyMachine | None = None
) -> DrivenWait[list[Any]]:
    """A wait for all of them to be done.

    Cancelling it, and every error, leaves Waits, Results, tasks and futures
    as they are; coroutines that were given here are cancelled.

    Args:
        waits: the waits of `when...`, the results of mutations, and any other
            awaitable. A thread can wait for Waits, Results and futures of
            `concurrent.futures` only.
        timeout: seconds.
        machine: give up as soon as this machine has Exception.

    Returns:
        A wait for the values of all, in their order.

    Raises:
        InvalidArgument: one of them cannot be awaited, or not by a thread.
        WaitTimeout: names those that are still open.
        MachineDisposed: the machine of one of them has ended.
        Exception: the error that one of them raised, or that of `machine`.
    """
    return _All(waits, timeout, machine)


def wait_for_any(
    *waits: Waitable, timeout: float | None = None, machine: AnyMachine | None = None
) -> DrivenWait[Completed]:
    """A wait for one of them to be done; arguments and errors as for `wait_for_all`.

    Returns:
        A wait for the one that completed, and its value. Of several at once it
        is the first that did not fail.
    """
    if not waits:
        raise InvalidArgument("waiting for any of nothing never ends", argument="waits")
    return _Any(waits, timeout, machine)


class _Joined(DrivenWait[T]):
    __slots__ = ("_open", "_waits")

    until = asyncio.FIRST_EXCEPTION

    def __init__(
        self, waits: tuple[Waitable, ...], timeout: float | None, machine: AnyMachine | None
    ) -> None:
        super().__init__("", machine, timeout)
        self._waits = waits
        self._open: str | None = None
        _check_waits(waits)

    @property
    def what(self) -> str:
        """The waits that are still open."""
        return self._open or _open_of(self._waits, len(self._waits))

    async def _drive(self) -> None:
        await self._join(self._ends_at, self._timeout)

    def _drive_in_thread(self, ends_at: float | None) -> None:
        for wait in self._waits:
            if not isinstance(wait, Wait | Result | concurrent.futures.Future):
                _close_coroutines(self._waits)
                raise InvalidArgument(
                    f"a thread can wait for a Wait or a Result, not for {wait!r}", argument="waits"
                )
        given = self._timeout
        if ends_at is not None and ends_at != self._ends_at:
            given = ends_at - time.monotonic()
        # A loop of its own, in which only waiting is done: handlers never see it.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(self._join(ends_at, given))

    async def _join(self, ends_at: float | None, given: float | None) -> None:
        async with _Join(self._waits, self._machine) as join:
            if await join.decided(self.until, ends_at):
                self._resolve(self._value_of(join.tasks))
                return
            still = [
                one for one, task in zip(self._waits, join.tasks, strict=True) if not task.done()
            ]
        self._open = _open_of(still, len(self._waits))
        raise self._overdue(given)

    def _value_of(self, tasks: list[asyncio.Future[Any]]) -> T:
        raise NotImplementedError


class _All(_Joined[list[Any]]):
    __slots__ = ()

    def _value_of(self, tasks: list[asyncio.Future[Any]]) -> list[Any]:
        return [task.result() for task in tasks]


class _Any(_Joined[Completed]):
    __slots__ = ()

    until = asyncio.FIRST_COMPLETED

    def _value_of(self, tasks: list[asyncio.Future[Any]]) -> Completed:
        done = [index for index, task in enumerate(tasks) if task.done()]
        index = next((one for one in done if _succeeded(tasks[one])), done[0])
        return Completed(index, self._waits[index], tasks[index].result())


class _Join:
    """Futures for all waits, and the end of the tasks that only this join has."""

    def __init__(self, waits: tuple[Waitable, ...], machine: AnyMachine | None) -> None:
        self._waits = waits
        self._machine = machine
        self._own: list[asyncio.Task[Any]] = []
        self._failure: asyncio.Task[Any] | None = None
        self.tasks: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> Self:
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
                task.exception()  # retrieved, so that asyncio does not log it

    def _future(self, wait: Waitable) -> asyncio.Future[Any]:
        if asyncio.isfuture(wait):
            return wait
        if isinstance(wait, concurrent.futures.Future):
            return asyncio.wrap_future(wait)
        task = asyncio.create_task(_awaiting(wait))
        self._own.append(task)
        return task

    async def decided(self, until: str, ends_at: float | None) -> bool:
        """Wait until it is decided; False if it is not in time.

        Args:
            ends_at: of the monotonic clock.

        Raises:
            Exception: the error of a wait, or of the machine.
        """
        await asyncio.sleep(0)  # waits that are done already need no time
        while not self._decided(until):
            some = {task for task in self.tasks if not task.done()}
            left = None if ends_at is None else ends_at - time.monotonic()
            if left is not None and left <= 0:
                return False
            also = set() if self._failure is None else {self._failure}
            await asyncio.wait(some | also, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None and self._failure.done() and not self._decided(until):
                self._failed(self._failure)
        return True

    def _decided(self, until: str) -> bool:
        if until == asyncio.FIRST_COMPLETED:
            return any(task.done() for task in self.tasks)
        for task in self.tasks:
            if task.done() and not _succeeded(task):
                task.result()
        return all(task.done() for task in self.tasks)

    def _failed(self, failure: asyncio.Task[Any]) -> None:
        failure.result()
        machine = self._machine
        assert machine is not None  # noqa: S101 - it has failed
        raise machine.err or MachineError(
            f"it has the state {EXCEPTION}, and no error", machine=machine.id, state=EXCEPTION
        )


def _check_waits(waits: tuple[Waitable, ...]) -> None:
    for wait in waits:
        if not isinstance(wait, concurrent.futures.Future | Awaitable):
            _close_coroutines(waits)
            raise InvalidArgument(
                f"{wait!r} cannot be awaited",
                argument="waits",
                hint="Give what machine.when(...) or machine.add(...) returned, or a coroutine.",
            )


def _close_coroutines(waits: tuple[Waitable, ...]) -> None:
    for wait in waits:
        if isinstance(wait, Coroutine) and not isinstance(wait, DrivenWait):
            wait.close()


async def _awaiting(wait: Awaitable[T]) -> T:
    return await wait


def _succeeded(task: asyncio.Future[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _open_of(waits: list[Waitable] | tuple[Waitable, ...], all_of: int) -> str:
    return f"{len(waits)} of {all_of}: {'; '.join(map(_described, waits))};"


def _described(wait: object) -> str:
    if isinstance(wait, Wait | Result):
        return wait.what
    if isinstance(wait, Coroutine):
        return f"{getattr(wait, '__qualname__', 'a coroutine')}()"
    return repr(wait)
