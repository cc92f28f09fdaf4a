"""Packing of payloads: smaller on the wire, and never larger in memory than announced.

A sender packs a payload with an algorithm that the receiver named, says how
large it was, and sends whichever is smaller. The receiver believes neither the
size nor the bytes: an announced size over its limit is refused before anything
is allocated, unpacking stops at the announced size, and what does not come out
at exactly that size, as one whole frame with nothing behind it, is refused.

An empty payload packs to nothing, for every algorithm, and is the only thing
that does.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

try:
    import zstandard
except ImportError:  # the extra `zstd` is not installed
    zstandard = None  # type: ignore[assignment]

__all__ = [
    "ChecksumError",
    "CompressionError",
    "available",
    "checksum",
    "choose",
    "compress",
    "decompress",
    "verify",
    "worth",
]

# The sender waits while a payload is packed: the fastest level of each is the one to take.
_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1
_GZIP_FORMAT = 31  # zlib's word for a gzip frame with the largest window


class CompressionError(ValueError):
    """A payload cannot be unpacked as announced, or the algorithm is not to be had here.

    The text says why. The payload is lost; the connection it came by is sound,
    but its sender is broken or hostile.
    """


class ChecksumError(ValueError):
    """A payload does not have the checksum that its sender sent."""


class _Algorithm(NamedTuple):
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes, int], bytes]  # at most the given number of bytes


def available() -> tuple[str, ...]:
    """The names of the algorithms of this process, the best first.

    `gzip` is always among them, `zstd` if the extra `zstd` is installed.
    """
    return tuple(_ALGORITHMS)


def choose(ours: Sequence[str], theirs: Sequence[str]) -> str | None:
    """The packing to use: the first of `ours` that they can unpack, None if they share none.

    Each side chooses for its own messages, so the order of `theirs` says nothing.
    """
    return next((name for name in ours if name in theirs), None)


def compress(algorithm: str, data: bytes) -> bytes:
    """The data packed; it may come out larger, which `worth` tells. In any thread.

    Raises:
        CompressionError: the algorithm is not among the `available` ones.
    """
    pack = _algorithm(algorithm).pack
    return pack(data) if data else b""


def decompress(algorithm: str, data: bytes, size: int, limit: int) -> bytes:
    """The unpacked data: exactly `size` bytes. In any thread.

    Args:
        algorithm: the name of the packing.
        data: one whole packed payload.
        size: bytes of the payload unpacked, as its sender announced them.
        limit: bytes that an unpacked payload may have at most.

    Raises:
        CompressionError: the size is over the limit, the data is no packed
            payload of that size, or the algorithm is not among the `available` ones.
    """
    unpack = _algorithm(algorithm).unpack
    if not 0 <= size <= limit:
        raise CompressionError(f"{size} bytes announced, the limit is {limit}")
    if not size or not data:
        if size or data:
            raise CompressionError(f"{len(data)} packed bytes cannot hold {size} bytes")
        return b""
    return unpack(data, size)


def worth(data_len: int, compressed_len: int) -> bool:
    """True if the packed form is to be sent: it has fewer bytes than the data."""
    return compressed_len < data_len


def checksum(data: bytes) -> int:
    """The CRC-32 of the data, from 0 to 2**32 - 1: against accidents, not against malice."""
    return zlib.crc32(data)


def verify(data: bytes, expected: int) -> None:
    """Check data against the `checksum` that its sender made.

    Raises:
        ChecksumError: they do not agree.
    """
    actual = zlib.crc32(data)
    if actual != expected:
        raise ChecksumError(
            f"checksum of {len(data)} bytes is {actual:08x}, its sender's is {expected:08x}"
        )


def _algorithm(name: str) -> _Algorithm:
    try:
        return _ALGORITHMS[name]
    except KeyError:
        known = ", ".join(_ALGORITHMS)
        raise CompressionError(f"compression {name!r} is not available here: {known}") from None


# -- zstd ------------------------------------------------------------------


class _Contexts(threading.local):
    """zstd's contexts of one thread.

    They take no two calls at a time, and cost ten times as much to make as the
    packing of a small payload.
    """

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        self.unpack = zstandard.ZstdDecompressor().decompress


def _zstd() -> _Algorithm:
    contexts = _Contexts()

    def pack(data: bytes) -> bytes:
        return contexts.pack(data)

    def unpack(data: bytes, size: int) -> bytes:
        try:
            # zstandard allocates what the frame's own header says, whatever the
            # caller's maximum, and for a frame that does not say, a window of up
            # to 128 MiB; so the header must say what the sender announced.
            stated = zstandard.get_frame_parameters(data).content_size
            if stated != size:
                raise CompressionError(f"the zstd frame is not of the {size} bytes announced")
            return contexts.unpack(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CompressionError(f"not a zstd frame of {size} bytes: {error}") from None

    return _Algorithm(pack, unpack)


# -- gzip ------------------------------------------------------------------


def _gzip_pack(data: bytes) -> bytes:
    return zlib.compress(data, _GZIP_LEVEL, _GZIP_FORMAT)


def _gzip_unpack(data: bytes, size: int) -> bytes:
    # Sizes are 1 at least: zlib takes 0 for no limit.
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        unpacked = stream.decompress(data, size)
        # With no room left zlib may not have read the frame's own checksum yet.
        surplus = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise CompressionError(f"not a gzip frame of {size} bytes: {error}") from None
    if surplus or len(unpacked) != size:
        raise CompressionError(f"the gzip frame is not of the {size} bytes announced")
    if not stream.eof:
        raise CompressionError("the gzip frame is cut short")
    if stream.unused_data:
        raise CompressionError(f"{len(stream.unused_data)} bytes follow the gzip frame")
    return unpacked


_ALGORITHMS: dict[str, _Algorithm] = {}
if zstandard is not None:
    _ALGORITHMS["zstd"] = _zstd()
_ALGORITHMS["gzip"] = _Algorithm(_gzip_pack, _gzip_unpack)
