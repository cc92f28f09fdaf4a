"""Keys, snapshots and changes of etcd as plain objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "Change",
    "KeyValue",
    "Snapshot",
    "WatchBatch",
    "decode_key",
    "encode_key",
    "key_value",
    "prefix_range",
]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it was at one revision.

    Attributes:
        create_revision: when the key came to be; another one is another life.
        mod_revision: when the value was last written.
        lease: id of the lease that the key ends with, 0 for none.
    """

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything under a prefix at one revision, in ascending order of key."""

    revision: int
    items: list[KeyValue]


@dataclass(frozen=True, slots=True)
class Change:
    """One key changed.

    Attributes:
        current: None if the key was deleted.
        previous: what the watch knew before, None if the key is new.
    """

    key: str
    current: KeyValue | None
    previous: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Changes that came together.

    Attributes:
        revision: everything up to this revision has now been seen.
        snapshot: True for the first batch, which holds all keys as new ones.
    """

    revision: int
    changes: list[Change]
    snapshot: bool


def encode_key(key: str) -> bytes:
    """The bytes of a key; keys that are not UTF-8 survive the way there and back."""
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    """The key of `encode_key`."""
    return key.decode("utf-8", "surrogateescape")


def key_value(kv: Any) -> KeyValue:
    """A `KeyValue` of etcd's protobuf message of that name."""
    return KeyValue(
        kv.key.decode("utf-8", "surrogateescape"),
        kv.value,
        kv.create_revision,
        kv.mod_revision,
        kv.lease,
    )


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """The first key and the end (exclusive) of the range of all keys with a prefix."""
    start = encode_key(prefix)
    stem = start.rstrip(b"\xff")
    if not stem:
        return start or b"\0", b"\0"
    return start, stem[:-1] + bytes((stem[-1] + 1,))
