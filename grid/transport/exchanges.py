"""Exchanges as the owner of a session sees them: open, unwritten or lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Entry", "Lost", "Traffic", "Unwritten"]


class Unwritten(NamedTuple):
    """An opening delivery that may go to another session.

    Attributes:
        again: it may also go there when it was written here: twice does no harm.
        written: it was, so that its outcome is unknown if it gets nowhere else.
    """

    token: Any
    kind: int
    receiver: str
    epoch: int
    type_name: str
    data: bytes
    metadata: Mapping[str, str] | None
    at: float
    again: bool = False
    written: bool = False


class Traffic(NamedTuple):
    """The traffic of one direction."""

    frames: int
    deliveries: int
    bytes: int


class Lost(NamedTuple):
    """The exchanges that a closed session leaves behind.

    Attributes:
        written: tokens of exchanges whose outcome is unknown.
        unwritten: messages that may go to another session.
        attached: tokens of the other side's open exchanges.
        streams: tokens of the streams that are cut.
    """

    written: list[Any]
    unwritten: list[Unwritten]
    attached: list[Any]
    streams: list[Any]


# An exchange opened here: its token, its deadline, and, if it may be written twice, all that is
# needed for that.
Entry = tuple[Any, float, Unwritten | None]
