"""A client's filters and interceptors, and the ways to send through them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from grid.client.router import Router
from grid.codec import Codec
from grid.deadline import FOREVER, Deadline, reschedule
from grid.errors import DeadlineExceeded, GridError, InvalidArgument
from grid.interceptors import CallKind, Filter, Interception, Interceptor, OutgoingCall
from grid.plain import AnyMessage, copy_of, is_message, of_type
from grid.stream import Stream
from grid.transport.transport import Outgoing

__all__ = ["OutgoingInterception", "decode_as", "outgoing_interception"]

T = TypeVar("T")

# Seconds after the deadline of a call until its interceptors are cancelled, so that they see
# the `DeadlineExceeded` of what they wait for.
_GRACE = 0.1

_Metadata = Mapping[str, str] | None


class OutgoingInterception(Interception[OutgoingCall]):
    """Sends messages through filters and interceptors; arguments are those of `Client`."""

    def __init__(
        self,
        filters: Iterable[Filter[OutgoingCall]],
        interceptors: Iterable[Interceptor[OutgoingCall]],
        router: Router,
        codec: Codec,
        outgoing: Callable[[OutgoingCall], Outgoing],
    ) -> None:
        super().__init__(filters, interceptors)
        self._router = router
        self._codec = codec
        self._outgoing = outgoing

    async def request(
        self,
        name: str,
        message: AnyMessage,
        timeout: float,
        metadata: _Metadata,
        *,
        reply: type | None,
        idempotent: bool,
        wait: bool = False,
    ) -> Any:
        """See `Client.request`."""

        async def ask(call: OutgoingCall, seconds: float) -> Any:
            to = self._outgoing(call)
            answered, payload = await self._router.ask(
                to.receiver,
                to.type_name,
                to.data,
                to.metadata,
                seconds,
                idempotent=idempotent,
                wait=wait,
            )
            return self._codec.decode(answered, payload)

        outcome = await self._run("request", name, message, timeout, metadata, ask)
        if not is_message(outcome):
            expected = "a Message, as proceed returns"
            raise InvalidArgument("what an interceptor returned", outcome, expected)
        return of_type(reply or object, outcome)

    def send(
        self,
        name: str,
        message: AnyMessage,
        timeout: float,
        metadata: _Metadata,
        *,
        reply: type | None,
        idempotent: bool,
    ) -> asyncio.Task[Any]:
        """See `Client.send`."""
        # The task begins later, and the caller may use its own message and metadata again.
        message = copy_of(message)
        metadata = dict(metadata or {})
        asking = self.request(name, message, timeout, metadata, reply=reply, idempotent=idempotent)
        task = asyncio.create_task(asking, name="intercepted request")
        self.keep(task)
        return task

    async def tell(
        self, name: str, message: AnyMessage, timeout: float, metadata: _Metadata
    ) -> None:
        """See `Client.tell`."""

        async def tell(call: OutgoingCall, seconds: float) -> None:
            await self._router.tell(self._outgoing(call), Deadline.after(seconds))

        await self._run("tell", name, message, timeout, metadata, tell)

    async def stream(
        self, name: str, first: AnyMessage, timeout: float, metadata: _Metadata
    ) -> Stream:
        """See `Client.stream`."""

        async def open_stream(call: OutgoingCall, seconds: float) -> Stream:
            end = await self._router.stream(self._outgoing(call), Deadline.after(seconds))
            return Stream(end, self._codec)

        outcome = await self._run("stream", name, first, timeout, metadata, open_stream)
        return _check_outcome(outcome, Stream)

    async def _run(
        self,
        kind: CallKind,
        name: str,
        message: Any,
        timeout: float,
        metadata: _Metadata,
        send: Callable[[OutgoingCall, float], Awaitable[Any]],
    ) -> Any:
        """The outcome of a call, as the outermost interceptor returns it.

        Raises:
            Filtered: a filter skipped it.
            DeadlineExceeded: the time of the call is over.
            Exception: what an interceptor raised.
        """
        call = OutgoingCall(name, message, kind, timeout, dict(metadata or {}))
        loop_began, began = asyncio.get_running_loop().time(), Deadline.after(0).at
        limit = asyncio.timeout_at(loop_began + _seconds(call) + _GRACE)

        async def last(call: OutgoingCall) -> Any:
            seconds = _seconds(call)
            reschedule(limit, loop_began + seconds + _GRACE)
            await self.filter(call, "sender")
            left = Deadline(began + seconds).remaining()
            if not left:  # what follows would be told that it has 0 s, and say so of itself
                raise DeadlineExceeded(f"{kind} to {call.name!r}", call.timeout)
            return await send(call, left)

        try:
            async with limit:
                return await self.chain(last)(call)
        except TimeoutError as error:
            if isinstance(error, GridError) or not limit.expired():
                raise
            raise DeadlineExceeded(f"{kind} to {call.name!r}", call.timeout) from None


def outgoing_interception(
    filters: Iterable[Filter[OutgoingCall]],
    interceptors: Iterable[Interceptor[OutgoingCall]],
    router: Router,
    codec: Codec,
    outgoing: Callable[[OutgoingCall], Outgoing],
) -> OutgoingInterception | None:
    """Sending through these; None if there are none, for it has a price."""
    return OutgoingInterception(filters, interceptors, router, codec, outgoing) or None


def decode_as(codec: Codec, wanted: type, name: str, data: bytes) -> Any:
    """The decoded message, if it is of that type; else raises `UnexpectedReply`."""
    return of_type(wanted, codec.decode(name, data))


def _check_outcome(outcome: Any, wanted: type[T]) -> T:
    if not isinstance(outcome, wanted):
        expected = f"a {wanted.__name__}, as proceed returns"
        raise InvalidArgument("what an interceptor returned", outcome, expected)
    return outcome


def _seconds(call: OutgoingCall) -> float:
    if not call.timeout <= FOREVER:
        Deadline.after(call.timeout)  # raises for what is not a number
        return FOREVER
    return call.timeout
