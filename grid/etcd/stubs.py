"""Callables for the methods of etcd's v3 API, made from the service descriptors.

The method paths on the wire are etcd's (`/etcdserverpb.KV/Range`); the messages are those
of `grid.etcd.api_pb2`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from grid.etcd import api_pb2

__all__ = ["stub"]

_PACKAGE = "etcdserverpb"


def stub(channel: grpc.aio.Channel, name: str) -> Callable[..., Any]:
    """The gRPC callable for a method such as `"KV/Range"` or `"Watch/Watch"`."""
    service, _, method = name.partition("/")
    descriptor: Any = api_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[method]
    kind = "stream_stream" if descriptor.client_streaming else "unary_unary"
    made: Callable[..., Any] = getattr(channel, kind)(
        f"/{_PACKAGE}.{name}",
        request_serializer=GetMessageClass(descriptor.input_type).SerializeToString,
        response_deserializer=GetMessageClass(descriptor.output_type).FromString,
    )
    return made
