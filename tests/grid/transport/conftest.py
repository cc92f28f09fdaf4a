"""Servers that keep their lease while a test keeps the event loop from running."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import grid


@pytest.fixture
def lease() -> float:
    """Seconds of the servers' leases: large messages on a busy machine stall the process."""
    return 60.0


@pytest.fixture
def grid_servers(
    grid_servers: Callable[..., grid.Server], lease: float
) -> Callable[..., grid.Server]:
    """The same, with a lease of `lease` seconds."""
    return lambda **options: grid_servers(**{"lease": lease, **options})
