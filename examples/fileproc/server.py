"""A server of files, of the standard library, that fails as often as one wants."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["FileServer"]

_FAULTS = ("503", "slow", "cut off")


class FileServer:
    """Serves files at /files/NAME, takes what is put to /results/NAME, in a thread.

    Args:
        files: what it serves, by name.
        fail: the part of the requests that fail, from 0 to 1: with status 503,
            too slow, or with a connection that is cut off half way.
        slow: seconds that a slow answer takes.
        seed: the same requests fail in the same way for the same seed.

    Attributes:
        results: what was put, by name.
        faults: how often it failed in which way.
    """

    def __init__(
        self, files: Mapping[str, Path], *, fail: float = 0.0, slow: float = 1.0, seed: int = 0
    ) -> None:
        self.results: dict[str, bytes] = {}
        self.faults: Counter[str] = Counter()
        self._files = files
        self._fail = fail
        self._slow = slow
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handle)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handle(self, *connection: Any) -> BaseHTTPRequestHandler:
        return _Handler(self, *connection)

    def content(self, name: str) -> bytes | None:
        """A file that it serves, as it is."""
        path = self._files.get(name)
        return None if path is None else path.read_bytes()

    def fault(self, request: str) -> str:
        """In which way this one fails; "" if it does not. Slow ones are waited for here."""
        with self._lock:
            self._asked[request] += 1
            # Each request has its own dice: their order in time does not matter.
            dice = random.Random(f"{self._seed} {request} {self._asked[request]}")
            if dice.random() >= self._fail:
                return ""
            fault = dice.choice(_FAULTS)
            self.faults[fault] += 1
        if fault == "slow":
            self._closing.wait(self._slow)
        return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128  # connections that wait to be accepted; 5 are lost too often

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Who asked has gone away: that is what this example is about.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # of the connection

    def __init__(self, owner: FileServer, *connection: Any) -> None:
        self._owner = owner
        super().__init__(*connection)

    def do_GET(self) -> None:
        fault = self._owner.fault(self.requestline)
        body = self._owner.content(self.path.removeprefix("/files/"))
        if fault == "503":
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        elif body is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._answer(body, len(body) // 2 if fault == "cut off" else len(body))

    def do_PUT(self) -> None:
        fault = self._owner.fault(self.requestline)
        size = int(self.headers["Content-Length"])
        if fault == "cut off":
            self.rfile.read(size // 2)
            return
        body = self.rfile.read(size)
        if fault == "503":
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        elif len(body) == size:
            self._owner.results[self.path.removeprefix("/results/")] = body
            self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body: bytes, sent: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
        """Say nothing."""
