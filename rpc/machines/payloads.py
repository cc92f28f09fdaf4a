"""Payloads in pieces: cut on one side, put together on the other.

A piece is small enough that updates and outcomes between two of them wait only
for a moment. All pieces of a payload carry its id; the first one its name, size
and metadata. Pure: pieces go in, payloads come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from grid.errors import InvalidArgument
from rpc.machine_pb2 import Payload as Piece
from rpc.machines.errors import NotPlainData, PayloadTooLarge, ProtocolError

__all__ = ["PIECE", "Assembler", "Payload", "Progress", "check_payload", "pieces_of"]

PIECE = 64 * 1024  # bytes
_MOST_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Payload:
    """Named bytes from the other side.

    Attributes:
        name: what it is.
        data: the bytes.
        metadata: what its sender said about it.
        type_name: of a protobuf message, its grid name; "" for plain bytes.
        mirror: the id of the mirror that sent it; "" from a source.
    """

    name: str
    data: bytes = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    type_name: str = ""
    mirror: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one payload.

    Attributes:
        name: of the payload.
        done: bytes that have been sent or received.
        size: bytes in all.
    """

    name: str
    done: int
    size: int


def check_payload(payload: object) -> None:
    """Raise unless it is a payload whose name, data and metadata can be sent.

    Raises:
        InvalidArgument: it is no `Payload`, or has no name.
        NotPlainData: one of its parts cannot be sent.
    """
    if not isinstance(payload, Payload):
        raise InvalidArgument("payload", payload, "an rpc.Payload")
    if payload.name == "":
        raise InvalidArgument("the name of a payload", payload.name, "a text that is not empty")
    if not isinstance(payload.data, bytes):
        kind = type(payload.data).__name__
        raise NotPlainData(f"the data of payload {payload.name!r} are of type {kind}, not bytes")
    try:
        next(pieces_of(0, Payload(payload.name, b"", payload.metadata, payload.type_name)))
    except (TypeError, ValueError, AttributeError) as error:
        raise NotPlainData(f"payload {payload.name!r} cannot be sent: {error}") from error


def pieces_of(number: int, payload: Payload) -> Iterator[Piece]:
    """The messages that carry a payload, in order; at least one."""
    size = len(payload.data)
    yield Piece(
        id=number,
        name=payload.name,
        metadata=payload.metadata,
        size=size,
        data=payload.data[:PIECE],
        last=size <= PIECE,
        type_name=payload.type_name,
    )
    for start in range(PIECE, size, PIECE):
        end = start + PIECE
        yield Piece(id=number, data=payload.data[start:end], last=end >= size)


class _Unfinished:
    __slots__ = ("data", "first")

    def __init__(self, first: Piece) -> None:
        self.first = first
        self.data = bytearray()


class Assembler:
    """The unfinished payloads of one connection.

    Args:
        limit: bytes of one payload, and of all unfinished ones together.
        mirror: the id of their sender; "" for a source.
    """

    def __init__(self, limit: int, mirror: str = "") -> None:
        self._limit = limit
        self._mirror = mirror
        self._unfinished: dict[int, _Unfinished] = {}

    def take(self, piece: Piece) -> tuple[Progress, Payload | None]:
        """The progress of a payload with this piece, and the whole if it is the last.

        Raises:
            PayloadTooLarge: the payload is over the limit; it is forgotten.
            ProtocolError: the piece does not belong to a payload.
        """
        one = self._unfinished.get(piece.id) or self._begin(piece)
        one.data += piece.data
        size = one.first.size
        if len(one.data) > size or (piece.last and len(one.data) != size):
            self._forget(piece.id)
            raise ProtocolError(f"payload {one.first.name!r} does not have its {size} bytes")
        progress = Progress(one.first.name, len(one.data), size)
        if not piece.last:
            return progress, None
        self._forget(piece.id)
        first = one.first
        metadata = dict(first.metadata)
        whole = Payload(first.name, bytes(one.data), metadata, first.type_name, self._mirror)
        return progress, whole

    def drop(self, number: int) -> str | None:
        """Forget a payload that its sender has given up; its name, if it was known."""
        one = self._unfinished.get(number)
        self._forget(number)
        return None if one is None else one.first.name

    def _begin(self, piece: Piece) -> _Unfinished:
        if not piece.name:
            raise ProtocolError(f"a piece of payload {piece.id}, which has not begun")
        announced = sum(one.first.size for one in self._unfinished.values())
        if piece.size + announced > self._limit or len(self._unfinished) >= _MOST_AT_ONCE:
            raise PayloadTooLarge(
                f"payload {piece.name!r} has {piece.size} bytes, beside {announced} unfinished; "
                f"the limit is {self._limit}"
            )
        one = self._unfinished[piece.id] = _Unfinished(piece)
        return one

    def _forget(self, number: int) -> None:
        self._unfinished.pop(number, None)
