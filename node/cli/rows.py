"""Pools and workers as rows of tables and of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from node.pool_pb2 import PoolsStatus, WorkerReport

__all__ = ["POOL_COLUMNS", "WORKER_COLUMNS", "Row", "pool_rows", "table", "worker_rows"]

Row = dict[str, Any]

POOL_COLUMNS = ("kind", "ready", "size", "serving", "clients", "waiting", "peers", "trouble")
WORKER_COLUMNS = ("name", "kind", "peer", "state", "client", "jobs", "errors", "memory", "age")
_STATES = {
    WorkerReport.STARTING: "starting",
    WorkerReport.IDLE: "idle",
    WorkerReport.SERVING: "serving",
}


def pool_rows(status: PoolsStatus) -> list[Row]:
    """A row for each pool."""
    return [
        {
            "kind": pool.kind,
            "ready": pool.ready,
            "size": pool.size,
            "serving": pool.serving,
            "clients": pool.clients,
            "waiting": pool.waiting,
            "peers": len(pool.agents),
            "min": pool.settings.min,
            "max": pool.settings.max,
            "warm": pool.settings.warm,
            "trouble": pool.trouble,
            "agents": [
                {
                    "peer": agent.peer,
                    "count": agent.count,
                    "draining": agent.draining,
                    "trouble": agent.trouble,
                }
                for agent in pool.agents
            ],
        }
        for pool in status.pools
    ]


def worker_rows(status: PoolsStatus) -> list[Row]:
    """A row for each worker."""
    return [
        {
            "name": one.name,
            "kind": pool.kind,
            "peer": agent.peer,
            "state": _STATES.get(one.state, "gone"),
            "client": one.client,
            "pid": one.pid,
            "jobs": one.jobs,
            "errors": one.errors,
            "memory": one.memory,
            "age": round(one.age, 1),
        }
        for pool in status.pools
        for agent in pool.agents
        for one in agent.workers
    ]


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of a table, with its head."""
    cells = [[one.upper() for one in columns]]
    cells += [[_cell(name, row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _cell(name: str, value: Any) -> str:
    if name == "memory":
        return f"{value / (1 << 20):.0f} MiB" if value else ""
    if name == "age":
        return f"{value:.0f} s"
    return str(value).partition("\n")[0]
