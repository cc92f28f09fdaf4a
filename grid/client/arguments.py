"""Arguments of a client's calls: refused where they are given, with what is wanted instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grid.client.broadcast import Group
from grid.client.retry import Retry
from grid.codec import Codec
from grid.errors import InvalidArgument, MessageTooLarge
from grid.numbers import check_count, check_seconds
from grid.registry.names import Kind, check_name
from grid.transport.breaker import BreakerPolicy
from grid.wire_pb2 import Delivery

__all__ = [
    "annotations_of",
    "check_bytes",
    "check_group",
    "check_metadata",
    "check_options",
    "kind_of",
]

_METADATA_BYTES = 32 * 1024


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise unless it is strings by strings, and not too large."""
    try:
        size = Delivery(metadata=metadata).ByteSize()
    except (TypeError, ValueError, AttributeError):
        raise InvalidArgument("metadata", metadata, "strings by strings") from None
    if size > _METADATA_BYTES:
        raise MessageTooLarge(size, _METADATA_BYTES, "metadata")


def check_options(
    timeout: float,
    retry: Retry,
    sessions_per_peer: int,
    breaker: BreakerPolicy | None,
    codec: Codec,
) -> None:
    """Raise `InvalidArgument` for an option of a client that is wrong by itself."""
    check_seconds("timeout", timeout, zero=False, endless=True)
    if not isinstance(retry, Retry):
        raise InvalidArgument("retry", retry, "a grid.Retry, e.g. Retry(attempts=3)")
    check_count("sessions_per_peer", sessions_per_peer)
    if not isinstance(breaker, BreakerPolicy | None):
        raise InvalidArgument("breaker", breaker, "a BreakerPolicy")
    if not isinstance(codec, Codec):
        raise InvalidArgument("codec", codec, "a grid.Codec")


def check_group(group: Group) -> None:
    """Raise unless it is a `Group` of names."""
    if not isinstance(group, Group):
        raise InvalidArgument("group", group, 'a grid.Group, e.g. Group("a", "b")')
    for name in group.members:
        check_name(name, Kind.MAILBOX)


def check_bytes(name: str, data: bytes) -> None:
    """Raise `InvalidArgument` unless it is bytes."""
    if not isinstance(data, bytes):
        raise InvalidArgument(name, data, "bytes")


def annotations_of(annotations: Iterable[str]) -> tuple[str, ...]:
    """The annotations; raises `InvalidArgument` unless they are several strings."""
    if isinstance(annotations, str) or not isinstance(annotations, Iterable):
        raise InvalidArgument("annotations", annotations, 'a list of strings, e.g. ["gpu"]')
    listed = tuple(annotations)
    if not all(isinstance(one, str) for one in listed):
        raise InvalidArgument("annotations", listed, "a list of strings")
    return listed


def kind_of(kind: Kind | str) -> Kind:
    """The kind of a word; raises `InvalidArgument` for another word."""
    try:
        return Kind(kind)
    except ValueError:
        raise InvalidArgument("kind", kind, "peer, actor or mailbox") from None
