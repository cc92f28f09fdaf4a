"""Spans of calls for OpenTelemetry; needs the extra `otel`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from grid import trace_context
from grid.errors import InvalidArgument
from rpc.services.client_calls import ClientCall, ClientMultiProceed
from rpc.services.context import CallContext
from rpc.services.errors import ServiceError
from rpc.services.results import MemberResult

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Tracing"]

GivenT = TypeVar("GivenT")
AnswerT = TypeVar("AnswerT")


class Tracing:
    """Interceptors that make a span of each call at its client, and one below it at its server.

        tracing = Tracing()
        WeatherServer(station, bus, interceptors=[tracing.server])
        WeatherClient(bus, interceptors=[tracing.client], multi_interceptors=[tracing.all])

    The trace travels in the metadata of the call, as W3C trace context, on every bus. It does so
    without these, too: a span that is current at the caller is the parent of what handlers send on.

    Args:
        provider: the global one by default.

    Raises:
        InvalidArgument: OpenTelemetry is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation.tracecontext import (
                TraceContextTextMapPropagator,
            )
        except ImportError:
            raise InvalidArgument(
                "tracing", "OpenTelemetry", "installed: pip install 'actor-grid[otel]'"
            ) from None
        self._trace = trace
        self._extract = TraceContextTextMapPropagator().extract
        self._tracer = trace.get_tracer("rpc.services", tracer_provider=provider)
        trace_context.look_for_opentelemetry()

    async def client(
        self, call: ClientCall, proceed: Callable[[ClientCall], Awaitable[AnswerT]]
    ) -> AnswerT:
        """An interceptor of clients, for calls to one server and for the opening of streams."""
        with self._span_of(call):
            return await proceed(call)

    async def all(
        self, call: ClientCall, proceed: ClientMultiProceed
    ) -> AsyncIterator[MemberResult[Any]]:
        """An interceptor of clients, for calls to all servers."""
        span = self._tracer.start_span(
            _name(call.specification.name, call.spec.name),
            kind=self._trace.SpanKind.CLIENT,
            attributes=_attributes(call.specification.name, call.spec.name),
        )
        # It is never current: a generator runs in the context of its caller.
        with self._trace.use_span(span):
            call.metadata.update(trace_context.onward(dict(call.metadata)) or {})
        failed = 0
        try:
            async for outcome in proceed(call):
                failed += outcome.error is not None
                yield outcome
        except Exception as error:
            self._failed(span, error)
            raise
        finally:
            span.set_attribute("rpc.members.failed", failed)
            span.end()

    async def server(
        self,
        given: GivenT,
        context: CallContext,
        proceed: Callable[[GivenT], Awaitable[AnswerT]],
    ) -> AnswerT:
        """An interceptor of servers, for calls and for streams."""
        with self._tracer.start_as_current_span(
            _name(context.service, context.method),
            context=self._extract(dict(context.metadata)),
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(context.service, context.method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await proceed(given)
            except Exception as error:
                self._failed(span, error)
                raise

    @contextmanager
    def _span_of(self, call: ClientCall) -> Iterator[None]:
        service, method = call.specification.name, call.spec.name
        with self._tracer.start_as_current_span(
            _name(service, method),
            kind=self._trace.SpanKind.CLIENT,
            attributes=_attributes(service, method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                self._failed(span, error)
                raise

    def _failed(self, span: Span, error: Exception) -> None:
        span.record_exception(error)
        span.set_status(self._trace.StatusCode.ERROR, str(error))
        if isinstance(error, ServiceError):
            span.set_attribute("rpc.error.code", str(error.code))


def _name(service: str, method: str) -> str:
    return f"{service}/{method}"


def _attributes(service: str, method: str) -> dict[str, str]:
    return {"rpc.system": "grid", "rpc.service": service, "rpc.method": method}
