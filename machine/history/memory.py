"""A history of transitions in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from machine.core.snapshot import Snapshot
from machine.history.base import History
from machine.history.records import MachineRecord, Record
from machine.schema.schema import Schema

__all__ = ["MemoryHistory"]


class MemoryHistory(History):
    """A history in memory; the oldest records go when there are `max_records`.

    Args:
        options: those of `History`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._records: deque[Record] = deque(maxlen=self.max_records)
        self._seen: MachineRecord | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(not record.begins for record in self._all())

    def machine_record(self) -> MachineRecord | None:
        """The machine's schema and last state; None before one was bound."""
        return self._seen

    def _all(self) -> list[Record]:
        with self._lock:
            return list(self._records)

    def _store(self, record: Record) -> None:
        with self._lock:
            self._records.append(record)

    def _touch(self, schema: Schema, snapshot: Snapshot, at: datetime) -> None:
        first = at if self._seen is None else self._seen.first_seen
        self._seen = MachineRecord(snapshot.id, first, at, self._number, schema, snapshot)

    def _scan(
        self,
        start: float | None = None,
        end: float | None = None,
        state: str = "",
        newest: bool = False,
    ) -> Iterator[Record]:
        records = self._all()
        for record in reversed(records) if newest else records:
            at = record.at.timestamp()
            within = (start is None or at >= start) and (end is None or at <= end)
            if within and (not state or state in record.diff):
                yield record
