"""A real etcd of one's own, for development, tests and examples.

    async with Etcd() as etcd:
        config = EtcdConfig.parse(etcd.endpoint)

Theory of operation. etcd runs under a small guard process (`guard.py`) that
holds a pipe from this process: when this process ends in whatever way, the guard
ends etcd and removes its temporary folder. The guard also holds the lock of the data
folder, so that no second etcd is started on it. Guard and etcd are a session of their
own, so that Ctrl-C in a terminal reaches the peers first and they can still give
their names back. A forked child lets go of its copy of the pipe, and of all else: etcd is
its parent's. Readiness is asked on etcd's metrics port, which speaks plain
HTTP also when clients need TLS or a password.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from grid.embedded._binary import find_etcd
from grid.embedded._folder import explain, lock_folder
from grid.embedded.ports import free_ports
from grid.errors import AddressInUse, EmbeddedEtcdFailed
from grid.forks import in_children
from grid.numbers import check_port, check_seconds

__all__ = ["Etcd", "find_etcd"]

_HOST = "127.0.0.1"
_GUARD = Path(__file__).with_name("guard.py")
_ATTEMPTS = 5
_GRACE = 8.0
_POLL = 0.01


class Etcd:
    """An etcd process that ends with its owner.

    Use it as a context manager, plain or async, or with `start` and `stop`.
    The methods block for as long as etcd takes (starting 0.1 s, stopping less);
    `async with` does that off the event loop.

    Args:
        data_dir: where etcd keeps its data, and its log in `etcd.log`; made if
            missing, kept at the end. None for a temporary folder.
        port: for clients; None for a free one.
        args: more arguments for etcd; they override the ones given here. With
            `--cert-file` among them clients must use TLS.
        name: the member's name.
        timeout: seconds that a start may take.

    Raises:
        InvalidArgument: the port or the timeout is out of its range.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        port: int | None = None,
        args: Sequence[str] = (),
        *,
        name: str = "grid",
        timeout: float = 30.0,
    ) -> None:
        self.name = name
        self._given_dir = None if data_dir is None else Path(data_dir)
        self._given_port = None if port is None else check_port(port)
        self._args = tuple(args)
        self._timeout = check_seconds("timeout", timeout, zero=False)
        self._dir: Path | None = None
        self._ports: tuple[int, int, int] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._give_up = threading.Event()

    def __repr__(self) -> str:
        if not self.running:
            return f"<Etcd {self.name!r} not running>"
        return f"<Etcd {self.name!r} at {self.endpoint} pid={self._pid}>"

    @property
    def endpoint(self) -> str:
        """`host:port` for clients; the same after a restart."""
        if self._ports is None:
            raise EmbeddedEtcdFailed("the embedded etcd was not started")
        return f"{_HOST}:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """etcd's process id (not the guard's), None unless it runs."""
        return self._pid if self.running else None

    @property
    def data_dir(self) -> Path | None:
        """The folder with the data and `etcd.log`, None before the first start."""
        return self._dir

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._guard is not None and self._guard.poll() is None

    # -- start and stop -------------------------------------------------------

    def start(self) -> None:
        """Start etcd and return when it answers; nothing if it runs already.

        After `kill` it starts again with the same port and data, also if starts in between fail.

        Raises:
            AddressInUse: the port asked for is taken.
            EmbeddedEtcdFailed: there is no etcd, its folder is in use or full, or it
                did not start; with the reason from its log.
        """
        if self.running:
            return
        self._let_go()
        self._give_up.clear()
        has_data = self._ports is not None
        try:
            self._start()
        except BaseException:
            if has_data:
                self._signal_guard()
                self._let_go()
            else:
                self.stop()
            raise

    def _start(self) -> None:
        self._dir = self._dir or self._make_dir()
        binary = find_etcd(self._dir)
        chosen = self._ports is not None
        for attempt in range(_ATTEMPTS):
            if self._ports is None:
                self._ports = _free_ports(self._given_port)
            elif chosen:
                _check_free(self._ports[0])
            self._spawn(binary, self._dir)
            if self._wait_ready(self._dir):
                return
            reason = self._end_and_explain(self._dir)
            if "address already in use" not in reason:
                raise EmbeddedEtcdFailed(f"the embedded etcd did not start: {reason}")
            if chosen or attempt == _ATTEMPTS - 1:
                raise AddressInUse(self.endpoint)
            self._ports = None

    def _end_and_explain(self, directory: Path) -> str:
        self._signal_guard()
        self._let_go()
        return explain(directory)

    def stop(self) -> None:
        """End etcd, gently and then by force; remove a temporary folder; idempotent."""
        self._signal_guard()
        self._let_go()
        if self._dir is not None and self._given_dir is None:
            shutil.rmtree(self._dir, ignore_errors=True)
        self._dir = None
        self._ports = None

    def kill(self) -> None:
        """End etcd at once, as a crash would (SIGKILL); data and port stay for `start`."""
        if self.running and self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
        self._let_go()

    def restart(self) -> None:
        """End etcd gently and start it again with the same port and data."""
        self._signal_guard()
        self._let_go()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._give_up.set()
            await asyncio.wait([starting])
            if starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))

    # -- process --------------------------------------------------------------

    def _make_dir(self) -> Path:
        if self._given_dir is None:
            return Path(tempfile.mkdtemp(prefix="grid-etcd-"))
        try:
            self._given_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise EmbeddedEtcdFailed(f"cannot use {self._given_dir}: {error.strerror}") from error
        return self._given_dir

    def _spawn(self, binary: Path, directory: Path) -> None:
        remove = str(directory) if self._given_dir is None else ""
        command = [sys.executable, "-I", "-S", str(_GUARD), remove, str(binary)]
        # The guard keeps the lock until it has ended etcd. It must be held before the log is
        # opened, which would empty the log of an etcd that still runs.
        held = lock_folder(directory)
        _started.add(self)
        try:
            with (directory / "etcd.log").open("wb") as log:
                self._guard = subprocess.Popen(
                    [*command, *self._etcd_args(directory), *self._args],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=directory,
                    start_new_session=True,
                    pass_fds=(held,),
                )
        finally:
            os.close(held)
        assert self._guard.stdout is not None  # noqa: S101
        line = self._guard.stdout.readline()
        self._pid = int(line) if line.strip().isdigit() else None

    def _etcd_args(self, directory: Path) -> list[str]:
        assert self._ports is not None  # noqa: S101
        clients, peers, metrics = self._ports
        tls = any(one.startswith(("--cert-file", "--auto-tls")) for one in self._args)
        client_url = f"{'https' if tls else 'http'}://{_HOST}:{clients}"
        peer_url = f"http://{_HOST}:{peers}"
        return [
            f"--name={self.name}",
            f"--data-dir={directory}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={self.name}={peer_url}",
            f"--listen-metrics-urls=http://{_HOST}:{metrics}",
            # With the defaults the first election alone takes half a second.
            "--heartbeat-interval=10",
            "--election-timeout=100",
            "--log-level=error",
            "--logger=zap",
        ]

    def _wait_ready(self, directory: Path) -> bool:
        """True when etcd answers, False when it ended."""
        assert self._ports is not None  # noqa: S101
        give_up_at = time.monotonic() + self._timeout
        while self.running:
            if _healthy(self._ports[2]):
                return True
            if self._give_up.is_set():
                raise EmbeddedEtcdFailed("the start was cancelled")
            if time.monotonic() > give_up_at:
                raise EmbeddedEtcdFailed(
                    f"no answer within {self._timeout:g} s "
                    f"(does another etcd use {directory}?): {explain(directory)}"
                )
            time.sleep(_POLL)
        return False

    def _signal_guard(self) -> None:
        if self._guard is not None and self._guard.poll() is None:
            self._guard.terminate()

    def _let_go(self) -> None:
        """Wait for the guard's end and close its pipes."""
        guard, self._guard = self._guard, None
        pid, self._pid = self._pid, None
        if guard is None:
            return
        try:
            guard.wait(_GRACE)
        except subprocess.TimeoutExpired:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            guard.kill()
            guard.wait()
        for pipe in (guard.stdin, guard.stdout):
            if pipe is not None:
                pipe.close()

    def _forget(self) -> None:
        """Leave etcd and its folder to the parent of this forked child."""
        guard, self._guard, self._pid = self._guard, None, None
        self._given_dir = self._dir  # a given folder is not removed
        if guard is None:
            return
        guard.poll()  # or its end, of which only the parent is told, would be missed in a warning
        null = os.open(os.devnull, os.O_RDWR)
        for pipe in (guard.stdin, guard.stdout):
            if pipe is not None and not pipe.closed:
                # Closing the object might wait for a thread of the parent that reads it.
                os.dup2(null, pipe.fileno(), inheritable=False)
        os.close(null)


_started: weakref.WeakSet[Etcd] = weakref.WeakSet()


def _forget_all() -> None:
    for one in tuple(_started):
        one._forget()


in_children(_forget_all)


def _free_ports(clients: int | None) -> tuple[int, int, int]:
    """Ports that are free now: the given one for clients, or any, and two more."""
    if clients:
        _check_free(clients)
    free = [port for port in free_ports(3) if port != clients]
    return clients or free[2], free[0], free[1]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As etcd does it: connections that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise AddressInUse(f"{_HOST}:{port}") from error


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
