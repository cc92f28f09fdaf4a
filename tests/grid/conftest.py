"""Servers with leases as long as their tests want."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import grid

# Tests of these rooms lose no lease, but keep the event loop from running: with large messages,
# with thousands of them, and with collections of garbage. On a busy machine that takes seconds.
STALLING = frozenset({"client", "mailbox", "sync", "transport"})


@pytest.fixture
def lease(request: pytest.FixtureRequest) -> float:
    """Seconds of the servers' leases; parametrize it to have another."""
    return 60.0 if Path(request.node.path).parent.name in STALLING else 2.0


@pytest.fixture
def grid_servers(
    grid_servers: Callable[..., grid.Server], lease: float
) -> Callable[..., grid.Server]:
    """The same, with a lease of `lease` seconds."""
    return lambda **options: grid_servers(**{"lease": lease, **options})
