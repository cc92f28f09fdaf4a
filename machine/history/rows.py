"""Tables and rows of a history in an SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from machine.core.mutation import Source
from machine.core.transition import StateChange
from machine.history.records import Record
from machine.rules.kinds import Kind

__all__ = [
    "SEEN",
    "TABLES",
    "VERSION",
    "column_of",
    "data_of",
    "record_of_row",
    "time_of",
    "transaction",
]

VERSION = 1
_FAR = 2**62  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = """
CREATE TABLE IF NOT EXISTS machines (
    id TEXT PRIMARY KEY, first_seen INTEGER, last_seen INTEGER, next_number INTEGER,
    schema TEXT, snapshot TEXT
);
CREATE TABLE IF NOT EXISTS records (
    machine TEXT, number INTEGER, at INTEGER, data TEXT, PRIMARY KEY (machine, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_at ON records (machine, at);
CREATE TABLE IF NOT EXISTS changes (
    machine TEXT, state TEXT, number INTEGER, at INTEGER, tick INTEGER, diff INTEGER,
    PRIMARY KEY (machine, state, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes_at ON changes (machine, state, at);
"""
SEEN = """
INSERT INTO machines VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    last_seen = excluded.last_seen, next_number = excluded.next_number,
    schema = excluded.schema, snapshot = excluded.snapshot
"""


_PLAIN = (
    *("transition", "accepted", "auto", "sum", "sum_tracked", "sum_diff", "since"),
    *("queue_tick", "machine_tick", "error", "begins"),
)


def data_of(record: Record) -> str:
    """The column `data` of a record."""
    data: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN}
    data["kind"] = record.kind.value
    data["called"] = list(record.called)
    data["ticks"] = dict(record.ticks)
    data["changes"] = [[one.index, one.name, one.ticks, one.tick] for one in record.changes]
    data["args"] = dict(record.args)
    source = record.source
    if source is not None:
        data["source"] = [source.machine, source.transition, source.time]
    return json.dumps(data, separators=(",", ":"))


def record_of_row(machine: str, number: int, micros_: int, text: str) -> Record:
    """The record of a row."""
    data = json.loads(text)
    data["kind"] = Kind(data["kind"])
    data["called"] = tuple(data["called"])
    if "diff" in data:  # written by an earlier version, which left the index out
        at = list(data["ticks"])
        data["changes"] = [
            [at.index(name), name, ticks, data["ticks"][name]]
            for name, ticks in data.pop("diff").items()
        ]
    data["changes"] = tuple(StateChange(*one) for one in data["changes"])
    if "source" in data:
        data["source"] = Source(*data["source"])
    return Record(machine=machine, number=number, at=time_of(micros_), **data)


def time_of(micros_: int) -> datetime:
    """The time of a column, which has microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros_)


def column_of(moment: float) -> int:
    """The column of a time in seconds since 1970, also of one beyond all records."""
    return round(max(-_FAR, min(moment * 1e6, _FAR)))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction: all of the block, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
