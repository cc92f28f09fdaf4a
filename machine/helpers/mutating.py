"""Mutations with their usual company: a wait, a retry, a question before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from machine.core.mutation import Source
from machine.core.transition import Event
from machine.errors import EvalTimeout, InvalidArgument, MachineDisposed, MachineError
from machine.helpers.driven import AnyMachine, DrivenWait, Pause, Stepped, Steps
from machine.rules.kinds import Kind
from machine.waits.contexts import StateContext
from machine.waits.result import CANCELED, Result

__all__ = [
    "MutationCanceled",
    "add_and_wait",
    "add_then_wait_for",
    "ask_add",
    "ask_remove",
    "call",
    "cant_add",
    "cant_remove",
    "executed",
    "remove_and_wait",
    "remove_multi",
    "retry_mutation",
]

T = TypeVar("T")
Args: TypeAlias = Mapping[str, Any] | None
From: TypeAlias = Event | Source | None


# -- mutate, and wait until it has run ---------------------------------------------------


def add_and_wait(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> DrivenWait[bool]:
    """Add states, and wait until that has been carried out or rejected.

    The mutation is made when this is awaited or waited for. Cancelling the
    wait, and a timeout, take nothing back: the mutation stays in the queue.

    Args:
        timeout: seconds.

    Returns:
        A wait for True if all these states are active then; False on a
        disposed machine.

    Raises:
        UnknownState, InvalidArgument: as `machine.add`.
        WaitTimeout: the mutation has not had its turn in time.
    """

    def steps() -> Steps[bool]:
        yield machine.add(*states, args=args, source=source)
        return machine.is_(*states)

    return Stepped(_turn(Kind.ADD, states), steps(), machine, timeout)


def remove_and_wait(
    machine: AnyMachine,
    *states: str,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> DrivenWait[bool]:
    """Remove states, and wait for it, as `add_and_wait`; True if none of them is active then."""

    def steps() -> Steps[bool]:
        yield machine.remove(*states, args=args, source=source)
        return machine.not_(*states)

    return Stepped(_turn(Kind.REMOVE, states), steps(), machine, timeout)


def add_then_wait_for(
    machine: AnyMachine,
    state: str,
    wait_state: str,
    *,
    args: Args = None,
    source: From = None,
    timeout: float | None = None,
) -> DrivenWait[bool]:
    """Add a state, and wait until another one begins or begins again: a request and its response.

    A response that comes at once is not missed, and one from before does not count.

    Returns:
        A wait for True; or False if the mutation was rejected, and the other
        state did not begin.

    Raises:
        UnknownState, InvalidArgument: as `machine.add`.
        WaitTimeout: the other state did not begin within `timeout` seconds.
        MachineDisposed: the machine ended first.
    """

    def steps() -> Steps[bool]:
        answer = machine.when_next_active(wait_state)  # before it may come
        result = yield machine.add(state, args=args, source=source)
        if result.canceled:
            return answer.done and answer.error is None
        yield answer
        return True

    return Stepped(f"{wait_state}, after {state},", steps(), machine, timeout)


def _turn(kind: Kind, states: tuple[str, ...]) -> str:
    return f"the turn of {kind} {', '.join(states)}"


# -- try again ---------------------------------------------------------------------------


def retry_mutation(
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
) -> DrivenWait[Result]:
    """Mutate, and try again while it is canceled; attempts are made while this is awaited.

    Args:
        retries: the number of attempts after the first one.
        delay: seconds before the first retry; each next one takes twice as long.
        max_delay: the longest delay, in seconds.
        max_time: seconds after which no other attempt begins.
        ctx: give up when it expires.

    Returns:
        A wait for the result of the last attempt: executed, or canceled.

    Raises:
        UnknownState, InvalidArgument: as the mutation; or a number is negative.
    """
    method = _method(machine, kind)
    if retries < 0 or delay < 0 or max_delay < 0 or max_time < 0:
        raise InvalidArgument("retries and seconds are not negative", argument="retries")

    def steps() -> Steps[Result]:
        for pause in _pauses(retries, delay, max_delay, max_time):
            result: Result = yield method(*states, args=args, source=source)
            if not result.canceled or pause is None or machine.disposed:
                break
            if not (yield Pause(pause, ctx)):
                break
        return result

    what = f"{Kind(kind)} {', '.join(states)} to be accepted"
    return Stepped(what, steps(), machine, None)


def _method(machine: AnyMachine, kind: Kind | str) -> Callable[..., Result]:
    methods = {Kind.ADD: machine.add, Kind.REMOVE: machine.remove, Kind.SET: machine.set}
    return methods[Kind(kind)]


def _pauses(
    retries: int, delay: float, max_delay: float, max_time: float
) -> Iterator[float | None]:
    """The seconds to wait after each attempt; None after the last."""
    ends_at = time.monotonic() + max_time
    for _ in range(retries):
        pause = min(delay, max_delay)
        if time.monotonic() + pause > ends_at:
            break
        yield pause
        delay *= 2
    yield None


# -- results -----------------------------------------------------------------------------


class MutationCanceled(MachineError, RuntimeError):
    """A mutation that was needed has been rejected."""


def executed(result: Result, what: str = "a mutation") -> Result:
    """Return a result unless it is canceled, for mutations that must not be.

    Args:
        result: of a mutation; a queued one passes until its outcome is known,
            so await it first.
        what: names the mutation in the error.

    Raises:
        MutationCanceled: it was rejected.
    """
    if result.final.canceled:
        raise MutationCanceled(
            f"{what} was canceled",
            hint="Relations or a negotiation handler rejected it: see machine.inspect() and logs.",
        )
    return result.final


def remove_multi(state: str) -> Callable[..., None]:
    """A final handler that removes its Multi state at once, for states that are messages.

    class Inbox(Machine[InboxStates]):
        def MessageEnter(self, text: str) -> bool: ...
        MessageState = remove_multi(InboxStates.Message)
    """

    def handler(*_owner: object, machine: AnyMachine) -> None:
        machine.remove(state)

    return handler


# -- ask first ---------------------------------------------------------------------------


def ask_add(machine: AnyMachine, *states: str, args: Args = None, source: From = None) -> Result:
    """Add states only if relations and negotiation handlers accept it in a dry run.

    A mutation that is rejected leaves traces, in logs and counters; a dry run
    leaves none. While another thread works off the queue, and in handlers, a
    dry run is not possible, and the states are added as by `machine.add`.

    Returns:
        Canceled if the dry run was rejected, else the result of adding them.
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
    """True if adding these states would be rejected; False while no dry run is possible."""
    return machine.can_add(*states, args=args).canceled


def cant_remove(machine: AnyMachine, *states: str, args: Args = None) -> bool:
    """True if removing these states would be rejected; False while no dry run is possible."""
    return machine.can_remove(*states, args=args).canceled


# -- a function between transitions ------------------------------------------------------


def call(
    machine: AnyMachine, source: str, function: Callable[[], T], *, timeout: float | None = None
) -> T:
    """Run a function while neither a transition nor a handler runs, and return its value.

    Blocks the thread until the function has had its turn.

    Args:
        source: the name of the caller, for logs.
        function: must be quick; its errors are raised here.
        timeout: seconds to wait for a turn; the machine's `eval_timeout` by default.

    Raises:
        EvalTimeout: the function had no turn in time, and will not run.
        MachineDisposed: the machine has ended.
        InvalidArgument: this is a handler of the machine; call the function directly.
    """
    if machine.in_handler:
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
