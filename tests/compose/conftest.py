"""The image of this tree, built once for all tests of containers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, docker, need_engine


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The image of this tree."""
    need_engine()
    name = f"actor-grid-test:{os.getpid()}"
    Stack("build", GRID_IMAGE=name).compose("build", "peer", timeout=800)
    yield name
    docker("image", "rm", name)
