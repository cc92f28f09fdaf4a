"""Errors of buses that need a broker."""

from __future__ import annotations

from grid.errors import GridError

__all__ = ["BrokerUnavailable"]


class BrokerUnavailable(GridError):
    """The broker cannot be reached. Start it, or check the address; calls work again after that.

    Attributes:
        broker: its address.
        reason: of the failure.
    """

    retryable = True
    broker: str
    reason: str

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(f"{broker} cannot be reached: {reason}", broker=broker, reason=reason)
