"""Workers' processes whose agents are gone: their names are free at once.

Such a process has ended with its agent. Its lease is no longer kept alive, but is longer than that
of its agent's peer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from grid.errors import GridError
from grid.etcd import EtcdClient
from grid.registry.entities import Entity
from node.names import peer_of_agent

__all__ = ["Orphans"]

_TIMEOUT = 5.0  # seconds to tell etcd


class Orphans:
    """The processes of workers, by the peers of their agents.

    Args:
        etcd: where their leases end.
        spawn: starts a task with a name.
    """

    def __init__(
        self, etcd: EtcdClient, spawn: Callable[[Coroutine[Any, Any, None], str], None]
    ) -> None:
        self._etcd = etcd
        self._spawn = spawn
        self._leases: dict[str, dict[str, int]] = {}

    def found(self, peer: Entity) -> None:
        """Note a peer."""
        agent = peer_of_agent(peer.annotations)
        if agent:
            self._leases.setdefault(agent, {})[peer.name] = peer.lease

    def lost(self, peer: Entity) -> None:
        """Forget a process; free the names of those whose agents were on this peer."""
        self._leases.get(peer_of_agent(peer.annotations), {}).pop(peer.name, None)
        for name, lease in self._leases.pop(peer.name, {}).items():
            self._spawn(self._free(lease), f"release of {name}")

    def check(self, peers: list[Entity]) -> None:
        """Free the names of those whose agents are on none of the peers that there are."""
        there = {one.name for one in peers}
        for agent in self._leases.keys() - there:
            for name, lease in self._leases.pop(agent).items():
                self._spawn(self._free(lease), f"release of {name}")

    async def _free(self, lease: int) -> None:
        with contextlib.suppress(GridError):  # they end with the lease
            await self._etcd.revoke(lease, timeout=_TIMEOUT)
