"""Requests to a server on a bus with a directory: call, score, describe, and answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from grid.aio import USER_ERRORS, being_cancelled
from grid.deadline import now
from grid.errors import AlreadyResponded, GridError, InvalidArgument, UnknownMailbox
from grid.mailbox.request import Request
from rpc.service_pb2 import Call, Reply
from rpc.services.context import CallContext
from rpc.services.descriptors import describe
from rpc.services.errors import ServiceError
from rpc.services.handlers import ServedMethod, unimplemented
from rpc.services.observers import CallWatch, EventKind, Observers
from rpc.services.specification import ServiceSpec
from rpc.services.stream_serving import serve_stream

__all__ = ["Owner", "Requests", "refuse_absent"]


class Owner(Protocol):
    """The server of requests."""

    observers: Observers | None
    failed: Callable[[CallContext, BaseException], ServiceError]

    def note_bid(self, call: Call, watch: CallWatch, until: float) -> None:
        """Keep a bid until its outcome is known, or its caller's time is over."""

    def bid_ended(self, call: Call, kind: EventKind) -> None:
        """Tell the outcome of a bid, if it is open."""


class Requests:
    """The requests of one registration.

    Args:
        owner: the server.
        spec: the service.
        server: the id of the server.
        methods: those that are served, by their names.
        topic: the parameters of the topic.
    """

    def __init__(
        self,
        owner: Owner,
        spec: ServiceSpec,
        server: str,
        methods: Mapping[str, ServedMethod],
        topic: tuple[str, ...],
    ) -> None:
        self._owner = owner
        self._spec = spec
        self._server = server
        self._methods = methods
        self._topic = topic

    async def serve(self, request: Request[Any]) -> None:
        """Answer a request, whatever it is."""
        call, owner = request.message, self._owner
        if type(call) is not Call:
            request.fail(f"{self._spec.name} is a service: call it with its client")
            return
        served = self._methods.get(call.method)
        if served is None:
            self._other(request, call)
            return
        metadata: Mapping[str, str] = call.metadata
        if request.metadata:  # the trace of the call
            metadata = {**request.metadata, **metadata}
        context = CallContext(
            self._spec,
            served.spec,
            self._topic,
            call.client,
            self._server,
            metadata,
            request,
        )
        if owner.observers is not None:
            await self._observed(request, call, served, context, owner.observers)
        elif call.kind or served.spec.stream:
            await self._serve(request, call, served, context)
        else:  # `_serve` of the usual case, inlined: it is two frames less for each call
            try:
                reply = Reply(payload=await served.answer(call.payload, context))
            except USER_ERRORS as error:
                if isinstance(error, asyncio.CancelledError) and being_cancelled():
                    raise
                reply = error_reply(owner.failed(context, error))
            if context._reply_metadata is not None:
                self._add_metadata(reply, context)
            try:
                request.respond(reply)
            except GridError as error:
                _not_sent(request, error)

    async def _serve(
        self, request: Request[Any], call: Call, served: ServedMethod, context: CallContext
    ) -> ServiceError | float | None:
        # The error, or the score of a bid.
        owner = self._owner
        error: ServiceError | float | None = None
        try:
            if request.opens_stream:
                return await serve_stream(request, served, context, owner.failed)
            if call.kind == Call.BID:
                error = await served.score(call.payload, context)
                reply = Reply(score=error, observed=owner.observers is not None)
            elif served.spec.stream:
                raise unimplemented(self._spec, f"{call.method} without a stream")
            else:
                reply = Reply(payload=await served.answer(call.payload, context))
        except USER_ERRORS as raised:
            if isinstance(raised, asyncio.CancelledError) and being_cancelled():
                raise
            error = owner.failed(context, raised)
            reply = error_reply(error)
        if context._reply_metadata is not None:
            error = self._add_metadata(reply, context) or error
        _respond(request, reply)
        return error

    def _add_metadata(self, reply: Reply, context: CallContext) -> ServiceError | None:
        # What cannot be sent is an error of the handler: its caller gets it in place of the reply.
        try:
            reply.metadata.update(context.reply_metadata)
        except (TypeError, ValueError):
            given = context.reply_metadata
            wrong = InvalidArgument("reply_metadata", given, "strings by strings")
            error = self._owner.failed(context, wrong)
            reply.CopyFrom(error_reply(error))
            return error
        return None

    async def _observed(
        self,
        request: Request[Any],
        call: Call,
        served: ServedMethod,
        context: CallContext,
        observers: Observers,
    ) -> None:
        owner, server = self._owner, self._server
        watch = CallWatch(
            observers, "server", context.service, context.method, self._topic, call.client
        )
        if call.kind == Call.BID:
            until = request.deadline
            score = await self._serve(request, call, served, context)
            if isinstance(score, float):
                watch.tell(EventKind.BID, server, score=score)
                if score > 0:
                    owner.note_bid(call, watch, now() + 60.0 if until is None else until.at)
            return
        if call.bid:
            owner.bid_ended(call, EventKind.GRANTED)
        watch.tell(EventKind.RECEIVED, server)
        try:
            error = await self._serve(request, call, served, context)
        except asyncio.CancelledError:
            watch.tell(_way_out(request), server)
            raise
        if request.cancelled:
            watch.tell(_way_out(request), server)
        else:
            told = error if isinstance(error, ServiceError) else None
            watch.tell(EventKind.ENDED, server, error=told)

    def _other(self, request: Request[Any], call: Call) -> None:
        spec = self._spec
        if call.kind == Call.DESCRIBE:
            _respond(request, Reply(payload=describe(spec)))
        elif call.kind == Call.LOST:
            self._owner.bid_ended(call, EventKind.LOST)
            _respond(request, Reply())
        else:
            _respond(request, error_reply(unimplemented(spec, call.method)))


def _way_out(request: Request[Any]) -> EventKind:
    deadline = request.deadline
    over = deadline is not None and deadline.remaining() <= 0
    return EventKind.EXPIRED if over else EventKind.CANCELED


def _respond(request: Request[Any], reply: Reply) -> None:
    try:
        request.respond(reply)
    except GridError as error:
        _not_sent(request, error)


def _not_sent(request: Request[Any], error: GridError) -> None:
    if not isinstance(error, AlreadyResponded):  # it is too large, or a stream was asked for
        request.fail(error)


def error_reply(error: ServiceError) -> Reply:
    """An error as the answer to a call."""
    return Reply(code=error.code, text=error.text, details=error.details)


def refuse_absent(request: Request[Any], mailbox: str) -> None:
    """Answer that the topic is not served here: the client asks another server."""
    if request.opens_stream:
        request.fail(UnknownMailbox(mailbox))
    else:
        _respond(request, Reply(absent=True))
