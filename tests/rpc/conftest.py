"""Brokers of the tests of buses and services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rpc.brokers import Broker, broker


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Redis for the whole run."""
    with broker("redis", tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real NATS for the whole run."""
    with broker("nats", tmp_path_factory.mktemp("nats")) as made:
        yield made
