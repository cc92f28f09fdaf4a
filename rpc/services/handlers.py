"""The methods of a user's service object, from bytes to bytes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message

from grid.errors import InvalidArgument
from rpc.services.context import CallContext
from rpc.services.errors import MalformedRequest, ServiceError, Unimplemented
from rpc.services.interceptors import checked_interceptors
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import ServiceStream

__all__ = [
    "ServedMethod",
    "ServerInterceptor",
    "ServerProceed",
    "ServerStreamInterceptor",
    "ServerStreamProceed",
    "served_methods",
]

ServerProceed: TypeAlias = Callable[[Message], Awaitable[Message]]
ServerInterceptor: TypeAlias = Callable[[Message, CallContext, ServerProceed], Awaitable[Message]]
ServerStreamProceed: TypeAlias = Callable[[ServiceStream[Any, Any]], Awaitable[None]]
ServerStreamInterceptor: TypeAlias = Callable[
    [ServiceStream[Any, Any], CallContext, ServerStreamProceed], Awaitable[None]
]


class ServedMethod:
    """A method with its handler, its interceptors and its scorer.

    Attributes:
        spec: the method.
        handler: the function of the service object.
    """

    def __init__(
        self,
        spec: MethodSpec[Any, Any],
        handler: Callable[..., Awaitable[Any]],
        scorer: Callable[..., Awaitable[float] | float] | None,
        interceptors: tuple[Callable[..., Awaitable[Any]], ...],
    ) -> None:
        self.spec = spec
        self.handler = handler
        self._scorer = scorer
        self._interceptors = interceptors

    async def answer(self, payload: bytes, context: CallContext) -> bytes:
        """Decode a request, handle it, and encode the answer.

        Raises:
            MalformedRequest: it cannot be decoded.
            And what the handler and the interceptors raise.
        """
        spec = self.spec
        try:  # `decode`, inlined
            request = spec.request.FromString(payload)
        except DecodeError:
            request = self.decode(payload)
        if not self._interceptors:
            reply = await self.handler(request, context)
        else:
            reply = await self._intercepted(request, context)
        if type(reply) is not spec.reply:
            self._check(reply)
        data: bytes = reply.SerializeToString()
        return data

    async def serve(self, stream: ServiceStream[Any, Any], context: CallContext) -> None:
        """Hand a stream to the handler; raises what the handler and the interceptors raise."""
        await self._intercepted(stream, context)

    async def _intercepted(self, given: Any, context: CallContext) -> Any:
        async def last(given: Any) -> Any:
            return await self.handler(given, context)

        proceed: Callable[[Any], Awaitable[Any]] = last
        for one in reversed(self._interceptors):
            proceed = _around(one, context, proceed)
        return await proceed(given)

    async def score(self, payload: bytes, context: CallContext) -> float:
        """The score of a request: 1 without a scorer.

        Raises:
            MalformedRequest: it cannot be decoded.
            And what the scorer raises.
        """
        if self.spec.stream:
            arguments: tuple[Any, ...] = (context,)
        else:
            arguments = (self.decode(payload), context)
        if self._scorer is None:
            return 1.0
        score = self._scorer(*arguments)
        return float(await score if inspect.isawaitable(score) else score)

    def decode(self, payload: bytes) -> Message:
        """The request in a payload, or `MalformedRequest`."""
        try:
            request: Message = self.spec.request.FromString(payload)
        except DecodeError:
            name = self.spec.request.DESCRIPTOR.full_name
            raise MalformedRequest(f"the request is not an encoding of {name}") from None
        return request

    def _check(self, reply: object) -> None:
        if not isinstance(reply, self.spec.reply):
            raise TypeError(
                f"{self.spec.attribute} returned {type(reply).__name__}, "
                f"not {self.spec.reply.__name__}"
            )


def served_methods(
    spec: ServiceSpec,
    service: object,
    interceptors: Iterable[ServerInterceptor] = (),
    stream_interceptors: Iterable[ServerStreamInterceptor] = (),
) -> dict[str, ServedMethod]:
    """The methods of a service object by their names; subscriptions have no handlers.

    Raises:
        InvalidArgument: a handler is missing or not an async function.
    """
    around_calls = checked_interceptors(interceptors)
    around_streams = checked_interceptors(stream_interceptors, "stream_interceptors")
    served: dict[str, ServedMethod] = {}
    for method in spec.methods:
        if method.subscription:
            continue
        handler = getattr(service, method.attribute, None)
        if handler is None or not inspect.iscoroutinefunction(_function(handler)):
            raise InvalidArgument(
                f"{type(service).__name__}.{method.attribute} of service {spec.name}",
                handler,
                "an async method",
            )
        scorer = None
        if method.routing is Routing.AFFINITY:
            scorer = getattr(service, f"{method.attribute}_affinity", None)
        around = around_streams if method.stream else around_calls
        served[method.name] = ServedMethod(method, handler, scorer, around)
    return served


def unimplemented(spec: ServiceSpec, method: str) -> ServiceError:
    """The error of a method that a server does not have."""
    return Unimplemented(f"{spec.name} has no method {method!r} here")


def _function(handler: Any) -> Any:
    while hasattr(handler, "func"):  # of partials
        handler = handler.func
    if not inspect.isroutine(handler):
        return getattr(handler, "__call__", handler)  # noqa: B004 - its class may define it
    return handler


def _around(
    interceptor: Callable[..., Awaitable[Any]],
    context: CallContext,
    proceed: Callable[[Any], Awaitable[Any]],
) -> Callable[[Any], Awaitable[Any]]:
    return lambda given: interceptor(given, context, proceed)
