"""Errors of buses."""

from __future__ import annotations

import re

from grid.errors import GridError, Retryable

__all__ = ["BrokerClientClosed", "BrokerUnavailable", "BusClosed", "Overflow", "without_password"]

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


class BrokerClientClosed(BusClosed):
    """The client of the broker that the bus was given is closed: by its owner, or by itself.

    The bus cannot connect it again, so its subscriptions are at their end. Nothing was sent. Make
    a bus with a new client; or give it the URL of the broker, and it connects again by itself.

    Attributes:
        broker: the client.
        reason: of the end, as the client tells it.
    """

    broker: str
    reason: str

    def __init__(self, broker: str, reason: str) -> None:
        Retryable.__init__(
            self,
            f"{broker} is closed: {reason}; make a bus with a new client, or with the broker's URL",
            broker=broker,
            reason=reason,
        )


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
