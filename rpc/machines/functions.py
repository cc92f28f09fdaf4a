"""Functions that a client or a server offers, and their calls by the other side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from grid.aio import USER_ERRORS, being_cancelled
from grid.errors import MessageTooLarge
from grid.texts import check_text
from machine.errors import MachineError
from rpc.machine_pb2 import Call, Value
from rpc.machines.errors import AccessDenied, ProtocolError, UnknownCall
from rpc.machines.messages import fault_of, raised
from rpc.machines.values import from_scalar, from_values, to_scalar, to_values

__all__ = ["Function", "FunctionCalls", "OfferedFunctions", "Otherwise"]

_MOST_AT_ONCE = 64

Function = Callable[..., Any]
Otherwise = Callable[[Call], Awaitable[Any]]


class OfferedFunctions:
    """The functions that this side offers to one other side.

    Args:
        functions: plain or async, by name.
        allowed: the names that the other side may call; None: all.
        otherwise: answers the call of a function that is not there.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        allowed: Collection[str] | None = None,
        otherwise: Otherwise | None = None,
    ) -> None:
        self._allowed = allowed
        self._otherwise = otherwise
        self._functions = {
            name: one for name, one in functions.items() if allowed is None or name in allowed
        }
        self._refused = functions.keys() - self._functions.keys()
        self._running = 0

    @property
    def names(self) -> list[str]:
        """The names that the other side may call."""
        return list(self._functions)

    async def respond(self, call: Call, send: Callable[[Value], Awaitable[None]]) -> None:
        """Call a function and send its answer, or its error, or that the answer is too large."""
        try:
            await send(await self._answer(call))
        except MessageTooLarge as error:
            await send(Value(id=call.id, fault=fault_of(error)))

    async def _answer(self, call: Call) -> Value:
        value = Value(id=call.id)
        if self._running >= _MOST_AT_ONCE:
            text = f"{_MOST_AT_ONCE} calls run for this caller; {call.name!r} was not called"
            value.fault.CopyFrom(fault_of(ProtocolError(text)))
            return value
        self._running += 1
        try:
            function = self._find(call.name)
            answer = self._pass_on(call) if function is None else function(**from_values(call.args))
            if inspect.isawaitable(answer):
                answer = await answer
            value.value.CopyFrom(to_scalar(answer))
        except USER_ERRORS as error:  # the caller gets it
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            value.fault.CopyFrom(fault_of(error))
        finally:
            self._running -= 1
        return value

    def _pass_on(self, call: Call) -> Awaitable[Any]:
        assert self._otherwise is not None  # noqa: S101 - else the function was not found
        return self._otherwise(call)

    def _find(self, name: str) -> Function | None:
        """A function of this side; None if the call is passed on."""
        if name in self._refused:
            raise AccessDenied(f"{name!r} may not be called from there")
        function = self._functions.get(name)
        if function is None and self._otherwise is not None:
            if self._allowed is not None and name not in self._allowed:
                raise AccessDenied(f"{name!r} may not be called from there")
            return None
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise UnknownCall(f"no function {name!r} is offered; there are: {known}")
        return function


class FunctionCalls:
    """The calls of this side that have no answer yet.

    Args:
        machine: its name, for the texts of errors.
    """

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def call(
        self, send: Callable[[Call], Awaitable[None]], name: str, args: Mapping[str, Any]
    ) -> Any:
        """Send a call and wait for its answer.

        Raises:
            InvalidArgument, NotPlainData: nothing was sent.
            UnknownCall, AccessDenied, RemoteError: what the other side answered.
        """
        check_text("name of a function", name)
        self._last += 1
        call = Call(id=self._last, name=name, args=to_values(args))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[call.id] = future
        try:
            await send(call)
            return await future
        finally:
            self._waiting.pop(call.id, None)

    def answered(self, value: Value) -> None:
        """Take an answer in."""
        future = self._waiting.get(value.id)
        if future is None or future.done():
            return
        if value.HasField("fault"):
            future.set_exception(raised(value.fault, self._machine))
        else:
            try:
                future.set_result(from_scalar(value.value))
            except MachineError as error:  # of a type that is not known here
                future.set_exception(error)

    def end(self, error: BaseException) -> None:
        """Fail all calls: their answers cannot come any more."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
