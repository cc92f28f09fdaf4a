"""An interceptor of servers that makes typed errors of what handlers raise by mistake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from grid.errors import GridError
from rpc.services.codes import ErrorCode
from rpc.services.context import CallContext
from rpc.services.error_log import ErrorLog
from rpc.services.errors import ServiceError, from_handler

__all__ = ["recovery"]

GivenT = TypeVar("GivenT")
AnswerT = TypeVar("AnswerT")

_log = ErrorLog()


async def recovery(
    given: GivenT, context: CallContext, proceed: Callable[[GivenT], Awaitable[AnswerT]]
) -> AnswerT:
    """An interceptor for calls and for streams: make it the last one, next to the handler.

    What a handler raises on purpose (a `ServiceError`, errors of gRPC and of the grid,
    `TimeoutError`) goes on with its code. Any other exception becomes a `ServiceError` with
    the code `internal`, before the other interceptors see it, and its traceback is logged.
    Without it the caller gets the code `unknown`, and interceptors the bare exception.
    """
    try:
        return await proceed(given)
    except (GridError, TimeoutError):
        raise
    except Exception as error:
        known = from_handler(error)
        if known.code is not ErrorCode.UNKNOWN:
            raise known from error
        _log.write(context, error)
        text = f"{type(error).__name__}: {error}"
        raise ServiceError(ErrorCode.INTERNAL, text) from error
