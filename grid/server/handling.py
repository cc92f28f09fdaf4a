"""Actors made of handlers: each request goes to the handler of its message's type.

A handler's error fails its request and nothing else: the caller gets `RequestFailed`, the log the
traceback, and the next request is served. With a concurrency of one, requests are served in their
order of arrival, in the actor's own task; with more, by as many tasks that read the one mailbox.
Each stream has a task of its own, so that a long one keeps nothing else waiting.

A drain ends the reading of the mailbox after what it holds; handlers that run are waited for, and
then `on_stop` is called. Streams are waited for if the actor looks at `ctx.stopping`, by which
they may learn of the drain, and are cancelled otherwise. When the actor is cancelled, so are its
handlers, and `on_stop` is still called.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any

from google.protobuf.message import Message

from grid.actor import ActorContext
from grid.aio import USER_ERRORS, being_cancelled
from grid.deadline import now
from grid.errors import ActorEnded, InvalidArgument, RequestFailed
from grid.errors.classification import is_of_request
from grid.handlers import Declaration, HandlerKind, HandlerTable
from grid.mailbox.request import Request
from grid.plain import described, is_message
from grid.server.resources import Resources, needs_of
from grid.stream import Stream

__all__ = ["HandlerActor", "check_handlers", "resource_parameters"]

_log = logging.getLogger("grid.actor")

_LOG_PAUSE = 1.0  # seconds between errors of one actor that are logged with their traceback

Call = Callable[[Request[Any]], Awaitable[Any]]


def check_handlers(table: Iterable[Declaration], hooks: object = None) -> None:
    """Raise `InvalidArgument` if a parameter of a handler or hook cannot be filled in."""
    for one in table:
        for name, annotation in resource_parameters(one).items():
            if not isinstance(annotation, type):
                raise InvalidArgument(
                    f"the annotation of {name!r} of handler {one.name}",
                    "missing" if annotation is None else annotation,
                    "grid.ActorContext, grid.Request or grid.Stream, or the class of a resource",
                )
    for name in ("on_start", "on_stop"):
        hook = getattr(hooks, name, None)
        if hook is not None and not inspect.iscoroutinefunction(hook):
            raise InvalidArgument(name, hook, "an async function")


def resource_parameters(declared: Declaration) -> dict[str, Any]:
    """The parameters that resources of the server are for, with their annotations."""
    return {
        name: annotation
        for name, annotation in declared.others.items()
        if annotation is not ActorContext and not _is_request(annotation)
    }


def _is_request(annotation: Any) -> bool:
    return Request in (annotation, typing.get_origin(annotation))


class HandlerActor:
    """An actor that serves its mailbox by handlers.

    Args:
        table: the handlers.
        instance: the object that methods are bound to; None for functions.
        concurrency: how many requests are served at once.
        resources: what handlers and hooks may ask for.
    """

    def __init__(
        self, table: HandlerTable, instance: object, concurrency: int, resources: Resources
    ) -> None:
        self._table = table
        self._instance = instance
        self._concurrency = concurrency
        self._resources = resources
        self._calls: dict[type, tuple[Declaration, Call]] = {}
        self._streams: dict[type, tuple[Declaration, Call]] = {}
        self._open_streams: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._logged = -_LOG_PAUSE
        self._unlogged = 0

    async def act(self, ctx: ActorContext) -> None:
        """Serve the actor's mailbox until it ends."""
        self._context = ctx
        await self._hook("on_start")
        try:
            await self._serve_all()
            if self._open_streams and not ctx._watches_stopping:
                # They cannot hear of the stop otherwise, and may go on for ever.
                self._cancel_streams()
            await asyncio.gather(*self._open_streams)
        finally:
            self._cancel_streams()
            await asyncio.gather(*self._open_streams, return_exceptions=True)
            await self._hook("on_stop")
            if self._threads is not None:
                self._threads.shutdown(wait=False)

    async def _serve_all(self) -> None:
        if self._concurrency == 1:
            await self._serve()
            return
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._serve(), name=f"handlers of {self._context.name}")
        except BaseExceptionGroup as error:
            raise error.exceptions[0] from None  # each task has the same: of the mailbox

    def _cancel_streams(self) -> None:
        for task in self._open_streams:
            task.cancel()

    async def _hook(self, name: str) -> None:
        hook = getattr(self._instance, name, None)
        if hook is not None:
            first = [self._context] if inspect.signature(hook).parameters else []
            needs = needs_of(hook, skip=1)
            await hook(*first, **{one: self._resource(kind, one, name) for one, kind in needs})

    def _resource(self, kind: Any, parameter: str, of: str) -> Any:
        return self._resources.find(kind, f"{parameter!r} of {of}")

    async def _serve(self) -> None:
        calls, one_by_one = self._calls, self._concurrency == 1
        turns = self._context._timers.turns
        async for request in self._context.mailbox:
            if one_by_one:  # timers take their turn among the requests
                if turns.busy:
                    await turns.take()
                turns.busy = True
            found = calls.get(type(request.message))
            if found is None or request.opens_stream:
                await self._serve_rarer(request)
            else:
                # `_answer` of the usual case, inlined: it is a frame less for each request.
                declared, call = found
                try:
                    reply = await call(request)
                    if type(reply) is declared.reply:
                        request.respond(reply)
                    else:
                        _respond(request, declared, reply)
                except USER_ERRORS as error:
                    if isinstance(error, asyncio.CancelledError) and being_cancelled():
                        raise
                    self._failed(request, declared, error)
            if one_by_one:
                turns.give()

    async def _serve_rarer(self, request: Request[Any]) -> None:
        # A stream, or the first request of its type.
        streams, message = request.opens_stream, type(request.message)
        calls = self._streams if streams else self._calls
        if message not in calls:
            found = self._table.find(message, opens_stream=streams)
            if found is None:
                request.fail(self._refusal(request.message, streams), code="UNIMPLEMENTED")
                return
            calls[message] = found, self._bind(found)
        if streams:
            serving = asyncio.create_task(
                self._stream(request, *calls[message]), name=f"stream of {self._context.name}"
            )
            self._open_streams.add(serving)
            serving.add_done_callback(self._open_streams.discard)
        else:
            await self._answer(request, *calls[message])

    def _refusal(self, message: Any, streams: bool) -> str:
        ctx, table = self._context, self._table
        name = described(message)
        if table.find(type(message), opens_stream=not streams) is not None:
            other, asked = ("requests", "a stream") if streams else ("streams", "a request")
            return f"grid: {ctx.name!r} takes {name} in {other}, not in {asked}"
        what = "streams" if streams else "requests"
        taken = table.takes(opens_stream=streams)
        return f"grid: {ctx.type} {ctx.name!r} has no handler for {what} of {name}; it has: {taken}"

    async def _answer(self, request: Request[Any], declared: Declaration, call: Call) -> None:
        try:
            _respond(request, declared, await call(request))
        except USER_ERRORS as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            self._failed(request, declared, error)

    async def _stream(self, request: Request[Any], declared: Declaration, call: Call) -> None:
        try:
            await call(request)
        except USER_ERRORS as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            self._failed(request, declared, error)

    def _failed(self, request: Request[Any], declared: Declaration, error: BaseException) -> None:
        if not request.done:
            # SystemExit and the like too: they are the handler's, and must not end the peer.
            request.fail(error)
        if isinstance(error, RequestFailed) or is_of_request(error):
            return  # it is the handler's answer, or the caller has left
        if now() - self._logged < _LOG_PAUSE:
            self._unlogged += 1  # callers shall not be able to fill the log
            return
        self._logged, unlogged, self._unlogged = now(), self._unlogged, 0
        _log.error(
            "actor %s: handler %s failed%s",
            self._context.id,
            declared.name,
            f" ({unlogged} more errors since the last one logged)" if unlogged else "",
            exc_info=error,
            extra=self._context._log_fields(),
        )

    # -- calls -----------------------------------------------------------------

    def _bind(self, declared: Declaration) -> Call:
        function = declared.function
        if self._instance is not None:
            function = functools.partial(function, self._instance)
        filled = {k: self._context for k, v in declared.others.items() if v is ActorContext}
        for name, kind in resource_parameters(declared).items():
            filled[name] = self._resource(kind, name, f"handler {declared.name}")
        if filled:
            function = functools.partial(function, **filled)
        requests = [k for k, v in declared.others.items() if _is_request(v)]
        if declared.kind is HandlerKind.ITEMS:
            return functools.partial(_send_items, function, requests)
        if declared.kind is HandlerKind.STREAM:
            return functools.partial(_serve_stream, function, requests, declared.stream)
        if declared.blocking:
            return functools.partial(self._call_in_thread, function, requests)
        if requests:
            return lambda request: function(request.message, **dict.fromkeys(requests, request))
        return lambda request: function(request.message)

    async def _call_in_thread(
        self, function: Callable[..., Any], requests: list[str], request: Request[Any]
    ) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                self._concurrency, thread_name_prefix=f"actor {self._context.name}"
            )
        # As `asyncio.to_thread`, on threads of its own: those of the loop are for short work.
        call = functools.partial(
            contextvars.copy_context().run,
            function,
            request.message,
            **dict.fromkeys(requests, request),
        )
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _respond(request: Request[Any], declared: Declaration, reply: Any) -> None:
    if reply is None and declared.may_be_empty:
        if not request.done:  # the handler may have answered it itself
            request.ack()
    elif _is_reply(declared, reply):
        request.respond(reply)
    else:
        wanted = "None" if declared.reply is None else declared.reply.__name__
        raise TypeError(f"handler {declared.name} returned {type(reply).__name__}, not {wanted}")


def _is_reply(declared: Declaration, reply: object) -> bool:
    if declared.reply is Message:  # one of several classes, or any
        return is_message(reply)
    return declared.reply is not None and isinstance(reply, declared.reply)


async def _send_items(
    function: Callable[..., Any], requests: list[str], request: Request[Any]
) -> None:
    async with _accepted(request) as stream:
        items = function(request.message, **dict.fromkeys(requests, request))
        async with aclosing(items):
            async for item in items:
                await stream.send(item)


async def _serve_stream(
    function: Callable[..., Awaitable[None]],
    requests: list[str],
    parameter: str,
    request: Request[Any],
) -> None:
    async with _accepted(request) as stream:
        await function(request.message, **{parameter: stream}, **dict.fromkeys(requests, request))


@asynccontextmanager
async def _accepted(request: Request[Any]) -> AsyncIterator[Stream]:
    async with request.accept() as stream:
        try:
            yield stream
        except asyncio.CancelledError:
            # One that the handler raises or meets is its failure: the actor goes on.
            if being_cancelled():
                await stream.close(ActorEnded())
            raise
