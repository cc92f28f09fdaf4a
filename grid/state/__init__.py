"""States of actors that outlive them, in stores that are fenced by epochs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grid.state.actor_state import ActorState
from grid.state.etcd import EtcdStore
from grid.state.memory import MemoryStore
from grid.state.sqlite import SqliteStore
from grid.state.store import Store

if TYPE_CHECKING:
    from grid.state.postgres import PostgresStore
    from grid.state.redis import RedisStore

__all__ = [
    "ActorState",
    "EtcdStore",
    "MemoryStore",
    "PostgresStore",
    "RedisStore",
    "SqliteStore",
    "Store",
]


def __getattr__(name: str) -> Any:
    # They need extras, which those who use other stores need not have.
    if name == "PostgresStore":
        return import_module("grid.state.postgres").PostgresStore
    if name == "RedisStore":
        return import_module("grid.state.redis").RedisStore
    raise AttributeError(f"module 'grid.state' has no attribute {name!r}")
