"""The fault proxy, under its former place."""

from grid.testing import FaultProxy

__all__ = ["FaultProxy"]
