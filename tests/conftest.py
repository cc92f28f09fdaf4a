"""What holds for every test: the loop it runs on, and that it leaves nothing behind.

`GRID_TEST_LOOP=uvloop` runs all of them on uvloop.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio

from grid.etcd import EtcdClient, EtcdConfig
from grid.testing import wait_until

if os.environ.get("GRID_TEST_LOOP") == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Every async test on uvloop."""
        return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(autouse=True)
async def nothing_is_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After each test no task, no thread of an actor, and no key of its namespace is left."""
    if "grid_namespace" not in request.fixturenames:
        yield
        return
    namespace = request.getfixturevalue("grid_namespace")
    etcd = request.getfixturevalue("grid_etcd")
    yield
    own = {asyncio.current_task()}
    await wait_until(lambda: asyncio.all_tasks() <= own, "all tasks of the test to end")
    actors = [one.name for one in threading.enumerate() if one.name.startswith("actor ")]
    assert not actors
    async with EtcdClient(EtcdConfig.parse(etcd.endpoint)) as client:
        left = (await client.get_prefix(f"{namespace}.")).items
        assert not [one.key for one in left if not one.lease]
