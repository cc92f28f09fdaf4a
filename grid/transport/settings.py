"""The settings of a session: its limits, and how it packs; one value for both ends of it."""

from __future__ import annotations

from dataclasses import dataclass

from grid.errors import InvalidArgument
from grid.numbers import check_count
from grid.transport.compression import available
from grid.wire_pb2 import Hello

__all__ = ["CHUNK_BYTES", "FRAME_BYTES", "LARGE_BYTES", "VERSION", "SessionSettings"]

VERSION = 1  # of the session protocol
FRAME_BYTES = 8 * 1024 * 1024  # the largest frame that is taken, on any wire

LARGE_BYTES = 1024 * 1024  # a longer message travels in chunks
CHUNK_BYTES = 256 * 1024

_LEAST = {"max_message_bytes": 1, "stream_credit": 1, "compress_from": 0, "max_routes": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """The limits and wishes of one side of a session.

    Attributes:
        max_message_bytes: the largest message sent or taken.
        stream_credit: the credit of a stream before its reader has read;
            a message costs 1, and 1 more for each 16 KiB.
        compression: pack by `zstd`, `gzip`, or the best that both sides have
            (`auto`); None for never.
        compress_from: minimum size in bytes to compress.
        checksum: send a checksum with each message.
        max_routes: the number of names that are kept by number.
    """

    max_message_bytes: int = 100 * 1024 * 1024
    stream_credit: int = 256
    compression: str | None = None
    compress_from: int = 16 * 1024
    checksum: bool = False
    max_routes: int = 4096

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` for a value that cannot work."""
        for name, least in _LEAST.items():
            check_count(name, getattr(self, name), least)
        if not isinstance(self.checksum, bool):
            raise InvalidArgument("checksum", self.checksum, "True or False")
        if self.compression not in (None, "auto", "zstd", "gzip"):
            raise InvalidArgument("compression", self.compression, "'auto', 'zstd', 'gzip' or None")
        if self.compression not in (None, "auto", *available()):
            fix = (
                f"'gzip' or 'auto' without its extra: pip install 'actor-grid[{self.compression}]'"
            )
            raise InvalidArgument("compression", self.compression, fix)

    def hello(self) -> Hello:
        """The greeting that tells the other side of a session these settings."""
        return Hello(
            version=VERSION,
            max_message=self.max_message_bytes,
            max_routes=self.max_routes,
            packings=available(),
            stream_credit=self.stream_credit,
        )
