"""The size of a pool, and its share for each peer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from node.settings import PoolSettings

__all__ = ["Site", "distributed", "wanted_size"]


@dataclass(frozen=True, slots=True)
class Site:
    """A peer that may get workers.

    Attributes:
        has: workers that it has now.
        room: workers that it may have.
        place: where it is; workers are spread over places first.
    """

    has: int
    room: int
    place: str = ""


def wanted_size(settings: PoolSettings, used: int, missing: int) -> int:
    """Number of workers for the present need.

    Args:
        settings: of the pool.
        used: workers that serve clients.
        missing: workers that open claims wait for.
    """
    need = used + missing + settings.warm
    return min(settings.max, max(need, settings.min + settings.warm))


def distributed(size: int, sites: Mapping[str, Site], pinned: Mapping[str, int]) -> dict[str, int]:
    """Number of workers for each peer: as even as can be, and where they already are.

    Args:
        size: number of workers in all.
        sites: by peer.
        pinned: workers of a peer that cannot be ended; of other peers, too.
    """
    counts = {one: pinned.get(one, 0) for one in sites}
    # The next one comes from the first place; there, from the first peer.
    peers: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    total: Counter[str] = Counter()
    for peer, site in sites.items():
        total[site.place] += counts[peer]
        if counts[peer] < site.room:
            heappush(peers[site.place], (counts[peer], -site.has, peer))
    places = [(total[place], open_[0], place) for place, open_ in peers.items()]
    heapify(places)
    for _ in range(size - sum(pinned.values())):
        if not places:
            break
        count, (_, has, chosen), place = heappop(places)
        heappop(peers[place])
        counts[chosen] += 1
        if counts[chosen] < sites[chosen].room:
            heappush(peers[place], (counts[chosen], has, chosen))
        if peers[place]:
            heappush(places, (count + 1, peers[place][0], place))
    return counts
