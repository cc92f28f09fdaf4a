"""Frames whose last data is large: encoded and taken apart without copying it twice.

Protobuf's fields may stand in any order. In such a frame `bulk`, the size of
the last entry of the column `data`, comes first, and that entry itself comes
last; all between is encoded and parsed as ever. To any other parser it is
a frame like all others.
"""

from __future__ import annotations

__all__ = ["join_bulk", "split_bulk"]

_BULK = b"\x7d"  # field 15, four bytes, the lowest first
_DATA = b"\x32"  # field 6, a length and its bytes


def join_bulk(head: bytes, part: memoryview) -> bytes:
    """The frame that has `part` as its last data, from the encoding of all else."""
    size = len(part)
    return b"".join((_BULK, size.to_bytes(4, "little"), head, _DATA, _varint(size), part))


def split_bulk(
    frame: bytes | memoryview,
) -> tuple[bytes | memoryview, memoryview | None]:
    """The encoding of all else, and the last data; None if the frame is an ordinary one."""
    if frame[:1] != _BULK or len(frame) < 5:
        return frame, None
    size = int.from_bytes(frame[1:5], "little")
    mark = _DATA + _varint(size)
    end = len(frame) - size - len(mark)
    if end < 5 or frame[end : end + len(mark)] != mark:
        return frame, None
    view = memoryview(frame)
    return view[5:end], view[end + len(mark) :]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
