"""Clients: requests, tells, streams and broadcasts to names."""

from __future__ import annotations

from grid.client.broadcast import BroadcastResult, Group, Outcome
from grid.client.client import Client
from grid.client.retry import Retry

__all__ = ["BroadcastResult", "Client", "Group", "Outcome", "Retry"]
