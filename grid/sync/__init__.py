"""The blocking facade of the client, and what blocking actors hold."""

from __future__ import annotations

from grid.sync.client import (
    BlockingContext,
    BlockingMailbox,
    BlockingRequest,
    BlockingStream,
    Client,
)

__all__ = ["BlockingContext", "BlockingMailbox", "BlockingRequest", "BlockingStream", "Client"]
