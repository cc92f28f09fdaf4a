"""Handlers of the ready-made states: the orderly end of a machine, and its kinds of errors."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from asyncio import events
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from machine.core.identity import IdentityMap
from machine.core.machine import Machine
from machine.core.mutation import Source
from machine.core.transition import Event
from machine.errors import InvalidArgument, NoEventLoop
from machine.waits.contexts import StateContext
from machine.waits.result import Result

__all__ = [
    "DisposedHandlers",
    "add_err_connecting",
    "add_err_handler_timeout",
    "add_err_network",
    "dispose",
    "dispose_with",
]

AnyMachine: TypeAlias = Machine[Any]
Disposal: TypeAlias = Callable[[], Awaitable[object] | object]

_log = logging.getLogger("machine")
_ARGUMENT = "dispose"
_registering = threading.Lock()
_registrations: IdentityMap[AnyMachine, list[Disposal]] = IdentityMap()


class DisposedHandlers:
    """The handlers of `ready_made.Disposed`, to inherit from or to bind.

        class App(DisposedHandlers, Machine[AppStates]): ...

        app.add("RegisterDisposal", args={"dispose": connection.close})
        app.add("Disposing")        # closes the connection, then disposes the machine
        await app.when_disposed()

    `RegisterDisposal` takes a function without parameters, plain or async, as
    `dispose`, and is rejected without one. `Disposing` calls them, the last one
    first, in the background while the state lasts, and then adds `Disposed`,
    which disposes the machine. An error of one becomes the machine's error, and
    the others are still called. Without an event loop they are called at
    once, and async ones are an error.

    They are also called, without waiting for the async ones, when the machine is
    disposed in another way.
    """

    def RegisterDisposalEnter(self, args: Mapping[str, Any]) -> bool:  # noqa: N802
        """Accept only a callable."""
        return callable(args.get(_ARGUMENT))

    def RegisterDisposalState(self, machine: AnyMachine, dispose: Disposal) -> None:  # noqa: N802
        """Register the function."""
        self._registered(machine).append(dispose)
        machine.remove("RegisterDisposal")

    def DisposingState(  # noqa: N802
        self, machine: AnyMachine, ctx: StateContext
    ) -> Awaitable[None] | None:
        """Call all of them, and then end."""
        loop = machine.home_loop
        if events._get_running_loop() is not None or (loop is not None and not loop.is_closed()):
            return self._dispose_all(machine, ctx)
        functions = self._registered(machine)
        while functions:
            self._dispose_one(machine, functions.pop())
        machine.add("Disposed")
        return None

    def DisposedState(self, machine: AnyMachine) -> None:  # noqa: N802
        """End the machine."""
        machine.dispose()

    def _registered(self, machine: AnyMachine) -> list[Disposal]:
        """The functions registered for a machine; called also if it ends in another way."""
        with _registering:
            functions = _registrations.get(machine)
            if functions is None:
                functions = _registrations[machine] = []
                machine.on_dispose(functools.partial(_dispose_rest, functions))
            return functions

    async def _dispose_all(self, machine: AnyMachine, ctx: StateContext) -> None:
        functions = self._registered(machine)
        while functions and not ctx.expired:
            answer = self._dispose_one(machine, functions.pop(), is_async=True)
            if answer is not None:
                await self._awaited(machine, answer)
        if not ctx.expired:
            machine.add("Disposed")

    async def _awaited(self, machine: AnyMachine, answer: Awaitable[object]) -> None:
        try:
            with machine.catching():
                await answer
        except asyncio.CancelledError:  # its own, as of a task that it has cancelled; or ours
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _log.warning("a function registered for disposal of %r was cancelled", machine.id)

    def _dispose_one(
        self, machine: AnyMachine, function: Disposal, *, is_async: bool = False
    ) -> Awaitable[object] | None:
        """Call a function; returns its answer if that has to be awaited."""
        with machine.catching():
            try:
                answer = function()
            except asyncio.CancelledError:
                _log.warning("%r, registered for disposal, was cancelled", function)
                return None
            if not inspect.isawaitable(answer):
                return None
            if is_async:
                return answer
            if inspect.iscoroutine(answer):
                answer.close()
            raise NoEventLoop(f"{function!r} is async, and no event loop runs", machine=machine.id)
        return None


def _dispose_rest(functions: list[Disposal]) -> None:
    """Call the remaining functions of a machine that has ended already."""
    loop = events._get_running_loop()
    while functions:
        function = functions.pop()
        try:
            answer = function()
            if inspect.iscoroutine(answer) and loop is None:
                answer.close()
                _log.warning("%r is async, and no event loop runs: not called", function)
            elif inspect.isawaitable(answer):
                _keep(asyncio.ensure_future(answer))
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - no machine can report it
            _log.exception("%r, registered for disposal, raised", function)


_kept: set[asyncio.Future[Any]] = set()


def _keep(task: asyncio.Future[Any]) -> None:
    """Hold a task until it is done, and log its error."""
    _kept.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Future[Any]) -> None:
    _kept.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("a function registered for disposal raised", exc_info=error)


# -- with or without the ready-made states -----------------------------------------------


def dispose_with(machine: AnyMachine, what: Disposal | AnyMachine) -> None:
    """Dispose an object together with a machine.

    A machine with the states of `ready_made.Disposed` registers it, and waits
    for it in Disposing; another one calls it when it has ended, and then it
    cannot be async.

    Args:
        what: a function without parameters, or another machine.

    Raises:
        InvalidArgument: it cannot be called, or is async and would not be awaited; or
            the machine rejects it.
    """
    function: Any = what
    if isinstance(what, Machine):
        other = what

        def end() -> None:
            dispose(other)

        function = end
    if not callable(function):
        raise InvalidArgument(f"{what!r} is no function and no machine", argument="what")
    if machine.has("RegisterDisposal") and not machine.disposed:
        if machine.add("RegisterDisposal", args={_ARGUMENT: function}).canceled:
            raise InvalidArgument("RegisterDisposal was rejected", machine=machine.id)
        return
    if inspect.iscoroutinefunction(function):
        raise InvalidArgument(
            f"{function!r} is async, and nobody would await it",
            argument="what",
            machine=machine.id,
            hint="Give the machine the states and handlers of Disposed.",
        )
    machine.on_dispose(function)


def dispose(machine: AnyMachine) -> None:
    """End a machine in the way that it has: by its state Disposing, or at once.

    `await machine.when_disposed()` to wait for it.
    """
    handled = any("DisposingState" in one.names for one in machine.handlers)
    if handled and machine.has("Disposing", "Disposed"):
        machine.add("Disposing")
    else:
        machine.dispose()


# -- kinds of errors ---------------------------------------------------------------------


def add_err_network(
    machine: AnyMachine,
    error: BaseException,
    *,
    args: Mapping[str, Any] | None = None,
    source: Event | Source | None = None,
) -> Result:
    """An error of the network (`Basic.ErrNetwork`); as `machine.add_err`."""
    return machine.add_err_state("ErrNetwork", error, args=args, source=source)


def add_err_connecting(
    machine: AnyMachine,
    error: BaseException,
    *,
    args: Mapping[str, Any] | None = None,
    source: Event | Source | None = None,
) -> Result:
    """A connection could not be made (`Connected.ErrConnecting`); as `machine.add_err`."""
    return machine.add_err_state("ErrConnecting", error, args=args, source=source)


def add_err_handler_timeout(
    machine: AnyMachine,
    error: BaseException,
    *,
    args: Mapping[str, Any] | None = None,
    source: Event | Source | None = None,
) -> Result:
    """A handler took too long (`Basic.ErrHandlerTimeout`); as `machine.add_err`."""
    return machine.add_err_state("ErrHandlerTimeout", error, args=args, source=source)
