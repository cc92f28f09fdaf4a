"""Interceptors of clients: async functions around each call to one server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from grid.errors import InvalidArgument
from rpc.services.errors import MalformedResult
from rpc.services.selection import SelectionOptions
from rpc.services.specification import MethodSpec, ServiceSpec

__all__ = [
    "ClientCall",
    "ClientInterceptor",
    "ClientProceed",
    "checked_interceptors",
    "intercepted",
]

ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(slots=True)
class ClientCall:
    """A call that is about to be sent; an interceptor may change it.

    Attributes:
        specification: the service.
        spec: the method.
        topic: the parameters of its topic.
        request: the request.
        timeout: seconds for what follows.
        metadata: what the server shall know about it.
        idempotent: acting on it twice does no harm.
        selection: of an AFFINITY method; None for the client's.
    """

    specification: ServiceSpec
    spec: MethodSpec[Any, Any]
    topic: tuple[str, ...]
    request: Message
    timeout: float
    metadata: dict[str, str] = field(default_factory=dict)
    idempotent: bool = False
    selection: SelectionOptions | None = None


ClientProceed: TypeAlias = Callable[[ClientCall], Awaitable[Message]]
ClientInterceptor: TypeAlias = Callable[[ClientCall, ClientProceed], Awaitable[Message]]


def checked_interceptors(given: Iterable[ClientInterceptor]) -> tuple[ClientInterceptor, ...]:
    """The interceptors as a tuple; raises `InvalidArgument` if one cannot be called."""
    made = tuple(given)
    if not all(map(callable, made)):
        raise InvalidArgument("interceptors", given, "a list of async functions")
    return made


async def intercepted(
    interceptors: tuple[ClientInterceptor, ...],
    call: ClientCall,
    last: ClientProceed,
    reply: type[ReplyT],
) -> ReplyT:
    """The answer to a call that goes through interceptors, the first outermost."""
    proceed = last
    for one in reversed(interceptors):
        proceed = _around(one, proceed)
    answer = await proceed(call)
    if not isinstance(answer, reply):
        raise MalformedResult(
            f"an interceptor returned {type(answer).__name__}, not {reply.__name__}"
        )
    return answer


def _around(interceptor: ClientInterceptor, proceed: ClientProceed) -> ClientProceed:
    return lambda call: interceptor(call, proceed)
