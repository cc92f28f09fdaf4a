"""Pools and workers as rows of tables and of JSON."""

from __future__ import annotations

import json

from node.cli.rows import POOL_COLUMNS, WORKER_COLUMNS, cell, pool_rows, worker_rows
from node.policy.pool import PoolPolicy
from node.pool_pb2 import AgentStatus, PoolsStatus, PoolStatus, Settings, WorkerReport
from node.settings import PoolSettings
from node.supervisor.messages import pool_status
from rpc.cli.rows import table

STATUS = PoolsStatus(
    pools=[
        PoolStatus(
            kind="square",
            settings=Settings(min=1, max=4),
            size=2,
            ready=1,
            trouble="its process ended with 1:\nTraceback ...\nImportError: nope\n\n",
            agents=[
                AgentStatus(
                    peer="p1",
                    count=2,
                    workers=[
                        WorkerReport(
                            name="square-1",
                            state=WorkerReport.SERVING,
                            client="kim",
                            pid=7,
                            memory=50 << 20,
                            age=61.24,
                            jobs=3,
                        ),
                        WorkerReport(name="square-2"),
                    ],
                )
            ],
        )
    ]
)


def test_rows_have_the_state_of_pools_and_workers_for_json() -> None:
    (pool,) = pool_rows(STATUS)
    assert (pool["kind"], pool["ready"], pool["size"], pool["max"]) == ("square", 1, 2, 4)
    assert pool["agents"][0] == {
        "peer": "p1",
        "count": 2,
        "workers": 2,
        "draining": False,
        "drained": False,
        "pending": False,
        "trouble": "",
        "refusal": "",
    }
    one, other = worker_rows(STATUS)
    assert (one["state"], one["client"], one["memory"], one["age"]) == (
        "serving",
        "kim",
        50 << 20,
        61.2,
    )
    assert other["state"] == "starting"
    json.dumps([pool, one, other])


def test_tables_have_a_line_for_each_row() -> None:
    head, line = table(POOL_COLUMNS, pool_rows(STATUS), cell)
    assert head.split()[:3] == ["KIND", "READY", "SIZE"]
    assert line.endswith("ImportError: nope")  # the last line of the trouble
    head, one, other = table(WORKER_COLUMNS, worker_rows(STATUS), cell)
    assert "50 MiB" in one
    assert "61 s" in one
    assert other.split() == ["square-2", "square", "p1", "starting", "0", "0", "0", "s"]
    assert table(POOL_COLUMNS, [], cell) == [head_of(POOL_COLUMNS)]


def head_of(columns: tuple[str, ...]) -> str:
    return "  ".join(columns).upper()


def test_a_pool_whose_workers_serve_clients_that_are_gone_says_so() -> None:
    policy = PoolPolicy()
    settings = PoolSettings(min=2, max=2, warm=0)
    policy.agent_joined("p1", settings, {"a-1": (True, "kim"), "a-2": (True, "lea")}, 0.0)

    def trouble(*clients: str) -> str:
        return pool_status("a", policy, {}, clients).trouble

    assert trouble("kim") == trouble("kim", "lea") == ""
    assert trouble() == (
        "all 2 workers serve clients that are gone: kim, lea; to free one: grid worker kill a-1"
    )
    policy.worker_gone("a-2", "it fell", 0.0)
    assert trouble() == ""  # another one is about to come
    policy.worker_reported("p1", "a-2", 0.0, ready=True, serving="")
    assert trouble() == ""
