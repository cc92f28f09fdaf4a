"""Interceptors of clients: functions around calls to one server, calls to all, and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from grid.errors import InvalidArgument
from rpc.services.errors import MalformedResult
from rpc.services.results import MemberResult
from rpc.services.selection import SelectionOptions
from rpc.services.specification import MethodSpec, ServiceSpec
from rpc.services.streams import ServiceStream

__all__ = [
    "ClientCall",
    "ClientInterceptor",
    "ClientMultiInterceptor",
    "ClientMultiProceed",
    "ClientProceed",
    "ClientStreamInterceptor",
    "ClientStreamProceed",
    "intercepted",
    "intercepted_all",
    "intercepted_stream",
]

ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(slots=True)
class ClientCall:
    """A call that is about to be sent; an interceptor may change it.

    Attributes:
        specification: the service.
        spec: the method.
        topic: the parameters of its topic.
        request: the request; an empty one for a stream.
        timeout: seconds for what follows.
        metadata: what the server shall know about it.
        idempotent: acting on it twice does no harm.
        selection: of an AFFINITY method; None for the client's.
        reply_metadata: what the server says about its answer, once that is there.
    """

    specification: ServiceSpec
    spec: MethodSpec[Any, Any]
    topic: tuple[str, ...]
    request: Message
    timeout: float
    metadata: dict[str, str] = field(default_factory=dict)
    idempotent: bool = False
    selection: SelectionOptions | None = None
    reply_metadata: dict[str, str] = field(default_factory=dict)


ClientProceed: TypeAlias = Callable[[ClientCall], Awaitable[Message]]
ClientInterceptor: TypeAlias = Callable[[ClientCall, ClientProceed], Awaitable[Message]]
ClientMultiProceed: TypeAlias = Callable[[ClientCall], AsyncIterator[MemberResult[Any]]]
ClientMultiInterceptor: TypeAlias = Callable[
    [ClientCall, ClientMultiProceed], AsyncIterator[MemberResult[Any]]
]
ClientStreamProceed: TypeAlias = Callable[[ClientCall], Awaitable[ServiceStream[Any, Any]]]
ClientStreamInterceptor: TypeAlias = Callable[
    [ClientCall, ClientStreamProceed], Awaitable[ServiceStream[Any, Any]]
]


async def intercepted(
    interceptors: tuple[ClientInterceptor, ...],
    call: ClientCall,
    last: ClientProceed,
    reply: type[ReplyT],
) -> ReplyT:
    """The answer to a call that goes through interceptors, the first outermost."""
    answer = await _chain(interceptors, last)(call)
    if not isinstance(answer, reply):
        raise MalformedResult(
            f"an interceptor returned {type(answer).__name__}, not {reply.__name__}"
        )
    return answer


async def intercepted_all(
    interceptors: tuple[ClientMultiInterceptor, ...], call: ClientCall, last: ClientMultiProceed
) -> AsyncGenerator[MemberResult[Any], None]:
    """The outcomes of a call to all that goes through interceptors, the first outermost."""
    opened: list[AsyncIterator[MemberResult[Any]]] = []

    def noted(proceed: ClientMultiProceed) -> ClientMultiProceed:
        def enter(call: ClientCall) -> AsyncIterator[MemberResult[Any]]:
            opened.append(proceed(call))
            return opened[-1]

        return enter

    proceed = noted(last)
    for one in reversed(interceptors):
        proceed = noted(_around(one, proceed))
    try:
        async for outcome in proceed(call):
            yield outcome
    finally:
        # An iteration that is left closes its own generator, and not those inside.
        for one_of_them in opened:
            if isinstance(one_of_them, AsyncGenerator):
                await one_of_them.aclose()


async def intercepted_stream(
    interceptors: tuple[ClientStreamInterceptor, ...], call: ClientCall, last: ClientStreamProceed
) -> ServiceStream[Any, Any]:
    """A stream whose opening goes through interceptors, the first outermost."""
    stream = await _chain(interceptors, last)(call)
    if not isinstance(stream, ServiceStream):
        raise InvalidArgument(
            "what an interceptor of streams returned", stream, "a ServiceStream, as proceed returns"
        )
    return stream


def _chain(interceptors: tuple[Callable[..., Any], ...], last: Any) -> Any:
    for one in reversed(interceptors):
        last = _around(one, last)
    return last


def _around(interceptor: Callable[..., Any], proceed: Any) -> Any:
    return lambda call: interceptor(call, proceed)
