"""The channels of subscriptions on buses with a directory. Pure."""

from __future__ import annotations

from typing import Any

from rpc.buses.bus import Channel
from rpc.buses.members import topic_path
from rpc.services.specification import MethodSpec

__all__ = ["update_channel"]


def update_channel(service: str, method: MethodSpec[Any, Any], topic: tuple[str, ...]) -> Channel:
    """The channel of a subscription's updates."""
    return Channel(f"{service}/{topic_path(topic)}/{method.name}", scope=service)
