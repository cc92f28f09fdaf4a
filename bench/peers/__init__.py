"""Other systems that carry requests, each by its own best means, beside the grid.

A module for each one, with two roles: `serve` starts what it needs and echoes,
`drive` are the callers. What `serve` says when it is ready is given to `drive`.
They carry 100 plain bytes and send them back; none but the grid and the bare
yardsticks encodes and decodes Protobuf.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from bench.brokers import find_binary

__all__ = ["PAYLOAD", "PEERS", "Peer", "environment"]

PAYLOAD = b"m" * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One of them.

    Attributes:
        name: in the table.
        module: of this package.
        imports: what it needs in Python.
        command: what it needs on the PATH; empty if nothing.
        get: how to get both.
        p50_ratio: what our p50 over its p50 must not exceed.
    """

    name: str
    module: str
    imports: str
    command: str = ""
    get: str
    p50_ratio: float = 1.0

    @property
    def missing(self) -> bool:
        """True if it cannot be measured here."""
        if self.command and find_binary(self.command) is None:
            return True
        return importlib.util.find_spec(self.imports) is None


PEERS = (
    Peer(name="Ray actor", module="ray_actor", imports="ray", get="pip install ray"),
    Peer(name="xoscar actor", module="xoscar_actor", imports="xoscar", get="pip install xoscar"),
    Peer(
        name="Pyro5, marshal",
        module="pyro",
        imports="Pyro5",
        get="pip install Pyro5",
        p50_ratio=1.5,
    ),
    Peer(
        name="Dask actor",
        module="dask_actor",
        imports="distributed",
        get="pip install distributed",
    ),
    Peer(
        name="NATS request",
        module="nats_request",
        imports="nats",
        command="nats-server",
        get="pip install nats-py, and the nats-server package of your system",
    ),
    Peer(
        name="Redis lists",
        module="redis_lists",
        imports="redis",
        command="redis-server",
        get="pip install redis[hiredis], and the redis-server package of your system",
    ),
)


def environment() -> dict[str, str]:
    """Theirs is the system's own: gRPC as they set it, and no reports to anybody."""
    ours = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    ours.pop("GRPC_EXPERIMENTS", None)
    return ours
