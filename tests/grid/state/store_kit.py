"""Stores of each kind on their real servers, for the tests of states and of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from grid.embedded import Etcd
from grid.etcd import EtcdClient, EtcdConfig
from grid.state import EtcdStore, MemoryStore, PostgresStore, RedisStore, SqliteStore, Store
from tests.grid.state.postgres_server import PostgresServer, postgres_server
from tests.rpc.brokers import Broker, broker

__all__ = [
    "KINDS",
    "StorePlace",
    "forget",
    "place_of",
    "redis_server",
    "sql_server",
    "store_place",
]

KINDS = ("memory", "sqlite", "etcd", "redis", "postgres")


class StorePlace:
    """One set of states; `make` makes a store of it, of which each peer has one.

    Attributes:
        make: makes a store.
        code: the expression that makes one in another process; empty for memory.
    """

    def __init__(self, make: Callable[[], Store], code: str = "") -> None:
        self.make = make
        self.code = code

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[Store, Store]]:
        """Two open stores."""
        one, other = self.make(), self.make()
        async with one, other:
            yield one, other


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Redis for the whole run."""
    with broker("redis", tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="session")
def sql_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL for the whole run."""
    with postgres_server() as made:
        yield made


def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> StorePlace:
    """A set of states of a kind. Skips the test where its server is not installed."""
    if kind == "memory":
        shared = MemoryStore()
        return StorePlace(lambda: shared)
    if kind == "sqlite":
        path = str(folder / "states.db")
        return StorePlace(lambda: SqliteStore(path), f"SqliteStore({path!r})")
    if kind == "etcd":
        etcd: Etcd = request.getfixturevalue("grid_etcd")
        endpoint = etcd.endpoint
        return StorePlace(lambda: EtcdStore(endpoint), f"EtcdStore({endpoint!r})")
    if kind == "redis":
        redis_url: str = request.getfixturevalue("redis_server").url
        return StorePlace(lambda: RedisStore(redis_url), f"RedisStore({redis_url!r})")
    url: str = request.getfixturevalue("sql_server").url
    return StorePlace(lambda: PostgresStore(url), f"PostgresStore({url!r})")


@pytest.fixture(params=KINDS)
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    """A set of states of each kind."""
    return place_of(request.param, request, tmp_path)


async def forget(etcd: Etcd, prefix: str) -> None:
    """Delete the keys of states, which have no lease."""
    async with EtcdClient(EtcdConfig((etcd.endpoint,))) as client:
        for one in (await client.get_prefix(prefix)).items:
            await client.delete(one.key)
