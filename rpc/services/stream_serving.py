"""Streams at their server: accept, hand to the handler, and tell the client the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grid.aio import being_cancelled
from grid.errors import GridError
from grid.mailbox.request import Request
from rpc.services.codes import ErrorCode
from rpc.services.context import CallContext
from rpc.services.errors import ServiceError
from rpc.services.handlers import ServedMethod
from rpc.services.streams import DirectPipe, ServiceStream

__all__ = ["serve_stream"]


async def serve_stream(
    request: Request[Any],
    served: ServedMethod,
    context: CallContext,
    failed: Callable[[CallContext, BaseException], ServiceError],
) -> ServiceError | None:
    """Serve one stream until its handler returns; its error is the stream's end, and returned."""
    spec = served.spec
    if not spec.stream:
        request.fail(f"{spec.name} takes requests, no streams", code="UNIMPLEMENTED")
        return None
    try:
        pipe = DirectPipe(request.accept())
    except GridError:
        return None  # the caller has left
    stream = ServiceStream(pipe, spec.reply, spec.request, context.member)
    end: ServiceError | None = None
    try:
        await served.serve(stream, context)
    except asyncio.CancelledError as error:
        end = ServiceError(ErrorCode.UNAVAILABLE, "the server is shutting down")
        if being_cancelled():
            await asyncio.shield(pipe.close(end))
            raise
        end = failed(context, error)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a handler's
        end = failed(context, error)
    await pipe.close(end)
    return end
