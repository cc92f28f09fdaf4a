"""Compression and checksums of the messages of a session."""

from __future__ import annotations

from collections.abc import Sequence

from grid.transport.compression import (
    ChecksumError,
    CompressionError,
    available,
    checksum,
    choose,
    compress,
    decompress,
    verify,
    worth,
)
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Note

__all__ = ["Packing", "PackingError"]


class PackingError(ValueError):
    """A message is damaged, or unpacks to more than the limit."""


class Packing:
    """Packs and unpacks the messages of one session."""

    __slots__ = ("_algorithm", "_settings", "active")

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._algorithm: str | None = None
        self.active = settings.checksum

    def agree(self, theirs: Sequence[str]) -> None:
        """Choose among the packings that the other side can undo."""
        wanted = self._settings.compression
        if wanted is not None:
            ours = [name for name in available() if wanted in ("auto", name)]
            self._algorithm = choose(ours, theirs)
        self.active = self._settings.checksum or self._algorithm is not None

    def pack(self, data: bytes, note: Note | None) -> tuple[bytes, Note | None]:
        """The bytes to send, and the note that describes them."""
        if self._algorithm is not None and len(data) >= self._settings.compress_from:
            packed = compress(self._algorithm, data)
            if worth(len(data), len(packed)):
                note = Note() if note is None else note
                note.packing, note.unpacked_size = self._algorithm, len(data)
                data = packed
        if self._settings.checksum and data:
            note = Note() if note is None else note
            note.checksum = checksum(data)
        return data, note

    @staticmethod
    def undo(data: bytes, note: Note) -> bytes:
        """The argument of `pack`, whatever its size."""
        if not note.packing:
            return data
        return decompress(note.packing, data, note.unpacked_size, note.unpacked_size)

    def unpack(self, data: bytes, note: Note) -> bytes:
        """The bytes as they were.

        Raises:
            PackingError: they are not as they were sent, or would be too many.
        """
        limit = self._settings.max_message_bytes
        try:
            if note.HasField("checksum"):
                verify(data, note.checksum)
            if not note.packing:
                return data
            return decompress(note.packing, data, note.unpacked_size, limit)
        except (ChecksumError, CompressionError) as error:
            raise PackingError(str(error)) from None
