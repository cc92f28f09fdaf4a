"""Dial a session over gRPC: a channel with one call."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from grid.grpc_calls import ChannelCalls, StreamStatus
from grid.transport._credentials import DialCredentials
from grid.transport._grpc_wire import GrpcWire
from grid.transport.service import SERVICE
from grid.transport.settings import FRAME_BYTES

__all__ = ["connect", "open_channel"]

_ATTEMPT_MS = 5_000

_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without this, newer versions of gRPC wait for a minute whatever the line above says.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # Equal channels share a connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", FRAME_BYTES),
    ("grpc.max_send_message_length", FRAME_BYTES),
    ("grpc.enable_retries", 0),
    # Peers are dialled directly: a proxy of the environment is for other traffic.
    ("grpc.enable_http_proxy", 0),
    # Also bounds an attempt, which goes on when its channel is closed.
    ("grpc.min_reconnect_backoff_ms", _ATTEMPT_MS),
)


def connect(
    target: str, credentials: DialCredentials | None = None
) -> tuple[GrpcWire, Callable[[], Awaitable[None]]]:
    """A session's call to a gRPC target, and what closes its connection.

    Args:
        target: where.
        credentials: those of TLS; None for cleartext.
    """
    channel = open_channel(target, _KEEPALIVE, credentials)
    calls = ChannelCalls(channel)
    call: grpc.aio.StreamStreamCall[bytes, bytes]
    metadata = None if credentials is None else credentials.metadata
    call = calls.add(channel.stream_stream(f"/{SERVICE}/Session")(metadata=metadata))
    end = functools.partial(calls.cancel, call)
    status = StreamStatus(call).get
    return GrpcWire(call.read, call.write, call.done_writing, end, status), calls.close


def open_channel(
    target: str, options: tuple[tuple[str, Any], ...], credentials: DialCredentials | None
) -> grpc.aio.Channel:
    """A channel to a gRPC target, with TLS if there are credentials."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(
        target, credentials.current(), options=options + credentials.options
    )
