"""Leak check: resources of the process before and after each test.

`LeakCheck` takes a snapshot before a test's setup and compares after its teardown. Resources of a
fixture of a wider scope belong to that scope and are added to the snapshot. A thread that is about
to return has `PATIENCE` seconds to end; a clean test costs a few system calls and no wait. gRPC
closes connections of closed channels when it has something else to do, so sockets may outlive their
test, but they may not become many. A killed peer leaves its unix socket's file, which the
next peer of its user removes.
"""

import asyncio
import base64
import gc
import http.client
import json
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import uvloop

from grid.embedded import Etcd
from machine import Machine

__all__ = ["Futures", "LeakCheck", "own_temporary_folder"]

PATIENCE = 3.0  # seconds
_POLL = 0.005
_LATE_TESTS = 10  # tests that use etcd, which a socket may outlive
# Sockets that may do so for longer. None is known to; gRPC's poller, which closes those of closed
# channels, gets no turn for a while on a busy machine.
_LATE_SOCKETS = 4
_FILES = Path("/proc/self/fd")
# One thread for all machines, channels and blocking clients; files that stay open.
_SHARED_THREADS = ("machine-watchdog", "_poll_wrapper", "grid.sync")
_SHARED = ("anon_inode:", "/dev/", "/proc/", "/sys/")

Leaks = dict[str, set[str]]


class LeakCheck:
    """Plugin that compares threads, descriptors, temporary files, machines and keys of etcd."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._now()
        # Sockets that gRPC may have to close yet, with their tests and the tests since then.
        self._late: dict[str, str] = {}
        self._ages: dict[str, int] = {}
        self._shared: set[str] = set()
        self._keys: set[str] = set()

    def pytest_sessionstart(self) -> None:
        """Start what the process shares, gRPC's thread and uvloop's pipe; register machines."""
        grpc.aio.init_grpc_aio()
        uvloop.new_event_loop().close()
        _register_machines()

    def pytest_collection_finish(self) -> None:
        """Spare the collector the modules and tests, which stay."""
        gc.collect()
        gc.freeze()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        """Keep what a fixture of a wider scope makes until the end of that scope."""
        if fixturedef.scope == "function":
            return (yield)
        with self._adopting():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Take the snapshot."""
        self._before = self._now()
        self._shared = _shared_threads()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, None, None]:
        """Fail the test that leaves something."""
        etcd = item.funcargs.get("grid_etcd") if isinstance(item, pytest.Function) else None
        yield
        _forget_frames(item)
        left = self._leaks(self._grown_old() if etcd is not None else set())
        left = [f"{one} ({self._late[one]})" if one in self._late else one for one in left]
        if self._shared == _shared_threads():  # a thread that came to stay has sockets of its own
            self._late |= {one: f"left by {item.nodeid}" for one in self._left() if _is_socket(one)}
        if isinstance(etcd, Etcd) and nextitem is not None:
            keys = keys_without_lease(etcd.endpoint)
            left += [f"key without a lease: {key}" for key in keys - self._keys]
            self._keys = keys  # told once, not by each test to come
        if left:
            pytest.fail("\n".join(["the test leaves", *left]), pytrace=False)

    def _grown_old(self) -> set[str]:
        """The late sockets that should have been closed by now; closed ones are forgotten."""
        still = {f"file descriptor: {one}" for one in _open_files()}
        self._late = {one: test for one, test in self._late.items() if one in still}
        self._ages = {one: self._ages.get(one, 0) + 1 for one in self._late}
        return {one for one, age in self._ages.items() if age > _LATE_TESTS}

    @contextmanager
    def _adopting(self) -> Iterator[None]:
        """Take what is made meanwhile for no leak."""
        before = self._now()
        yield
        for kind, ones in self._now().items():
            self._before[kind] |= ones - before[kind]

    def _leaks(self, late: set[str]) -> list[str]:
        """Leaks of the test except for its sockets, and the late sockets of earlier tests."""
        give_up_at = time.monotonic() + PATIENCE
        pause = _POLL
        while True:
            open_now = {f"file descriptor: {one}" for one in _open_files()} if late else set()
            old = late & open_now
            if len(old) <= _LATE_SOCKETS:
                old = set()
            left = sorted({one for one in self._left() if not _is_socket(one)} | old)
            if not left or time.monotonic() > give_up_at:
                return left
            # Once is not enough: `collect` does nothing while another thread collects, and leaves
            # what a finalizer held at that moment for the next time.
            gc.collect()
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _left(self) -> list[str]:
        now = self._now()
        return [
            f"{kind}: {one}"
            for kind, ones in now.items()
            for one in sorted(ones - self._before[kind])
        ]

    def _now(self) -> Leaks:
        return {
            "thread": {
                f"{one.name} ({one.ident})"
                for one in threading.enumerate()
                if not any(name in one.name for name in _SHARED_THREADS)
            },
            "file descriptor": set(_open_files()),
            "temporary file": set(_files(self._folder)),
            "machine with open waits": {
                str(one)
                for one in list(_MACHINES.values())
                if len(getattr(one, "_m_open_waits", None) or ())
            },
        }


class Futures:
    """Futures that a loop's `create_future` made, and that are waited for and not done."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._made: weakref.WeakSet[asyncio.Future[Any]] = weakref.WeakSet()
        create = loop.create_future

        def create_future() -> asyncio.Future[Any]:
            future = create()
            self._made.add(future)
            return future

        # uvloop's loops have fixed methods; the run on asyncio's loop finds the leak.
        with suppress(AttributeError):
            loop.create_future = create_future  # type: ignore[method-assign]

    def pending(self) -> list[asyncio.Future[Any]]:
        """Those with a callback; one that nothing waits for does no harm."""
        return [one for one in self._made if not one.done() and one._callbacks]


def own_temporary_folder() -> Path:
    """Make a temporary folder of this run, also for its child processes; short, for sockets."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="t-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    return Path(folder)


def keys_without_lease(endpoint: str) -> set[str]:
    """Keys in an etcd that no lease will remove."""
    every = base64.b64encode(b"\0").decode()
    connection = http.client.HTTPConnection(endpoint, timeout=10)
    try:
        body = json.dumps({"key": every, "range_end": every, "keys_only": True})
        connection.request("POST", "/v3/kv/range", body)
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return {
        base64.b64decode(one["key"]).decode(errors="replace")
        for one in found.get("kvs", ())
        if not int(one.get("lease", 0))
    }


def _forget_frames(item: pytest.Item) -> None:
    """Take the frames from errors that are parameters, which stay, and with them connections."""
    spec = getattr(item, "callspec", None)
    for one in spec.params.values() if spec is not None else ():
        if isinstance(one, BaseException):
            with suppress(AttributeError):  # a frozen one
                one.__traceback__ = one.__context__ = one.__cause__ = None


def _shared_threads() -> set[str]:
    names = {one.name for one in threading.enumerate()}
    return {one for one in names if any(name in one for name in _SHARED_THREADS)}


def _is_socket(leak: str) -> bool:
    return leak.startswith("file descriptor: ") and " socket:" in leak


def _open_files() -> Iterator[str]:
    for name in os.listdir(_FILES) if _FILES.exists() else ():  # noqa: PTH208 - no objects
        try:
            target = os.readlink(_FILES / name)  # noqa: PTH115
        except OSError:
            continue  # that of the listing itself
        if not target.startswith(_SHARED):
            yield f"{name} {target}"


def _files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (f"{place}/{name}" for name in names if not name.endswith(".sock"))


# By id, as machines may be unhashable.
_MACHINES: weakref.WeakValueDictionary[int, Machine[Any]] = weakref.WeakValueDictionary()


def _register_machines() -> None:
    make = Machine.__init__

    def __init__(self: Machine[Any], *args: Any, **options: Any) -> None:  # noqa: N807
        _MACHINES[id(self)] = self
        make(self, *args, **options)

    Machine.__init__ = __init__  # type: ignore[method-assign]
