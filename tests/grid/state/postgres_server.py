"""A PostgreSQL server of the tests, on a free port; tests are skipped where there is none."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grid.embedded.ports import free_ports

__all__ = ["PostgresServer", "postgres_server"]

_READY = 30.0  # seconds
_FOLDERS = ("/usr/lib/postgresql", "/usr/local/pgsql", "/usr/pgsql")


class PostgresServer:
    """A server with its data in a folder, which can be stopped and started again on its port."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self.port = free_ports(1)[0]
        self._binaries = binaries
        self._folder = folder
        self._user = user  # None for the user of the tests; the server does not run as root
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [binaries / "initdb", "-D", folder, "-U", "grid", "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )

    @property
    def url(self) -> str:
        """Its URL."""
        return f"postgresql://grid@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it; it answers when this returns."""
        words = ["-D", str(self._folder), "-k", "", "-h", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), *words, "-c", "fsync=off"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )
        give_up = time.monotonic() + _READY
        asked = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(asked, check=False).returncode != 0:
            assert self._process.poll() is None, "postgres ended"
            assert time.monotonic() < give_up, "postgres does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it without a farewell to its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # SIGKILL would leave its children
            self._process.wait(20)
            self._process = None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server for a block. Skips the test where there is none."""
    binaries = _find()
    if binaries is None:
        text = "*** SKIPPED: PostgreSQL is not installed (apt-get install postgresql)"
        print(text, file=sys.stderr)
        pytest.skip(text)
    # The folder of the tests is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="t-postgres-", dir="/tmp"))
    user = None
    if os.geteuid() == 0:
        names = {one.pw_name for one in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, user)
    try:
        made = PostgresServer(binaries, folder, user)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find() -> Path | None:
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    found = [one for folder in _FOLDERS for one in Path(folder).glob("**/bin/initdb")]
    return max(found).parent if found else None
