"""Assertions about machines for tests, with the state of the machine in their messages.

    assert_is(door, "Opened")
    assert_ticks(door, Opened=1, Closed=2)
    await wait_until_is(door, "Closed", timeout=1)

Each failure is an AssertionError with all states and ticks, the mutations in the
queue, and the last error with the story of how it came about.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias, TypeVar

from machine.core.machine import Machine
from machine.errors import MachineDisposed, WaitTimeout
from machine.helpers.driven import refuse_blocking
from machine.texts import error_text
from machine.waits.result import Result
from machine.waits.wait import Wait

__all__ = [
    "assert_any",
    "assert_canceled",
    "assert_error",
    "assert_executed",
    "assert_no_error",
    "assert_not",
    "assert_only",
    "assert_ticks",
    "describe",
    "never_an_error",
    "told",
    "wait_until",
    "wait_until_blocking",
    "wait_until_error",
    "wait_until_is",
    "wait_until_is_blocking",
    "wait_until_not",
    "wait_until_not_blocking",
]

AnyMachine: TypeAlias = Machine[Any]
E = TypeVar("E", bound=BaseException)

_TIMEOUT = 5.0
_FIRST_LOOK = 0.001
_LONGEST_LOOK = 0.05


def describe(machine: AnyMachine) -> str:
    """A description of a machine; failures of this module end with it."""
    lines = [f"  machine {machine.id}: {machine.string_all() or '(disposed)'}"]
    if machine.queue:
        lines.append(f"  queue: {'; '.join(map(str, machine.queue))}")
    if machine.transition is not None:
        lines.append(f"  in {machine.transition}, {machine.transition.handler or 'no handler yet'}")
    error = machine.err
    if error is not None:
        now = "error" if machine.is_err else "last error, which it has got over"
        lines.append(f"  {now}: {error_text(error)}")
        lines += [f"    {note}" for note in getattr(error, "__notes__", ())]
    return "\n".join(lines)


told = describe  # the name of before


def _fail(machine: AnyMachine, text: str) -> AssertionError:
    return AssertionError(f"{text}\n{describe(machine)}")


def _names(states: tuple[str, ...]) -> str:
    return ", ".join(states)


# -- now ---------------------------------------------------------------------------------


def assert_is(machine: AnyMachine, *states: str) -> None:
    """All these states are active.

    Raises:
        AssertionError: one is not.
        UnknownState: one is not in the schema.
    """
    machine.time(*states)
    missing = tuple(state for state in states if not machine.is_(state))
    if missing:
        raise _fail(machine, f"not active: {_names(missing)}")


def assert_not(machine: AnyMachine, *states: str) -> None:
    """None of these states is active; errors as in `assert_is`."""
    machine.time(*states)
    active = machine.active_states(states)
    if active:
        raise _fail(machine, f"active: {_names(active)}")


def assert_any(machine: AnyMachine, *states: str) -> None:
    """At least one of these states is active; errors as in `assert_is`."""
    machine.time(*states)
    if not machine.active_states(states):
        raise _fail(machine, f"none is active of: {_names(states)}")


def assert_only(machine: AnyMachine, *states: str) -> None:
    """Exactly these states are active; errors as in `assert_is`."""
    assert_is(machine, *states)
    others = tuple(state for state in machine.active if state not in states)
    if others:
        raise _fail(machine, f"also active: {_names(others)}")


def assert_ticks(machine: AnyMachine, clock: dict[str, int] | None = None, **ticks: int) -> None:
    """States have exactly these ticks; given by name, or in a dict."""
    wanted = {**(clock or {}), **ticks}
    machine.time(*wanted)
    wrong = {state: tick for state, tick in wanted.items() if machine.tick(state) != tick}
    if wrong:
        facts = (f"{state} is {machine.tick(state)}, not {tick}" for state, tick in wrong.items())
        raise _fail(machine, f"ticks: {'; '.join(facts)}")


def assert_no_error(machine: AnyMachine) -> None:
    """The machine does not have Exception now."""
    if machine.is_err:
        raise _fail(machine, "the machine has an error") from machine.err


def assert_error(machine: AnyMachine, kind: type[E], text: str = "") -> E:
    """The machine has Exception, and its error is of this class.

    Args:
        text: must be in it.

    Returns:
        The error.
    """
    error = machine.err
    if not machine.is_err or error is None:
        raise _fail(machine, f"no error, not {kind.__name__}")
    if not isinstance(error, kind):
        raise _fail(machine, f"the error is not {kind.__name__}") from error
    if text not in str(error):
        raise _fail(machine, f"the error does not say {text!r}") from error
    return error


def assert_executed(machine: AnyMachine, result: Result) -> None:
    """A mutation has run, and the machine is as it asked."""
    if not result.final.executed:
        raise _fail(machine, f"the mutation is {result.final}, not executed")


def assert_canceled(machine: AnyMachine, result: Result) -> None:
    """A mutation was rejected."""
    if not result.final.canceled:
        raise _fail(machine, f"the mutation is {result.final}, not canceled")


@contextlib.contextmanager
def never_an_error(machine: AnyMachine) -> Iterator[None]:
    """Assert that the machine gets no error while the body runs, not even for a moment.

    Raises:
        AssertionError: at the end of a body that did not raise itself.
    """
    before = machine.tick("Exception"), machine.err
    yield
    if (machine.tick("Exception"), machine.err) != before:
        raise _fail(machine, "the machine got an error meanwhile") from machine.err


# -- soon --------------------------------------------------------------------------------


async def wait_until(
    machine: AnyMachine,
    condition: Callable[[], object],
    what: str | None = None,
    *,
    timeout: float = _TIMEOUT,
) -> None:
    """Return as soon as a condition of your own holds; it is looked at again and again.

    Args:
        condition: plain or async.
        what: the condition in words, for the error.
        timeout: seconds.

    Raises:
        AssertionError: it did not hold in time.
    """
    give_up_at = time.monotonic() + timeout
    for pause in _looks(give_up_at):
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(pause)
    raise _fail(machine, f"not within {timeout:g} s: {what or repr(condition)}")


def wait_until_blocking(
    machine: AnyMachine,
    condition: Callable[[], object],
    what: str | None = None,
    *,
    timeout: float = _TIMEOUT,
) -> None:
    """`wait_until` for tests without an event loop."""
    refuse_blocking("wait", machine)
    give_up_at = time.monotonic() + timeout
    for pause in _looks(give_up_at):
        if condition():
            return
        time.sleep(pause)
    raise _fail(machine, f"not within {timeout:g} s: {what or repr(condition)}")


def _looks(give_up_at: float) -> Iterator[float]:
    """Pauses between looks; the last look comes when the time is over."""
    pause = _FIRST_LOOK
    while True:
        left = give_up_at - time.monotonic()
        yield max(0.0, min(pause, left))
        if left <= 0:
            return
        pause = min(pause * 1.5, _LONGEST_LOOK)


async def wait_until_is(machine: AnyMachine, *states: str, timeout: float = _TIMEOUT) -> None:
    """All these states are active at the same time, within `timeout` seconds."""
    await _in_time(machine, machine.when(*states), f"active: {_names(states)}", timeout)


async def wait_until_not(machine: AnyMachine, *states: str, timeout: float = _TIMEOUT) -> None:
    """None of these states is active, within `timeout` seconds."""
    await _in_time(machine, machine.when_not(*states), f"inactive: {_names(states)}", timeout)


async def wait_until_error(machine: AnyMachine, kind: type[E], *, timeout: float = _TIMEOUT) -> E:
    """The machine has an error of this class within `timeout` seconds; it is returned."""
    await _in_time(machine, machine.when_err(), f"an error, {kind.__name__}", timeout)
    return assert_error(machine, kind)


def wait_until_is_blocking(machine: AnyMachine, *states: str, timeout: float = _TIMEOUT) -> None:
    """`wait_until_is` for tests without an event loop."""
    refuse_blocking("wait", machine)
    _in_time_blocking(machine, machine.when(*states), f"active: {_names(states)}", timeout)


def wait_until_not_blocking(machine: AnyMachine, *states: str, timeout: float = _TIMEOUT) -> None:
    """`wait_until_not` for tests without an event loop."""
    refuse_blocking("wait", machine)
    _in_time_blocking(machine, machine.when_not(*states), f"inactive: {_names(states)}", timeout)


async def _in_time(machine: AnyMachine, wait: Awaitable[Any], what: str, timeout: float) -> None:
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            await wait
    except TimeoutError:
        if not deadline.expired():
            raise
        raise _fail(machine, f"not within {timeout:g} s {what}") from None
    except MachineDisposed:
        raise _fail(machine, f"the machine ended before it was {what}") from None


def _in_time_blocking(machine: AnyMachine, wait: Wait, what: str, timeout: float) -> None:
    try:
        wait.wait(timeout)
    except WaitTimeout:
        raise _fail(machine, f"not within {timeout:g} s {what}") from None
    except MachineDisposed:
        raise _fail(machine, f"the machine ended before it was {what}") from None
