"""The size of a pool, and its share for each peer."""

from __future__ import annotations

from collections.abc import Mapping

from node.settings import PoolSettings

__all__ = ["distributed", "wanted_size"]


def wanted_size(settings: PoolSettings, used: int, missing: int) -> int:
    """Number of workers for the present need.

    Args:
        settings: of the pool.
        used: workers that serve clients.
        missing: workers that open claims wait for.
    """
    need = used + missing + settings.warm
    return min(settings.max, max(need, settings.min + settings.warm))


def distributed(
    size: int, peers: Mapping[str, int], pinned: Mapping[str, int], per_peer: int
) -> dict[str, int]:
    """Number of workers for each peer: as even as can be, and where they already are.

    Args:
        size: number of workers in all.
        peers: workers that each peer has now.
        pinned: those of them that cannot be ended; of other peers, too.
        per_peer: the most that one may have; 0: any number.
    """
    counts = {one: pinned.get(one, 0) for one in peers}
    for _ in range(size - sum(pinned.values())):
        open_ = [one for one in peers if not per_peer or counts[one] < per_peer]
        if not open_:
            break
        chosen = min(open_, key=lambda one: (counts[one], -peers[one], one))
        counts[chosen] += 1
    return counts
