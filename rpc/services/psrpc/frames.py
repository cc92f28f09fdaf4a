"""Frames of the psrpc protocol: messages in their envelopes. Pure."""

from __future__ import annotations

import zlib
from typing import Any

from google.protobuf.message import DecodeError, Message

from rpc.psrpc_pb2 import (
    ClaimRequest,
    ClaimResponse,
    Envelope,
    Request,
    Response,
    Stream,
)

__all__ = ["MAX_BYTES", "decode", "decode_update", "encode", "encode_update"]

MAX_BYTES = 100 * 1024 * 1024  # of a message once it is unpacked
_GOOGLE = "type.googleapis.com/"
_TYPES: dict[str, type[Message]] = {
    f"{_GOOGLE}internal.{cls.DESCRIPTOR.name}": cls
    for cls in (Request, Response, ClaimRequest, ClaimResponse, Stream)
}
_URLS = {cls: url for url, cls in _TYPES.items()}


def encode(message: Message, route: str = "") -> bytes:
    """The frame of a message of the protocol."""
    return _envelope(_URLS[type(message)], message, route)


def encode_update(message: Message, route: str) -> bytes:
    """The frame of a user's message, for subscribers."""
    return _envelope(_GOOGLE + message.DESCRIPTOR.full_name, message, route)


def decode(frame: bytes) -> Message | None:
    """The message of the protocol in a frame; None for any other frame."""
    found = _opened(frame)
    cls = None if found is None else _TYPES.get(found[0])
    if found is None or cls is None:
        return None
    try:
        return cls.FromString(found[1])
    except DecodeError:
        return None


def decode_update(frame: bytes, full_name: str) -> bytes | None:
    """The bytes of a user's message of a type in a frame; None for any other frame."""
    found = _opened(frame)
    if found is None or found[0].rpartition("/")[2] != full_name:
        return None
    return found[1]


def _envelope(url: str, message: Message, route: str) -> bytes:
    value = message.SerializeToString()
    data: bytes = Envelope(type_url=url, value=value, channel=route).SerializeToString()
    return data


def _opened(frame: bytes) -> tuple[str, bytes] | None:
    try:
        envelope: Any = Envelope.FromString(frame)
    except DecodeError:
        return None
    if envelope.compression == Envelope.NONE:
        return envelope.type_url, envelope.value
    if envelope.compression != Envelope.GZIP:
        return None
    try:
        unpacker = zlib.decompressobj(31)  # gzip
        value = unpacker.decompress(envelope.value, MAX_BYTES)
    except zlib.error:
        return None
    if unpacker.unconsumed_tail or not unpacker.eof:
        return None  # larger than allowed, or cut off
    return envelope.type_url, value
