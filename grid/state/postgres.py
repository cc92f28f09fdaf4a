"""A store in PostgreSQL, for which the extra `postgres` is needed.

The fence is a part of each statement, so that no transaction spans two of them. It also holds the
turn of the last write, because a write that was given up may reach the server late, over a
connection of its own: it must not undo a later one of the same owner.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from grid.deadline import Deadline
from grid.errors import InvalidArgument, StateFenced, StoreUnavailable
from grid.numbers import check_count, check_seconds
from grid.state.store import NOT_OPEN, Store

try:
    import asyncpg
except ImportError as _error:
    raise ImportError("PostgresStore needs asyncpg: pip install 'actor-grid[postgres]'") from _error

__all__ = ["PostgresStore"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?")
_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    key text PRIMARY KEY,
    epoch bigint NOT NULL,
    writer text NOT NULL,
    turn bigint NOT NULL,
    data bytea
)
"""
_WRITE = """
INSERT INTO {table} AS held (key, epoch, writer, turn, data) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO UPDATE SET
    epoch = excluded.epoch,
    writer = CASE WHEN {keeps} THEN held.writer ELSE excluded.writer END,
    turn = CASE WHEN {keeps} THEN held.turn ELSE excluded.turn END,
    data = {data}
WHERE held.epoch <= excluded.epoch
RETURNING data
"""
_LATE = (
    "held.epoch = excluded.epoch AND held.writer = excluded.writer AND held.turn > excluded.turn"
)
_LOAD = {"keeps": "held.epoch = excluded.epoch", "data": "held.data"}
_SAVE = {"keeps": _LATE, "data": f"CASE WHEN {_LATE} THEN held.data ELSE excluded.data END"}


# What makers of one table at the same time get, by how far the other one is: IF NOT EXISTS looks
# before it makes, and another transaction may come in between.
_MADE_BY_ANOTHER = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateTableError,
)


class PostgresStore(Store):
    """States in a table of PostgreSQL; use it as a context manager.

    Args:
        database: its URL (`postgresql://user:password@host:5432/shop`), or a pool of `asyncpg`,
            which is not closed with the store.
        table: its name, also `schema.table`, in small letters; it is made if it is missing.
        connections: of the store's own pool at most.
        timeout: seconds for a call.
    """

    def __init__(
        self,
        database: str | Any,
        *,
        table: str = "actor_state",
        connections: int = 4,
        timeout: float = 10.0,
    ) -> None:
        if not (_is_url(database) or callable(getattr(database, "acquire", None))):
            raise InvalidArgument("database", database, "a URL postgresql://..., or asyncpg's pool")
        if not isinstance(table, str) or not _NAME.fullmatch(table):
            raise InvalidArgument("table", table, "a name like actor_state or grid.actor_state")
        self._given = database
        self._table = table
        self._connections = check_count("connections", connections)
        self._timeout = check_seconds("timeout", timeout, zero=False)
        self._load, self._save = (_WRITE.format(table=table, **one) for one in (_LOAD, _SAVE))
        self._writer = secrets.token_hex(8)
        self._turns = itertools.count(1)
        self._pool: Any = None

    def __repr__(self) -> str:
        return f"<PostgresStore {self._place()}>"

    async def __aenter__(self) -> Self:
        self._pool = self._given
        try:
            if isinstance(self._given, str):
                self._pool = asyncpg.create_pool(
                    self._given,
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._timeout,
                    reset=_as_it_is,
                )
                await self._pool
            await self._make_table()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and pool is not self._given:
            pool.terminate()  # nothing is under way, and to part politely could take long

    async def load(self, key: str, epoch: int) -> bytes | None:
        """See `Store.load`."""
        return await self._write(self._load, key, epoch, 0, None)

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`."""
        await self._write(self._save, key, epoch, next(self._turns), data)

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        await self._write(self._save, key, epoch, next(self._turns), None)

    async def _write(
        self, statement: str, key: str, epoch: int, turn: int, data: bytes | None
    ) -> bytes | None:
        rows = await self._fetch(statement, key, epoch, self._writer, turn, data)
        if not rows:
            raise StateFenced(key, epoch)
        found: bytes | None = rows[0]["data"]
        return found

    async def _make_table(self) -> None:
        # A user who may not make tables can use one that is there.
        deadline = Deadline.after(self._timeout)
        while (await self._fetch("SELECT to_regclass($1)", self._table))[0][0] is None:
            try:
                await self._fetch(_TABLE.format(table=self._table))
            except StoreUnavailable as error:
                made = isinstance(error.__cause__, _MADE_BY_ANOTHER)
                if not made or deadline.passed:  # a type of the name may be in the way for good
                    raise

    async def _fetch(self, statement: str, *arguments: Any) -> Any:
        if self._pool is None:
            raise StoreUnavailable(NOT_OPEN)
        try:
            async with asyncio.timeout(self._timeout), self._pool.acquire() as connection:
                try:
                    return await connection.fetch(statement, *arguments)
                except asyncpg.PostgresError:
                    raise
                except BaseException:
                    # What it still does there is not known: it is of no use to others.
                    connection.terminate()
                    raise
        except TimeoutError as error:
            text = f"no answer within {self._timeout:g} s"
            raise StoreUnavailable(f"PostgreSQL, {self._place()}: {text}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StoreUnavailable(f"PostgreSQL, {self._place()}: {error}") from error

    def _place(self) -> str:
        # A URL may have a password.
        if not isinstance(self._given, str):
            return "the pool that was given"
        parts = urlsplit(self._given)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path} {self._table}"


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("postgresql://", "postgres://"))


async def _as_it_is(connection: Any) -> None:
    # Statements of the store leave nothing behind that the next one would find.
    return None
