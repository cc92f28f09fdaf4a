"""Pools and workers as rows of tables and of JSON."""

from __future__ import annotations

from typing import Any

from node.pool_pb2 import PoolsStatus, WorkerReport
from rpc.cli.rows import Row

__all__ = ["POOL_COLUMNS", "WORKER_COLUMNS", "cell", "pool_rows", "worker_rows"]

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
            "fixed": pool.fixed,
            "trouble": pool.trouble,
            "agents": [
                {
                    "peer": agent.peer,
                    "count": agent.count,
                    "workers": len(agent.workers),
                    "draining": agent.draining,
                    "drained": agent.drained,
                    "pending": agent.pending,
                    "trouble": agent.trouble,
                    "refusal": agent.refusal,
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


def cell(name: str, value: Any) -> str:
    """The text of a value in a column of a table."""
    if name == "memory":
        return f"{value / (1 << 20):.0f} MiB" if value else ""
    if name == "age":
        return f"{value:.0f} s"
    if name == "trouble":  # the output of a process: its last line says most
        lines = [one for one in str(value).splitlines() if one.strip()]
        return lines[-1].strip() if lines else ""
    return str(value).partition("\n")[0]
