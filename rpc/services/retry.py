"""An interceptor of clients that makes calls again where that is safe, within a budget."""

from __future__ import annotations

import asyncio

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import InvalidArgument
from rpc.services.client_calls import ClientCall, ClientInterceptor, ClientProceed
from rpc.services.codes import ErrorCode
from rpc.services.errors import ServiceError

__all__ = ["retry"]

_UNCLEAR = (ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED)
_MOST = 10.0  # calls that may be made again before any has succeeded


def retry(
    *, attempts: int = 3, pause: float = 0.05, longest_pause: float = 1.0, budget: float = 0.2
) -> ClientInterceptor:
    """An interceptor that makes a failed call again.

    A call that no handler has seen is made again; one whose outcome is not known only if it
    is made with `idempotent=True`. All attempts together take no more than the call's timeout.

    Args:
        attempts: of a call, the first one included.
        pause: seconds before the second attempt; doubles each time.
        longest_pause: seconds between attempts at most.
        budget: attempts that may be added for each call that succeeds, so that retries do not
            multiply the load on servers that fail; shared by all calls of the interceptor.

    Raises:
        InvalidArgument: a number is out of its range.
    """
    if not isinstance(attempts, int) or attempts < 1:
        raise InvalidArgument("attempts", attempts, "1 or more")
    for name, number in (("pause", pause), ("longest_pause", longest_pause), ("budget", budget)):
        if not isinstance(number, int | float) or not number >= 0:
            raise InvalidArgument(name, number, "a number of 0 or more")
    left = _MOST

    async def again(call: ClientCall, proceed: ClientProceed) -> Message:
        nonlocal left
        until = now() + call.timeout
        rest = pause
        for attempt in range(1, attempts + 1):
            try:
                reply = await proceed(call)
            except ServiceError as error:
                call.timeout = until - now() - rest
                if attempt == attempts or left < 1 or call.timeout <= 0 or not _safe(error, call):
                    raise
                left -= 1
            else:
                left = min(_MOST, left + budget)
                return reply
            await asyncio.sleep(rest)
            rest = min(2 * rest, longest_pause)
        raise AssertionError("the last attempt returns or raises")

    return again


def _safe(error: ServiceError, call: ClientCall) -> bool:
    return error.retryable or (call.idempotent and error.code in _UNCLEAR)
