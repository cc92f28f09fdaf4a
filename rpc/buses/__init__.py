"""Buses that services run on: the grid, one process, Redis, NATS, or one of your own."""

from __future__ import annotations

from rpc.buses.bus import Bus, Capabilities, Channel, Inflow, Subscription
from rpc.buses.grid import GridBus
from rpc.buses.local import LocalBus

__all__ = ["Bus", "Capabilities", "Channel", "GridBus", "Inflow", "LocalBus", "Subscription"]
