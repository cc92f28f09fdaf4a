"""Redis and NATS servers of the tests, on free ports; tests are skipped where there is none."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from grid.embedded.ports import free_ports

__all__ = ["Broker", "broker", "find_broker"]

# Packages of the group `dev` bring servers along, into the folder of the interpreter.
_PATHS = ("/usr/sbin", "/usr/local/sbin", str(Path(sys.executable).parent))
_READY = 20.0  # seconds


class Broker:
    """A running broker, which can be stopped and started again on its port."""

    def __init__(self, kind: str, binary: str, folder: Path, options: Sequence[str] = ()) -> None:
        self.kind = kind
        self.port = free_ports(1)[0]
        self._binary = binary
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{self.kind}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; it answers when this returns."""
        if self.kind == "redis":
            words = ["--port", str(self.port), "--save", "", "--appendonly", "no"]
        else:
            words = ["-a", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            [self._binary, *words, *self._options],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + _READY
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, f"{self._binary} ended"
                assert time.monotonic() < give_up, f"{self._binary} does not answer"
                time.sleep(0.02)
            else:
                return

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


def find_broker(kind: str) -> str | None:
    """The binary of a broker, None if it is not installed."""
    name = f"{kind}-server"
    return shutil.which(name) or shutil.which(name, path=":".join(_PATHS))


@contextmanager
def broker(kind: str, folder: Path, *options: str) -> Iterator[Broker]:
    """A broker for a block; `kind` is `redis` or `nats`. Skips the test where there is none."""
    name = f"{kind}-server"
    binary = find_broker(kind)
    if binary is None:
        text = f"*** SKIPPED: {name} is not installed (apt-get install {name})"
        print(text, file=sys.stderr)
        pytest.skip(text)
    made = Broker(kind, binary, folder, options)
    made.start()
    try:
        yield made
    finally:
        made.stop()
