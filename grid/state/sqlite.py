"""A store in a file of SQLite, for the peers of one host.

The fence is a part of each statement, so processes that share the file need no other lock. The
calls run in one thread of the store's own, in their order.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from grid.errors import InvalidArgument, StateFenced, StoreUnavailable
from grid.numbers import check_seconds
from grid.state.store import NOT_OPEN, Store

__all__ = ["SqliteStore"]

T = TypeVar("T")

_TABLE = """
CREATE TABLE IF NOT EXISTS actor_state (
    key TEXT PRIMARY KEY, epoch INTEGER NOT NULL, data BLOB
) WITHOUT ROWID
"""
_WRITE = """
INSERT INTO actor_state (key, epoch, data) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET {} WHERE excluded.epoch >= actor_state.epoch
RETURNING data
"""
_LOAD = _WRITE.format("epoch = excluded.epoch")
_SAVE = _WRITE.format("epoch = excluded.epoch, data = excluded.data")


_PAUSE = 0.01  # seconds between tries for a lock


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    # Here SQLite itself does not wait for a lock, such as that of the last one to leave the file.
    latest = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= latest:
                raise
        time.sleep(_PAUSE)


class SqliteStore(Store):
    """States in a file; use it as a context manager.

    Args:
        path: the file, which is made if it is missing. Not on a network file system, whose
            locks SQLite cannot rely on.
        timeout: seconds to wait for another process that writes.
    """

    def __init__(self, path: str | Path, *, timeout: float = 10.0) -> None:
        if not isinstance(path, str | Path):
            raise InvalidArgument("path", path, "the path of a file")
        self._path = path
        self._timeout = check_seconds("timeout", timeout)
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite store")
        try:
            self._connection = await self._run(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, thread = self._connection, self._thread
        if connection is not None and thread is not None:
            await self._run(connection.close)
            self._connection = self._thread = None
            thread.shutdown()

    async def load(self, key: str, epoch: int) -> bytes | None:
        """See `Store.load`."""
        return await self._execute(_LOAD, key, epoch, None)

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`."""
        await self._execute(_SAVE, key, epoch, data)

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        await self._execute(_SAVE, key, epoch, None)

    async def _execute(
        self, statement: str, key: str, epoch: int, data: bytes | None
    ) -> bytes | None:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(NOT_OPEN)

        def execute() -> list[tuple[bytes | None]]:
            with connection:
                return connection.execute(statement, (key, epoch, data)).fetchall()

        rows = await self._run(execute)
        if not rows:
            raise StateFenced(key, epoch)
        return rows[0][0]

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._timeout)
        try:
            _write_ahead(connection, self._timeout)
            connection.execute("PRAGMA synchronous = FULL")  # durable when a save returns
            with connection:
                connection.execute(_TABLE)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"SQLite, {self._path}: {error}") from error
