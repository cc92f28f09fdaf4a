"""One suite for all stores: states last, and an older owner cannot change them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from grid.embedded import Etcd
from grid.errors import MessageTooLarge, StateFenced, StoreUnavailable
from grid.etcd import EtcdClient, EtcdConfig
from grid.state import EtcdStore, MemoryStore, SqliteStore, Store

KEY = "n.state.account.kim"


@pytest_asyncio.fixture(params=["memory", "sqlite", "etcd"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, grid_etcd: Etcd
) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores of one kind that share their states, as two peers have them."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            one = other = MemoryStore()
        elif request.param == "sqlite":
            one, other = (SqliteStore(tmp_path / "states.db") for _ in range(2))  # type: ignore[assignment]
        else:
            one, other = (EtcdStore(grid_etcd.endpoint) for _ in range(2))  # type: ignore[assignment]
            stack.push_async_callback(_forget, grid_etcd)
        for store in {id(one): one, id(other): other}.values():
            await stack.enter_async_context(store)
        yield one, other


async def _forget(etcd: Etcd) -> None:
    async with EtcdClient(EtcdConfig((etcd.endpoint,))) as client:
        for one in (await client.get_prefix("n.state.")).items:
            await client.delete(one.key)


async def test_a_state_lasts(stores: tuple[Store, Store]) -> None:
    one, other = stores
    assert await one.load(KEY, 5) is None
    await one.save(KEY, 5, b"first")
    await one.save(KEY, 5, b"\x00\xffsecond")
    assert await other.load(KEY, 5) == b"\x00\xffsecond"
    assert await other.load(KEY, 9) == b"\x00\xffsecond"
    assert await other.load(KEY + "-2", 1) is None
    await other.save(KEY, 9, b"")
    assert await one.load(KEY, 9) == b""


async def test_an_older_owner_is_refused_from_the_load_of_a_newer_on(
    stores: tuple[Store, Store],
) -> None:
    frozen, successor = stores
    await frozen.load(KEY, 99)
    await frozen.save(KEY, 99, b"of 99")
    assert await successor.load(KEY, 100) == b"of 99"
    refused = [
        frozen.save(KEY, 99, b"late"),
        frozen.load(KEY, 99),
        frozen.delete(KEY, 99),
        frozen.save(KEY, 1, b"later"),
    ]
    errors = await asyncio.gather(*refused, return_exceptions=True)
    assert [type(one) for one in errors] == [StateFenced] * 4
    await successor.save(KEY, 100, b"of 100")
    assert await successor.load(KEY, 100) == b"of 100"


async def test_a_save_fences_without_a_load(stores: tuple[Store, Store]) -> None:
    one, other = stores
    await one.save(KEY, 10, b"new")
    with pytest.raises(StateFenced):
        await other.save(KEY, 9, b"old")


async def test_a_deleted_state_is_gone_and_its_fence_is_not(stores: tuple[Store, Store]) -> None:
    one, other = stores
    await one.save(KEY, 3, b"x")
    await one.delete(KEY, 4)
    assert await other.load(KEY, 4) is None
    with pytest.raises(StateFenced):
        await other.save(KEY, 3, b"back")


async def test_stores_that_are_not_open_say_so(tmp_path: Path, grid_etcd: Etcd) -> None:
    for store in (SqliteStore(tmp_path / "a.db"), EtcdStore(grid_etcd.endpoint)):
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.load(KEY, 1)
    with pytest.raises(StoreUnavailable, match="SQLite"):
        async with SqliteStore(tmp_path / "no" / "folder.db"):
            pass
    async with EtcdStore(grid_etcd.endpoint, largest=3) as small:
        with pytest.raises(MessageTooLarge):
            await small.save(KEY, 1, b"four")
