"""The blocking facade of the client, and what blocking actors hold."""

from __future__ import annotations

from grid.sync.actors import BlockingContext, BlockingMailbox, BlockingRequest
from grid.sync.client import Client
from grid.sync.stream import BlockingStream

__all__ = ["BlockingContext", "BlockingMailbox", "BlockingRequest", "BlockingStream", "Client"]
