"""Tools that the tests of etcd share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.etcd import EtcdClient, EtcdConfig, Watch, WatchBatch
from grid.testing import wait_until

__all__ = ["cluster", "connect", "etcd_and_client", "follow", "nothing_left"]


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Asserts that no task is left that was not there before."""
    before = asyncio.all_tasks()
    yield
    await wait_until(lambda: not _new_tasks(before), "all tasks to end", timeout=20)


def _new_tasks(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    return [one for one in asyncio.all_tasks() - before if one.get_name() != "fault-proxy"]


@asynccontextmanager
async def connect(*endpoints: str, **options: Any) -> AsyncIterator[EtcdClient]:
    """A client that leaves nothing behind."""
    async with nothing_left(), EtcdClient(EtcdConfig(endpoints, **options)) as client:
        yield client


@asynccontextmanager
async def etcd_and_client(**options: Any) -> AsyncIterator[tuple[Etcd, EtcdClient]]:
    """A new etcd and a client of it."""
    async with Etcd() as etcd, connect(etcd.endpoint, **options) as client:
        yield etcd, client


@asynccontextmanager
async def cluster(size: int = 3) -> AsyncIterator[list[Etcd]]:
    """A cluster of `size` members."""
    urls = [f"http://127.0.0.1:{port}" for port in free_ports(size)]
    everyone = ",".join(f"m{i}={url}" for i, url in enumerate(urls))
    members = [
        Etcd(
            name=f"m{i}",
            args=(
                f"--listen-peer-urls={url}",
                f"--initial-advertise-peer-urls={url}",
                f"--initial-cluster={everyone}",
                "--heartbeat-interval=50",
                "--election-timeout=500",
            ),
        )
        for i, url in enumerate(urls)
    ]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(one) for one in members))
        yield members


async def follow(
    watch: Watch, until: int, into: dict[str, bytes] | None = None
) -> list[WatchBatch]:
    """The batches of `watch` up to a revision; a dict kept by them, checked on the way."""
    kept: dict[str, bytes] = {} if into is None else into
    batches: list[WatchBatch] = []
    while not batches or batches[-1].revision < until:
        async with asyncio.timeout(30):
            batch = await anext(watch)
        batches.append(batch)
        for change in batch.changes:
            before = change.previous.value if change.previous else None
            assert kept.get(change.key) == before, f"{change} after {before!r}"
            if change.current is None:
                del kept[change.key]
            else:
                kept[change.key] = change.current.value
    assert kept == {key: one.value for key, one in watch.current.items()}
    return batches


def flatten(batches: Sequence[WatchBatch]) -> list[tuple[str, bytes | None]]:
    """Keys and values of all changes, None for a delete."""
    return [
        (change.key, change.current.value if change.current else None)
        for batch in batches
        for change in batch.changes
    ]
