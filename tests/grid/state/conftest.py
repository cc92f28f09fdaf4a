"""Stores of the tests of states."""

from __future__ import annotations

from tests.grid.state.store_kit import redis_server, sql_server, store_place

__all__ = ["redis_server", "sql_server", "store_place"]
