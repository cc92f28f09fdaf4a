"""Histories of transitions, in memory or in SQLite.

    history = SqliteHistory("door.db", changed=["Opened", "Locked"])
    door.bind_tracer(history)
    ...
    history.activated_recently("Opened", 60)
    history.find(called="Opened", args={"by": "kim"}, start=yesterday, limit=10)
    history.close()

    history = SqliteHistory("door.db")      # later, maybe in another process
    door = history.restore()                # the machine with its last state

A history is a tracer of one machine. It keeps a `Record` of each transition that
passes its filters.
"""

from __future__ import annotations

from machine.history.base import History
from machine.history.memory import MemoryHistory
from machine.history.records import MachineRecord, Moment, Record
from machine.history.sqlite import SqliteHistory

__all__ = ["History", "MachineRecord", "MemoryHistory", "Moment", "Record", "SqliteHistory"]
