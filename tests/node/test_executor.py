"""Pools behind the interface of `concurrent.futures`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
from grid.errors import InvalidArgument
from rpc import NotPlainData
from tests.node import jobs
from tests.node.kit import LONG, offer


async def test_code_for_executors_runs_on_a_pool(
    grid_servers: Callable[..., grid.Server], grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "fragile", "square", isolation="task")
    await server.start()
    where = {"namespace": grid_namespace, "etcd": grid_etcd.endpoint}

    def use() -> None:
        with node.Executor("square", **where) as executor:
            assert list(executor.map(jobs.square, range(500), timeout=LONG)) == [
                number * number for number in range(500)
            ]
            assert executor.submit("square", 3).result(LONG) == 9
            futures = [executor.submit(jobs.square, number) for number in range(5)]
            done = concurrent.futures.as_completed(futures, LONG)
            assert sorted(one.result() for one in done) == [0, 1, 4, 9, 16]
            with pytest.raises(InvalidArgument, match="or its function, not sorted"):
                executor.submit(sorted, [1])
            with pytest.raises(InvalidArgument, match="one input, not 2 arguments"):
                executor.submit(jobs.square, 1, 2)
            with pytest.raises(NotPlainData):
                executor.submit(jobs.square, object())
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(jobs.square, 1)
        with node.Executor("fragile", **where) as executor:
            failing = executor.submit("fragile", {"do": "raise", "text": "no luck"})
            with pytest.raises(node.JobFailed, match="no luck"):
                failing.result(LONG)
            assert executor.submit("fragile", {"value": 1}).result(LONG) == [1, 1]

    await asyncio.to_thread(use)


async def test_an_executor_whose_kind_nobody_offers_fails_its_jobs(
    grid_etcd: Any, grid_namespace: str
) -> None:
    def use() -> None:
        with node.Executor("circle", namespace=grid_namespace, etcd=grid_etcd.endpoint) as executor:
            with pytest.raises(node.UnknownKind):
                executor.submit("circle", 1).result(LONG)
            with pytest.raises(node.UnknownKind):
                executor.submit("circle", 1).result(LONG)

    await asyncio.to_thread(use)


async def test_callbacks_of_futures_may_exit_and_may_submit(
    grid_servers: Callable[..., grid.Server], grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task")
    await server.start()
    where = {"namespace": grid_namespace, "etcd": grid_etcd.endpoint}

    def exits(_: object) -> None:
        raise SystemExit(1)

    def use() -> None:
        with node.Executor("square", **where) as executor:
            first = executor.submit("square", 2)
            first.add_done_callback(exits)
            assert first.result(LONG) == 4
            assert executor.submit("square", 3).result(LONG) == 9

    await asyncio.to_thread(use)
    heard: list[BaseException] = []
    executor = node.Executor("square", **where)

    def submits(_: object) -> None:
        try:
            executor.submit("square", 1)
        except RuntimeError as error:
            heard.append(error)

    def cancel() -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(executor.shutdown)
            futures = [executor.submit("square", number) for number in range(5000)]
            futures[-1].add_done_callback(submits)
            executor.shutdown(wait=False, cancel_futures=True)
            assert futures[-1].cancelled()

    thread = threading.Thread(target=cancel, daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, LONG)
    assert [str(one) for one in heard] == ["cannot schedule new futures after shutdown"]
