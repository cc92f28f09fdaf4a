"""A directory goes on whatever those do that it tells of its changes."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator

import pytest

from grid.embedded import Etcd
from grid.errors import UnregisteredMailbox
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.directory import Directory
from grid.registry.names import Kind
from grid.registry.registration import Registration, encode_registration


@pytest.fixture
async def etcd(grid_etcd: Etcd) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        yield etcd


async def put(etcd: EtcdClient, key: str) -> None:
    await etcd.put(key, encode_registration(key, "127.0.0.1:1", "p"))


class Careless:
    """Is told of names that are gone, and raises each time."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def __call__(self, left: Registration) -> None:
        self.told.set()
        raise ValueError(f"no place for {left.key}")


async def test_a_callback_that_raises_ends_no_watch(
    etcd: EtcdClient, grid_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(etcd, grid_namespace, Kind.MAILBOX)
    directory.on_left = careless = Careless()
    first, second = (f"{grid_namespace}.mailbox.{name}" for name in ("first", "second"))
    await put(etcd, first)
    with caplog.at_level(logging.ERROR, "grid.client"):
        while not directory.loaded:
            await directory.all()
            await asyncio.sleep(0)
        await etcd.delete(first)
        await asyncio.wait_for(careless.told.wait(), 10)
        coming = asyncio.create_task(directory.coming(second, 10))
        await put(etcd, second)
        found = await coming
    assert found is not None
    assert found.key == second
    assert f"the loss of {first} could not be handed on" in caplog.text
    assert f"no place for {first}" in caplog.text
    await directory.close()
    await etcd.delete(second)


async def test_a_callback_that_raises_fails_no_read(
    etcd: EtcdClient, grid_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(etcd, grid_namespace, Kind.MAILBOX)
    directory.on_left = careless = Careless()
    key = f"{grid_namespace}.mailbox.first"
    await put(etcd, key)
    assert await directory.read(key) is not None
    await etcd.delete(key)
    with caplog.at_level(logging.ERROR, "grid.client"):
        assert await directory.read(key) is None  # or the watch was faster
    assert careless.told.is_set()
    assert f"no place for {key}" in caplog.text
    await directory.close()


async def test_an_owner_that_has_come_back_is_there(etcd: EtcdClient, grid_namespace: str) -> None:
    directory = Directory(etcd, grid_namespace, Kind.PEER)
    key = f"{grid_namespace}.peer.p"
    await put(etcd, key)
    (now_there,) = await directory.all()
    before = dataclasses.replace(now_there, epoch=now_there.epoch - 1)
    assert await directory.while_there(before, asyncio.sleep(0, "done")) == "done"
    await etcd.delete(key)
    with pytest.raises(UnregisteredMailbox):
        await directory.while_there(before, asyncio.sleep(60))
    await directory.close()
