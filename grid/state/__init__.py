"""States of actors that outlive them, in stores that are fenced by epochs."""

from __future__ import annotations

from grid.state.actor_state import ActorState
from grid.state.etcd import EtcdStore
from grid.state.memory import MemoryStore
from grid.state.sqlite import SqliteStore
from grid.state.store import Store

__all__ = ["ActorState", "EtcdStore", "MemoryStore", "SqliteStore", "Store"]
