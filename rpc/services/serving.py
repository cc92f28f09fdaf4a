"""The part of a server that depends on its bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from rpc.services.specification import MethodSpec

__all__ = ["Registration", "Serving"]


@dataclass(frozen=True, slots=True)
class Registration:
    """Methods that were registered together for a topic.

    Attributes:
        topic: its parameters; empty for methods without topics.
        methods: their names in the .proto.
    """

    topic: tuple[str, ...]
    methods: tuple[str, ...]


class Serving(Protocol):
    """Takes requests from a bus, and publishes."""

    async def start(self) -> None:
        """Register all methods without topics."""

    async def stop(self, timeout: float) -> None:
        """Take nothing new, wait at most `timeout` seconds for what runs, and leave."""

    async def register(self, registration: Registration) -> None:
        """Register methods for a topic, all or none."""

    async def deregister(self, registration: Registration) -> None:
        """Take methods back from a topic."""

    async def publish(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], message: Message
    ) -> int | None:
        """Publish a message; the number of subscribers reached, None if not known."""
