"""The gRPC channel to one etcd endpoint; all other modules here are free of gRPC.

Theory of operation. A channel counts its users, calls and streams. A channel whose
connection seems dead is *retired*: no new call gets it, its streams fail at once,
because their holders can open others and go on, and it closes when its last call has
ended. Calls keep their own deadlines, because failing a write that may still succeed
would send it twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from grid.aio import being_cancelled
from grid.etcd._config import EtcdConfig
from grid.etcd._failures import CallFailed
from grid.etcd.stubs import stub
from grid.grpc_calls import ChannelCalls, StreamStatus

__all__ = ["EtcdChannel", "EtcdStream", "Metadata", "credentials"]

Metadata = tuple[tuple[str, str], ...]

# etcd drops a connection that is pinged more often than every 5 s. gRPC waits for the
# answer as long as `ping_timeout_ms` says (a minute by default), whatever the keep-alive's
# own timeout is; both are set because versions differ in which one counts.
_OPTIONS = (
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.ping_timeout_ms", 4_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    # The default of 30 s is longer than a lease: a name that moved must be looked up sooner.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)


def credentials(config: EtcdConfig) -> grpc.ChannelCredentials | None:
    """TLS credentials, None without TLS. Reads the files; `OSError` if one cannot be read."""
    if not config.tls:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_read(config.ca),
        private_key=_read(config.key),
        certificate_chain=_read(config.cert),
    )


def _target(endpoint: str) -> str:
    """The gRPC target of an endpoint; gRPC resolves its name when the channel dials."""
    return endpoint


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


class EtcdChannel:
    """A channel to one endpoint and the calls on it."""

    def __init__(self, endpoint: str, tls: grpc.ChannelCredentials | None) -> None:
        self.endpoint = endpoint
        self._channel = (
            grpc.aio.insecure_channel(_target(endpoint), options=_OPTIONS)
            if tls is None
            else grpc.aio.secure_channel(_target(endpoint), tls, options=_OPTIONS)
        )
        self._calls = ChannelCalls(self._channel)
        self._methods: dict[str, Callable[..., Any]] = {}
        self._users = 0
        self._streams: set[EtcdStream] = set()
        self._retired = False
        self.closed: bool = False

    def __repr__(self) -> str:
        state = " retired" if self._retired else ""
        return f"<EtcdChannel {self.endpoint} {self._users} users{state}>"

    async def unary(
        self, method: str, request: Any, timeout: float, metadata: Metadata | None
    ) -> Any:
        """The response of `method`, named as in `"KV/Range"`; `CallFailed` if there is none."""
        call = self._usable(method)
        self._users += 1
        try:
            return await self._calls.response(call(request, timeout=timeout, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            raise CallFailed("CANCELLED", "the connection was closed") from None
        finally:
            await self._leave()

    def stream(self, method: str, metadata: Metadata | None) -> EtcdStream:
        """A stream in both directions. It must be closed."""
        call = self._usable(method)
        self._users += 1
        stream = EtcdStream(self, call(metadata=metadata), metadata, self._calls)
        self._streams.add(stream)
        return stream

    async def forget(self, stream: EtcdStream) -> None:
        """A stream has ended."""
        self._streams.discard(stream)
        await self._leave()

    def _usable(self, method: str) -> Callable[..., Any]:
        # The channel may have been closed while its caller logged in.
        if self.closed:
            raise CallFailed("CANCELLED", "the connection was closed")
        return self._methods.get(method) or self._method(method)

    def _method(self, name: str) -> Callable[..., Any]:
        found = self._methods[name] = stub(self._channel, name)
        return found

    async def _leave(self) -> None:
        self._users -= 1
        if self._retired and not self._users:
            await self.close()

    async def retire(self) -> None:
        """Fail the streams now and close when the last call has ended; idempotent."""
        if self._retired:
            return
        self._retired = True
        for stream in self._streams:
            stream.fail()
        if not self._users:
            await self.close()

    async def close(self) -> None:
        """Close when what still runs on the channel has failed."""
        self.closed = True
        await self._calls.close()


class EtcdStream:
    """Messages in both directions, until one side ends it."""

    def __init__(
        self, channel: EtcdChannel, call: Any, metadata: Metadata | None, calls: ChannelCalls
    ) -> None:
        self.channel = channel
        self.metadata = metadata
        self._call = calls.add(call)
        self._status = StreamStatus(call)
        self._calls = calls
        self._closed = False

    async def send(self, message: Any) -> None:
        """Hand over a message. Cancelling ends the stream."""
        try:
            await self._calls.whole(self._call.write(message))
        except grpc.aio.AioRpcError:
            raise await self._ended() from None
        except asyncio.InvalidStateError:
            raise await self._ended() from None
        except asyncio.CancelledError:
            if being_cancelled():
                self.fail()
                raise
            raise CallFailed("CANCELLED", "the stream was closed") from None

    async def receive(self) -> Any:
        """The next message. Cancelling ends the stream."""
        try:
            message = await self._calls.whole(self._call.read())
        except grpc.aio.AioRpcError:
            raise await self._ended() from None
        except asyncio.CancelledError:
            if being_cancelled():
                self.fail()
                raise
            raise CallFailed("CANCELLED", "the stream was closed") from None
        if message is grpc.aio.EOF:
            raise await self._ended()
        return message

    async def _ended(self) -> CallFailed:
        code, text = await self._status.get()
        if code is grpc.StatusCode.OK:
            return CallFailed("UNAVAILABLE", "etcd ended the stream")
        return CallFailed(code.name, text or "the stream ended")

    def fail(self) -> None:
        """Make pending sends and receives raise `CallFailed`; it must still be closed."""
        self._calls.cancel(self._call)

    async def close(self) -> None:
        """End the stream; idempotent. Pending sends and receives raise `CallFailed`."""
        if self._closed:
            return
        self._closed = True
        self._calls.cancel(self._call)
        await self.channel.forget(self)


def _failure(error: grpc.aio.AioRpcError) -> CallFailed:
    return CallFailed(error.code().name, error.details() or "no details")
