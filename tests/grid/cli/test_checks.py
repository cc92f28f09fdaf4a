"""Checks of `grid doctor` that need no grid."""

from __future__ import annotations

import pytest

from grid.cli._checks import version_warning


@pytest.mark.parametrize("version", ["3.5.0", "3.5.1", "3.5.2"])
def test_versions_of_etcd_that_lose_consistency_are_named(version: str) -> None:
    assert "3.5.3" in version_warning("etcd-1:2379", version)
    assert not version_warning("127.0.0.1:2379", version)


@pytest.mark.parametrize("version", ["3.4.38", "3.5.3", "3.5.21", "3.6.5", "3.7.3"])
def test_other_versions_are_fine(version: str) -> None:
    assert not version_warning("etcd-1:2379", version)
