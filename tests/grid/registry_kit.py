"""Two subjects for tests of names, leases and watches: a real etcd, and the registry in memory."""

from __future__ import annotations

import pytest

from grid.embedded import Etcd
from grid.testing import MemoryRegistry

__all__ = ["grid_etcd", "registry_kind"]


@pytest.fixture(params=["etcd", "memory"])
def registry_kind(request: pytest.FixtureRequest) -> str:
    """The kind of the subject: with a parameter of its own `grid_etcd` would be made each time."""
    kind: str = request.param
    return kind


@pytest.fixture
def grid_etcd(registry_kind: str, grid_etcd: Etcd) -> Etcd | MemoryRegistry:
    """Each of them; import both fixtures into a module of tests."""
    return grid_etcd if registry_kind == "etcd" else MemoryRegistry()
