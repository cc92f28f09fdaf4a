"""A history in an SQLite file."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from machine.core.snapshot import Snapshot
from machine.errors import HistoryError, InvalidArgument, MachineError, WaitTimeout
from machine.history.base import History
from machine.history.records import MachineRecord, Record, micros
from machine.history.rows import (
    SEEN,
    TABLES,
    VERSION,
    column_of,
    data_of,
    record_of_row,
    time_of,
    transaction,
)
from machine.schema.schema import Schema

__all__ = ["SqliteHistory"]

_log = logging.getLogger("machine")
_MOST_WAITING = 100_000  # records, while the file cannot be written
_histories: weakref.WeakSet[SqliteHistory] = weakref.WeakSet()
_forking: list[SqliteHistory] = []  # the histories whose locks a fork holds
_MAX_TRIES = 5  # to write, of a history that is closed
_PAUSE_AT_END = 0.1  # seconds between these
_LONGEST_INTERVAL = 86_400.0  # seconds


class SqliteHistory(History):
    """A history in an SQLite file, which other histories and programs may use as well.

    Records are written in batches by a thread that lives while there is
    something to write; queries wait for it. A program that ends writes the rest.
    While the file cannot be written, this is logged and tried again.

    Args:
        path: of the file; it is made if it is missing. `:memory:` for none.
        id: the machine's id; known without it once the history is bound, or if
            the file is about one machine only.
        interval: seconds between two batches, a day at most.
        options: those of `History`.

    Raises:
        InvalidArgument: the file is of another version, or is no database; or `interval` is not so.
        HistoryError: it cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        id: str = "",  # noqa: A002 - the word of the design
        interval: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(interval, int | float) or not 0 <= interval <= _LONGEST_INTERVAL:
            text = f"interval must be seconds from 0 to {_LONGEST_INTERVAL:g}, not {interval!r}"
            raise InvalidArgument(text, argument="interval")
        self.path: str = os.fspath(path)
        self.interval = interval
        self.machine_id = id
        self._access = threading.Lock()  # over the connection
        self._change = threading.Condition()  # over all that follows
        self._waiting: list[Record] = []
        self._seen: tuple[Schema, Snapshot, datetime] | None = None
        self._thread: threading.Thread | None = None
        self._hurry = False
        self._closed = False
        self._reopens = False
        self._connection = self._connect()
        _histories.add(self)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None, timeout=10
            )
        except sqlite3.Error as error:
            raise self._failed("opened", error) from error
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise InvalidArgument(f"{self.path} has version {version}, not {VERSION}")
            connection.execute("PRAGMA synchronous = NORMAL")
            if not version:  # else these would only wait for others that write
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(TABLES)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.OperationalError as error:
            connection.close()
            raise self._failed("opened", error) from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise InvalidArgument(f"{self.path} cannot be a history: {error}") from error
        except InvalidArgument:
            connection.close()
            raise
        return connection

    def _failed(self, what: str, error: Exception) -> HistoryError:
        return HistoryError(
            f"{self.path} cannot be {what}: {error}",
            self.path,
            hint="Look at the folder, its permissions and its space, and at programs that lock it.",
        )

    # SQLite keeps its locks by process and file, so a connection must not be open in a fork: it is
    # closed before, while nothing is written, and opened again where it is needed.

    def before_fork(self) -> None:
        """Close the connection, and hold the locks."""
        self._change.acquire()
        self._access.acquire()
        if not self._closed and self.path != ":memory:":
            self._connection.close()
            self._reopens = True

    def after_fork(self, *, child: bool) -> None:
        """Let go of the locks. The parent, which has the thread, writes what waits."""
        if child:
            self._access, self._change = threading.Lock(), threading.Condition()
            self._waiting, self._seen = [], None
            self._thread = None
        else:
            self._access.release()
            self._change.release()

    def _database(self) -> sqlite3.Connection:
        """The connection; its lock is held."""
        if self._reopens:
            self._connection = self._connect()
            self._reopens = False
        return self._connection

    # -- writing -------------------------------------------------------------------------

    def _opened(self, machine: str) -> int:
        known = self._load(machine)
        return self._number if known is None else max(self._number, known.next_number)

    def _store(self, record: Record) -> None:
        with self._change:
            if not self._closed:
                self._waiting.append(record)
                self._wake()

    def _touch(self, schema: Schema, snapshot: Snapshot, at: datetime) -> None:
        with self._change:
            if not self._closed:
                self._seen = (schema, snapshot, at)
                self._wake()

    def _wake(self) -> None:
        """Have it written; the condition is held."""
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._work, name=f"history {self.path}")
        try:
            thread.start()
        except RuntimeError:  # the program ends, and has no more threads
            records, seen = self._take()
            self._try(records, seen)
            return
        self._thread = thread

    def _work(self) -> None:
        pause, tries = self.interval, 0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._hurry, pause)
                self._hurry = False
                records, seen = self._take()
            written = self._try(records, seen)
            pause = self.interval if written else self.interval * 10
            with self._change:
                if self._closed:
                    tries += not written
                    pause = _PAUSE_AT_END
                if not written:
                    self._waiting = [*records, *self._waiting][-_MOST_WAITING:]
                    self._seen = self._seen or seen
                # Records may have come while the batch before was written, also when it was closed.
                if tries == _MAX_TRIES or not (self._waiting or self._seen):
                    self._thread = None
                    self._change.notify_all()
                    return

    def _take(self) -> tuple[list[Record], tuple[Schema, Snapshot, datetime] | None]:
        taken = self._waiting, self._seen
        self._waiting, self._seen = [], None
        return taken

    def _try(self, records: list[Record], seen: tuple[Schema, Snapshot, datetime] | None) -> bool:
        try:
            with self._access, transaction(self._database()) as connection:
                self._write(connection, records, seen)
        except (sqlite3.Error, MachineError):
            _log.exception("%d records for %s are not written yet", len(records), self.path)
            return False
        except Exception:  # noqa: BLE001 - a value that no file can hold, now or later
            _log.exception("%d records for %s are left out", len(records), self.path)
        return True

    def _write(
        self,
        connection: sqlite3.Connection,
        records: list[Record],
        seen: tuple[Schema, Snapshot, datetime] | None,
    ) -> None:
        # Numbers are given here, as another history of this machine may have written meanwhile.
        number = self._next_number(connection, records, seen)
        records = [replace(one, number=at) for at, one in enumerate(records, number)]
        rows = [(one.machine, one.number, micros(one.at), data_of(one)) for one in records]
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        changes = [
            (one.machine, change.name, one.number, micros(one.at), change.tick, change.ticks)
            for one in records
            for change in one.changes
        ]
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", changes)
        if records:
            oldest = (records[-1].machine, records[-1].number - self.max_records)
            connection.execute("DELETE FROM records WHERE machine = ? AND number <= ?", oldest)
            connection.execute("DELETE FROM changes WHERE machine = ? AND number <= ?", oldest)
        if seen is not None:
            schema, snapshot, at = seen
            number += len(records)
            texts = schema.to_json(indent=None), json.dumps(snapshot.to_dict())
            connection.execute(SEEN, (snapshot.id, micros(at), micros(at), number, *texts))

    def _next_number(
        self,
        connection: sqlite3.Connection,
        records: list[Record],
        seen: tuple[Schema, Snapshot, datetime] | None,
    ) -> int:
        machine = records[0].machine if records else seen[1].id if seen is not None else ""
        query = (
            "SELECT max(n) FROM (SELECT max(number) + 1 AS n FROM records WHERE machine = ?1"
            " UNION ALL SELECT next_number FROM machines WHERE id = ?1)"
        )
        (found,) = connection.execute(query, (machine,)).fetchone()
        return int(found or (records[0].number if records else self._number))

    def flush(self, timeout: float | None = 10.0) -> None:
        """Return when all that happened is in the file; from any thread.

        Raises:
            WaitTimeout: it could not be written within `timeout` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while self._thread is not None:
                self._hurry = True
                self._change.notify_all()
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeout(f"writing {self.path}", timeout or 0.0)
                self._change.wait(left)

    def close(self) -> None:
        """Write the rest and close the file; later transitions are not recorded."""
        with self._change:
            if self._closed:
                return
            thread = self._thread
            self._hurry = True
            self._change.notify_all()
            self._closed = True
        if thread is not None:
            thread.join()
        with self._access:
            self._connection.close()
            self._reopens = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading -------------------------------------------------------------------------

    def machine_record(self) -> MachineRecord | None:
        """The machine's schema and last state; None before one was bound.

        Raises:
            InvalidArgument: the file is about several machines, and `id` was not given.
        """
        return self._load(self._id())

    def machines(self) -> list[str]:
        """The ids of all machines in the file."""
        return [row[0] for row in self._rows("SELECT id FROM machines ORDER BY id", ())]

    def _id(self) -> str:
        if not self.machine_id:
            found = self.machines()
            if len(found) > 1:
                raise InvalidArgument(
                    f"{self.path} is about several machines: {', '.join(found)}",
                    hint="Name one, with id=.",
                )
            return found[0] if found else ""
        return self.machine_id

    def _load(self, machine: str) -> MachineRecord | None:
        rows = self._rows("SELECT * FROM machines WHERE id = ?", (machine,))
        if not rows:
            return None
        name, first, last, number, schema, snapshot = rows[0]
        return MachineRecord(
            name,
            time_of(first),
            time_of(last),
            number,
            Schema.from_json(schema, place=self.path),
            Snapshot.from_dict(json.loads(snapshot)),
        )

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._closed:
            raise InvalidArgument(f"the history in {self.path} is closed")
        self.flush()
        with self._access:
            try:
                return self._database().execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed("read", error) from error

    def _scan(
        self,
        start: float | None = None,
        end: float | None = None,
        state: str = "",
        newest: bool = False,
    ) -> Iterator[Record]:
        machine = self._id()
        where, values = "machine = ?", [machine]
        if state:
            where, values = f"{where} AND state = ?", [machine, state]
        low = column_of(-math.inf if start is None else start)
        high = column_of(math.inf if end is None else end)
        table = "changes" if state else "records"
        order = "DESC" if newest else "ASC"
        bound: int | None = None
        while True:
            page = "" if bound is None else f" AND number {'<' if newest else '>'} {bound}"
            found = self._rows(
                f"SELECT number, at, data FROM records WHERE machine = ? AND number IN ("  # noqa: S608 - our own words
                f"SELECT number FROM {table} WHERE {where} AND at BETWEEN ? AND ?{page}"
                f" ORDER BY number {order} LIMIT 500) ORDER BY number {order}",
                (machine, *values, low, high),
            )
            for number, at, data in found:
                yield record_of_row(machine, number, at, data)
            if len(found) < 500:
                return
            bound = found[-1][0]


def _before_fork() -> None:
    _forking.extend(_histories)
    for history in _forking:
        history.before_fork()


def _after_fork(*, child: bool) -> None:
    for history in _forking:
        history.after_fork(child=child)
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=functools.partial(_after_fork, child=False),
        after_in_child=functools.partial(_after_fork, child=True),
    )
