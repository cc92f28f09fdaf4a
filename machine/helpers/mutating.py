"""Mutations together with what usually stands around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from machine.core.mutation import Event, Source
from machine.errors import EvalTimeout, InvalidArgument, MachineDisposed
from machine.helpers.background import sleep
from machine.helpers.waiting import AnyMachine, check_blocking, in_handler, in_time
from machine.rules.kinds import Kind
from machine.waits.contexts import StateContext
from machine.waits.result import CANCELED, Result

__all__ = [
    "add_and_wait",
    "add_and_wait_blocking",
    "add_then_wait_for",
    "add_then_wait_for_blocking",
    "ask_add",
    "ask_remove",
    "call",
    "cant_add",
    "cant_remove",
    "remove_and_wait",
    "remove_and_wait_blocking",
    "retry_mutation",
    "retry_mutation_blocking",
]

T = TypeVar("T")
Args: TypeAlias = Mapping[str, Any] | None
From: TypeAlias = Event | Source | None


# -- mutate, and wait until it has run ---------------------------------------------------


async def add_and_wait(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """Add states, and wait until that has been carried out or rejected.

    Cancelling this, and a timeout, take nothing back: it stays in the queue.

    Args:
        timeout: seconds.

    Returns:
        True if all these states are active now; False on a disposed machine.

    Raises:
        UnknownState, InvalidArgument: as `machine.add`.
        WaitTimeout: it has not had its turn in time.
    """
    result = machine.add(*states, args=args, source=source)
    await in_time(result, timeout, _turn(Kind.ADD, states), machine)
    return machine.is_(*states)


async def remove_and_wait(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """Remove states, and wait for it, as `add_and_wait`; True if none of them is active now."""
    result = machine.remove(*states, args=args, source=source)
    await in_time(result, timeout, _turn(Kind.REMOVE, states), machine)
    return machine.not_(*states)


def add_and_wait_blocking(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """`add_and_wait` for threads.

    Raises:
        InvalidArgument: this is a handler of the machine, which would wait for
            itself, or the thread of a running event loop.
    """
    check_blocking("wait for a mutation", machine)
    machine.add(*states, args=args, source=source).wait(timeout)
    return machine.is_(*states)


def remove_and_wait_blocking(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """`remove_and_wait` for threads; refused where `add_and_wait_blocking` is."""
    check_blocking("wait for a mutation", machine)
    machine.remove(*states, args=args, source=source).wait(timeout)
    return machine.not_(*states)


async def add_then_wait_for(
    machine: AnyMachine,
    state: str,
    wait_state: str,
    *,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """Add a state, and wait until another one begins, or begins anew: a request and its response.

    A response that comes at once is not missed, and one from before does not count.

    Returns:
        False if the mutation was rejected, and the other state did not begin.

    Raises:
        UnknownState, InvalidArgument: as `machine.add`.
        WaitTimeout: it did not begin within `timeout` seconds.
        MachineDisposed: the machine ended first.
    """
    answer = machine.when_next_active(wait_state)
    result = machine.add(state, args=args, source=source)

    async def both() -> bool:
        if (await result).canceled:
            return answer.done and answer.error is None
        await answer
        return True

    return await in_time(both(), timeout, f"{wait_state}, after {state},", machine)


def add_then_wait_for_blocking(
    machine: AnyMachine,
    state: str,
    wait_state: str,
    *,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> bool:
    """`add_then_wait_for` for threads; refused where `add_and_wait_blocking` is."""
    check_blocking("wait for a state", machine)
    ends_at = None if timeout is None else time.monotonic() + timeout
    answer = machine.when_next_active(wait_state)
    if machine.add(state, args=args, source=source).wait(timeout).canceled:
        return answer.done and answer.error is None
    answer.wait(None if ends_at is None else max(0.0, ends_at - time.monotonic()))
    return True


def _turn(kind: Kind, states: tuple[str, ...]) -> str:
    return f"the turn of {kind} {', '.join(states)}"


# -- try again ---------------------------------------------------------------------------


async def retry_mutation(
    machine: AnyMachine,
    kind: Kind | str,
    *states: str,
    args: Args = None,
    source: From = None,
    retries: int = 10,
    delay: float = 0.1,
    max_delay: float = 5.0,
    max_time: float = 5.0,
    ctx: StateContext | None = None,
) -> Result:
    """Mutate, and try again while it is canceled.

    Args:
        retries: how often after the first time.
        delay: seconds before the first of them; each next one takes twice as long.
        max_delay: seconds that are not exceeded by this.
        max_time: seconds after which no other attempt begins.
        ctx: give up when it expires.

    Returns:
        What the last attempt came to: executed, or canceled.

    Raises:
        UnknownState, InvalidArgument: as the mutation.
    """
    method = _method(machine, kind)
    for pause in _pauses(retries, delay, max_delay, max_time):
        result = await method(*states, args=args, source=source)
        if not result.canceled or pause is None or machine.disposed:
            break
        if ctx is None:
            await asyncio.sleep(pause)
        elif not await sleep(ctx, pause):
            break
    return result


def retry_mutation_blocking(
    machine: AnyMachine,
    kind: Kind | str,
    *states: str,
    args: Args = None,
    source: From = None,
    retries: int = 10,
    delay: float = 0.1,
    max_delay: float = 5.0,
    max_time: float = 5.0,
) -> Result:
    """`retry_mutation` for threads; refused where `add_and_wait_blocking` is."""
    check_blocking("retry a mutation", machine)
    method = _method(machine, kind)
    for pause in _pauses(retries, delay, max_delay, max_time):
        result = method(*states, args=args, source=source).wait()
        if not result.canceled or pause is None or machine.disposed:
            break
        time.sleep(pause)
    return result


def _method(machine: AnyMachine, kind: Kind | str) -> Callable[..., Result]:
    methods = {Kind.ADD: machine.add, Kind.REMOVE: machine.remove, Kind.SET: machine.set}
    return methods[Kind(kind)]


def _pauses(
    retries: int, delay: float, max_delay: float, max_time: float
) -> Iterator[float | None]:
    """How long to wait after each attempt; None after the last."""
    if retries < 0 or delay < 0 or max_delay < 0 or max_time < 0:
        raise InvalidArgument("retries and seconds are not negative", argument="retries")
    ends_at = time.monotonic() + max_time
    for _ in range(retries):
        pause = min(delay, max_delay)
        if time.monotonic() + pause > ends_at:
            break
        yield pause
        delay *= 2
    yield None


# -- ask first ---------------------------------------------------------------------------


def ask_add(machine: AnyMachine, *states: str, args: Args = None, source: From = None) -> Result:
    """Add states only if relations and negotiation handlers accept it in a dry run.

    A mutation that is rejected leaves traces, in logs and counters; a dry run
    leaves none. While somebody else drains the queue, and in handlers, nothing
    can be asked, and the states are added as by `machine.add`.

    Returns:
        Canceled: it would have been. Otherwise what adding them came to.
    """
    if machine.can_add(*states, args=args, source=source).canceled:
        return CANCELED
    return machine.add(*states, args=args, source=source)


def ask_remove(machine: AnyMachine, *states: str, args: Args = None, source: From = None) -> Result:
    """Remove states only if a dry run is accepted; as `ask_add`."""
    if machine.can_remove(*states, args=args, source=source).canceled:
        return CANCELED
    return machine.remove(*states, args=args, source=source)


def cant_add(machine: AnyMachine, *states: str, args: Args = None) -> bool:
    """True if adding these states would be rejected; False while that cannot be asked."""
    return machine.can_add(*states, args=args).canceled


def cant_remove(machine: AnyMachine, *states: str, args: Args = None) -> bool:
    """True if removing these states would be rejected; False while that cannot be asked."""
    return machine.can_remove(*states, args=args).canceled


# -- a value of the machine's own time ---------------------------------------------------


def call(
    machine: AnyMachine, source: str, function: Callable[[], T], *, timeout: float | None = None
) -> T:
    """Run a function while no transition runs and no handler, and return what it gives.

    Args:
        source: who asks, for logs.
        function: must be quick; what it raises comes out here.
        timeout: seconds to wait for a turn; the machine's `eval_timeout` by default.

    Raises:
        EvalTimeout: it had no turn in time, and will not run.
        MachineDisposed: the machine has ended.
        InvalidArgument: this is a handler of the machine; call the function directly.
    """
    if in_handler(machine):
        raise InvalidArgument(
            f"{source!r} would wait for itself: this is a handler",
            machine=machine.id,
            hint="Call the function directly: a handler has the machine to itself.",
        )
    values: list[T] = []
    if machine.eval(source, lambda: values.append(function()), timeout=timeout):
        return values[0]
    if machine.disposed:
        raise MachineDisposed(machine.id)
    seconds = machine.options.eval_timeout if timeout is None else timeout
    raise EvalTimeout(source, seconds, machine=machine.id)
