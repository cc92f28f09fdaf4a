"""Extras that are not installed: refused where they are asked for, by their names."""

from __future__ import annotations

import pytest

import grid
from grid.errors import InvalidArgument


def test_reflection_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.server.config.find_spec", lambda _: None)
    with pytest.raises(InvalidArgument, match=r"pip install 'actor-grid\[reflection\]'"):
        grid.Server(reflection=True)


async def test_compression_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.transport.settings.available", lambda: ["gzip"])
    for kind in (grid.Server, grid.Client):
        with pytest.raises(InvalidArgument, match=r"pip install 'actor-grid\[zstd\]'"):
            kind(compression="zstd")
