"""Errors of buses."""

from __future__ import annotations

import re

from grid.errors import GridError, Retryable

__all__ = ["BrokerUnavailable", "BusClosed", "Overflow", "without_password"]

_USER = re.compile(r"(?<=//)[^/\s]*@")


def without_password(url: str) -> str:
    """The URL of a broker without its user and password, for logs and errors."""
    return _USER.sub("", url)


class BrokerUnavailable(Retryable):
    """The broker cannot be reached. Start it, or check the address; calls work again after that.

    Attributes:
        broker: its address.
        reason: of the failure.
    """

    broker: str
    reason: str

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(f"{broker} cannot be reached: {reason}", broker=broker, reason=reason)


class BusClosed(Retryable):
    """The bus was closed. Nothing was sent."""

    def __init__(self, bus: str) -> None:
        super().__init__(f"the {bus} was closed", bus=bus)


class Overflow(GridError):
    """A subscription was not read fast enough: messages after these were lost. Subscribe again.

    Attributes:
        channel: its name.
        size: messages that it held.
    """

    channel: str
    size: int

    def __init__(self, channel: str, size: int) -> None:
        super().__init__(
            f"{channel!r} is not read fast enough: {size} messages are unread, later ones are lost",
            channel=channel,
            size=size,
        )
