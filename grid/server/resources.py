"""Resources of a server: what it was given for its actors, found by the annotations of parameters.

    server.provide(database)                       # a value, by its class
    server.provide(connect(...), enter=True)       # a context: entered at the start

A parameter annotated with a class gets the resource that was provided as that class, or the only
one that is an instance of it. Contexts are entered in their order before the server joins, and
left in the opposite order after its actors have ended, all in one task, as contexts with a scope
of their own need it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import typing
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from grid.actor import ActorContext
from grid.codec import Codec, default_codec
from grid.errors import InvalidArgument
from grid.state import ActorState, Store

__all__ = ["Resources", "annotations_of", "needs_of", "takes_data"]

_log = logging.getLogger("grid.server")

_UNENTERED = object()
_DATA = (inspect.Parameter.empty, Any, object, bytes, bytearray, memoryview)


class Resources:
    """The resources of one server, by class."""

    def __init__(self) -> None:
        self._values: dict[type, Any] = {}
        self._contexts: list[tuple[Any, type | None]] = []
        self._task: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._opened = False
        self._codec, self._limit = default_codec, 0

    def add(self, value: Any, kind: type | None, *, enter: bool) -> None:
        """Provide a value, as a class; by default its own.

        Raises:
            InvalidArgument: there is one of that class already, the class is none, the value
                is no context and shall be entered, or the server has started.
        """
        if self._opened:
            raise InvalidArgument("a resource", value, "one provided before the server starts")
        if kind is not None and not isinstance(kind, type):
            raise InvalidArgument("as_type", kind, "a class")
        if isinstance(value, type) and kind is None:
            raise InvalidArgument("a resource", value, "an object of the class, or given as_type=")
        if enter and not (_is_context(value, "__aenter__") or _is_context(value, "__enter__")):
            raise InvalidArgument("enter", value, "a context manager, async or not")
        if enter:
            self._contexts.append((value, kind))
            if kind is not None:
                self._put(kind, _UNENTERED)
            return
        self._put(type(value) if kind is None else kind, value)

    def _put(self, kind: type, value: Any) -> None:
        if self._values.get(kind, _UNENTERED) is not _UNENTERED:
            raise InvalidArgument("a resource", kind, "a class that none was provided as yet")
        self._values[kind] = value

    def find(self, annotation: Any, what: str) -> Any:
        """The resource for an annotation.

        Args:
            annotation: a class.
            what: the parameter, for the error.

        Raises:
            InvalidArgument: none fits, or several do.
        """
        if isinstance(annotation, type):
            if annotation in self._values:
                return self._values[annotation]
            fitting = [one for one in self._values.values() if _is_one(one, annotation)]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                raise InvalidArgument(
                    what, annotation, f"one resource, not {len(fitting)}: provide it as_type="
                )
        raise InvalidArgument(
            f"the annotation of {what}",
            "missing" if annotation is None else annotation,
            "grid.ActorContext, grid.Request or grid.Stream, or the class of what "
            "server.provide was given",
        )

    def serve(self, codec: Codec, limit: int) -> None:
        """Take note of what states of actors are encoded by, and of their size in bytes."""
        self._codec, self._limit = codec, limit

    def state_of(self, context: ActorContext) -> ActorState:
        """The state of an actor.

        Raises:
            InvalidArgument: no store was provided.
        """
        if not self._stores():
            wanted = 'provided, as by server.provide(SqliteStore("shop.db"), enter=True)'
            raise InvalidArgument("the store of ctx.state", None, wanted)
        store = self.find(Store, "the store of ctx.state")
        key = f"{context.namespace}.state.{context.type}.{context.name}"
        return ActorState(store, key, context.epoch, self._codec, self._limit)

    def check(self, annotation: Any, what: str) -> None:
        """Raise as `find` does, as far as can be known before contexts are entered."""
        if not any(kind is None for _, kind in self._contexts):
            self.find(annotation, what)

    async def open(self) -> None:
        """Enter the contexts, in their order; if one fails, those before it are left.

        Raises:
            InvalidArgument: `ctx.state` would not know which of several stores it is in.
        """
        self._opened = True
        if not self._contexts:
            self._check_stores()
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leave.clear()
        self._task = asyncio.create_task(self._hold(ready), name="resources")
        await asyncio.wait([self._task, ready], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            task, self._task = self._task, None
            await task  # raises the error of the one that failed

    async def close(self, timeout: float) -> None:
        """Leave the contexts, in the opposite order; those that take longer are cancelled."""
        self._opened = False
        task, self._task = self._task, None
        if task is None:
            return
        self._leave.set()
        await asyncio.wait([task], timeout=timeout)
        if not task.done():
            _log.error("resources were not left within %s s, and are cancelled", timeout)
            task.cancel()
            await asyncio.wait([task], timeout=timeout)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            _log.error("leaving the resources failed", exc_info=error)

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        provided = dict(self._values)
        try:
            async with AsyncExitStack() as stack:
                for context, kind in self._contexts:
                    if _is_context(context, "__aenter__"):
                        value = await stack.enter_async_context(context)
                    else:
                        value = stack.enter_context(context)
                    self._put(type(value) if kind is None else kind, value)
                self._check_stores()
                ready.set_result(None)
                await self._leave.wait()
        finally:
            self._values = provided  # a start that failed may be tried again

    def _stores(self) -> list[Store]:
        return [one for one in self._values.values() if isinstance(one, Store)]

    def _check_stores(self) -> None:
        stores = self._stores()
        if len(stores) > 1 and Store not in self._values:
            found = ", ".join(type(one).__name__ for one in stores)
            wanted = "one that is provided as_type=grid.state.Store, the others as they are"
            raise InvalidArgument("the store of ctx.state", found, wanted)


def needs_of(function: Callable[..., Any], skip: int = 0) -> Iterator[tuple[str, Any]]:
    """The parameters that resources are for: those without a default, but for contexts.

    Args:
        function: what is called, a class too.
        skip: parameters at its beginning that its caller fills in.
    """
    annotations = annotations_of(function)
    parameters = list(inspect.signature(function).parameters.values())
    for one in parameters[skip:]:
        named = one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        annotation = annotations.get(one.name)
        if named and one.default is one.empty and annotation is not ActorContext:
            yield one.name, annotation


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function's or a constructor's parameters, resolved where possible."""
    target = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return dict(getattr(target, "__annotations__", {}))


def takes_data(cls: type) -> bool:
    """True if the first parameter of a constructor is for the bytes of a start."""
    parameters = list(inspect.signature(cls).parameters.values())
    if not parameters:
        return False
    annotation = annotations_of(cls).get(parameters[0].name, inspect.Parameter.empty)
    return annotation in _DATA


def _is_context(value: Any, method: str) -> bool:
    return callable(getattr(type(value), method, None))


def _is_one(value: Any, kind: type) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be checked
        return False
