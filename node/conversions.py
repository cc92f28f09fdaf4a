"""Settings of pools as messages, and back."""

from __future__ import annotations

from node.pool_pb2 import Settings
from node.settings import PoolSettings

__all__ = ["from_settings", "to_settings"]


def to_settings(settings: PoolSettings) -> Settings:
    """The settings that the supervisor needs, as a message."""
    message = Settings()
    for name in message.DESCRIPTOR.fields_by_name:
        setattr(message, name, getattr(settings, name))
    return message


def from_settings(message: Settings) -> PoolSettings:
    """The settings in a message; the others have their defaults.

    Raises:
        InvalidArgument: they contradict each other.
    """
    names = message.DESCRIPTOR.fields_by_name
    return PoolSettings(**{name: getattr(message, name) for name in names})
