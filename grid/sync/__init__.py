"""The blocking facade of the client, and what blocking actors hold."""

from __future__ import annotations

from grid.sync.actors import (
    BlockingContext,
    BlockingExposure,
    BlockingMailbox,
    BlockingRequest,
    BlockingStopSignal,
)
from grid.sync.client import Client
from grid.sync.stream import BlockingStream, BlockingSubscription

__all__ = [
    "BlockingContext",
    "BlockingExposure",
    "BlockingMailbox",
    "BlockingRequest",
    "BlockingStopSignal",
    "BlockingStream",
    "BlockingSubscription",
    "Client",
]
