"""Pools and workers as rows of tables and of JSON."""

from __future__ import annotations

import json

from node.cli.rows import POOL_COLUMNS, WORKER_COLUMNS, pool_rows, table, worker_rows
from node.pool_pb2 import AgentStatus, PoolsStatus, PoolStatus, Settings, WorkerReport

STATUS = PoolsStatus(
    pools=[
        PoolStatus(
            kind="square",
            settings=Settings(min=1, max=4),
            size=2,
            ready=1,
            trouble="ImportError: nope\nand more",
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
    assert pool["agents"][0] == {"peer": "p1", "count": 2, "draining": False, "trouble": ""}
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
    head, line = table(POOL_COLUMNS, pool_rows(STATUS))
    assert head.split()[:3] == ["KIND", "READY", "SIZE"]
    assert line.endswith("ImportError: nope")  # the first line of the trouble
    head, one, other = table(WORKER_COLUMNS, worker_rows(STATUS))
    assert "50 MiB" in one
    assert "61 s" in one
    assert other.split() == ["square-2", "square", "p1", "starting", "0", "0", "0", "s"]
    assert table(POOL_COLUMNS, []) == [head_of(POOL_COLUMNS)]


def head_of(columns: tuple[str, ...]) -> str:
    return "  ".join(columns).upper()
