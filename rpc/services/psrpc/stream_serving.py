"""Streams of the psrpc protocol at their server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grid.aio import being_cancelled
from rpc.psrpc_pb2 import Stream, StreamAck
from rpc.services.codes import ErrorCode
from rpc.services.context import CallContext
from rpc.services.errors import ServiceError
from rpc.services.handlers import ServedMethod
from rpc.services.psrpc.pipe import PsrpcPipe
from rpc.services.streams import ServiceStream

__all__ = ["ServedStreams"]

_TIMEOUT = 3.0  # seconds for an acknowledgement, unless the client gave another time


class ServedStreams:
    """The open streams of one method for one topic."""

    def __init__(
        self,
        served: ServedMethod,
        failed: Callable[[CallContext, BaseException], ServiceError],
    ) -> None:
        self._served = served
        self._failed = failed
        self._pipes: dict[str, PsrpcPipe] = {}

    def take(self, frame: Stream) -> None:
        """Hand a frame to its stream, if that is here."""
        pipe = self._pipes.get(frame.stream_id)
        if pipe is not None:
            pipe.take(frame)

    async def serve(
        self,
        opening: Stream,
        context: CallContext,
        publish: Callable[[Stream], Awaitable[Any]],
        timeout: float,
    ) -> ServiceError | None:
        """Accept a stream and serve it until its handler returns; its error, if it failed."""
        stream_id, spec = opening.stream_id, self._served.spec
        if stream_id in self._pipes:
            return None  # it is open, and no other server may take it
        pipe = PsrpcPipe(
            stream_id, publish, timeout or _TIMEOUT, lambda: self._pipes.pop(stream_id, None)
        )
        self._pipes[stream_id] = pipe
        await publish(
            Stream(
                stream_id=stream_id,
                request_id=opening.request_id,
                sent_at=opening.sent_at,
                expiry=opening.expiry,
                ack=StreamAck(),
            )
        )
        stream = ServiceStream(pipe, spec.reply, spec.request, context.member)
        end: ServiceError | None = None
        try:
            await self._served.serve(stream, context)
        except asyncio.CancelledError as error:
            if being_cancelled():
                await asyncio.shield(pipe.close(_END_OF_SERVER))
                raise
            end = self._failed(context, error)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a handler's
            end = self._failed(context, error)
        await pipe.close(end)
        return end

    async def close(self) -> None:
        """End all streams; the server is shutting down."""
        pipes = tuple(self._pipes.values())
        await asyncio.gather(*(pipe.close(_END_OF_SERVER) for pipe in pipes))


_END_OF_SERVER = ServiceError(ErrorCode.UNAVAILABLE, "EOF")
