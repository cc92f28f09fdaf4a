"""A grid that all tests of the command look at."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping

import pytest

from tests.grid.cli.cli_kit import APP, Running, grid

Env = Mapping[str, str]


@pytest.fixture(scope="package")
def there() -> Iterator[Env]:
    """The variables that lead to a grid of two peers with an echo actor."""
    with Running("dev", APP, "--peers", "2") as dev:
        asyncio.run(dev.says("2 peers serve"))
        line = asyncio.run(dev.says("export GRID_ETCD="))
        env = dict(part.split("=") for part in line.split()[1:])
        for kind in ("echo", "about", "mute", "angry"):
            assert grid("start", kind, "--peer", "peer-1", env=env).returncode == 0
        yield env
        dev.signal(signal.SIGTERM)
        assert dev.ended() == 0
