"""The methods of a user's service object, from bytes to bytes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message

from grid.errors import InvalidArgument
from rpc.services.context import CallContext
from rpc.services.errors import MalformedRequest, ServiceError, Unimplemented
from rpc.services.specification import MethodSpec, Routing, ServiceSpec

__all__ = ["ServedMethod", "ServerInterceptor", "ServerProceed", "served_methods"]

ServerProceed: TypeAlias = Callable[[Message], Awaitable[Message]]
ServerInterceptor: TypeAlias = Callable[[Message, CallContext, ServerProceed], Awaitable[Message]]


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
        interceptors: tuple[ServerInterceptor, ...],
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
        request = self.decode(payload)
        if not self._interceptors:
            return self._encoded(await self.handler(request, context))

        async def last(message: Message) -> Message:
            reply: Message = await self.handler(message, context)
            return reply

        proceed: ServerProceed = last
        for one in reversed(self._interceptors):
            proceed = _around(one, context, proceed)
        return self._encoded(await proceed(request))

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

    def _encoded(self, reply: object) -> bytes:
        if not isinstance(reply, self.spec.reply):
            raise TypeError(
                f"{self.spec.attribute} returned {type(reply).__name__}, "
                f"not {self.spec.reply.__name__}"
            )
        data: bytes = reply.SerializeToString()
        return data


def served_methods(
    spec: ServiceSpec, service: object, interceptors: Iterable[ServerInterceptor] = ()
) -> dict[str, ServedMethod]:
    """The methods of a service object by their names; subscriptions have no handlers.

    Raises:
        InvalidArgument: a handler is missing or not an async function.
    """
    given = tuple(interceptors)
    if not all(map(callable, given)):
        raise InvalidArgument("interceptors", interceptors, "a list of async functions")
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
        served[method.name] = ServedMethod(method, handler, scorer, given)
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
    interceptor: ServerInterceptor, context: CallContext, proceed: ServerProceed
) -> ServerProceed:
    return lambda message: interceptor(message, context, proceed)
