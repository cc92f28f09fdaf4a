"""Calls of a client: turns within its limit, inputs that cannot be sent, wrong arguments."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.errors import EtcdUnavailable, InvalidArgument, InvalidName, MessageTooLarge
from grid.etcd import EtcdConfig
from grid.testing import wait_until
from tests.grid.echo_kit import go_over_the_wire
from tests.node.kit import LONG, offer, status, until_free, workers_of

Servers = Callable[..., grid.Server]


async def started(servers: Servers, *kinds: str, **settings: Any) -> None:
    """A peer that offers kinds, in its own process."""
    server = servers()
    offer(server, *kinds, isolation="task", **settings)
    await server.start()


async def test_many_runs_at_once_wait_for_their_turn(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square", min=2, max=3, per_client=2)
    async with node.Client(grid_client, "square", timeout=LONG) as pool:
        many = asyncio.gather(*(pool.run(number) for number in range(150)))
        assert await asyncio.wait_for(many, LONG) == [number * number for number in range(150)]
        await until_free(grid_client, "square")


async def test_runs_and_workers_beside_a_map_of_the_same_client_get_their_turn(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "whoami", min=3, max=3, per_client=2)
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        run = pool.map(itertools.repeat(0.001))
        await anext(run)
        results = await asyncio.gather(*(pool.run(0.0) for _ in range(5)))
        assert {one["attempt"] for one in results} == {1}
        async with pool.worker() as worker:
            assert (await worker.run(0.0))["worker"] == worker.name
        await run.close()


async def test_workers_run_as_many_jobs_at_once_as_their_kind_says(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    settings: dict[str, Any] = {"min": 1, "max": 1, "warm": 0, "spare": 0}
    now, most = 0, 0

    @node.worker(server, "count", isolation="task", concurrency=5, **settings)
    async def count(_: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return now

    await server.start()
    async with node.Client(grid_client, "count", timeout=LONG) as pool:
        await pool.map(range(30)).results()
    assert most == 5


async def test_an_input_that_cannot_be_sent_fails_alone(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "fragile", min=1, max=1)
    good = {"value": 1}
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        ends = await pool.map([good, object(), good], errors="return").results()
        assert [one.value for one in ends] == [[1, 1], None, [1, 1]]
        assert isinstance(ends[1].error, node.NotPlainData)
        assert (ends[1].index, ends[1].attempt) == (1, 0)
        run = pool.map([good, object(), good])
        assert await anext(run) == [1, 1]
        with pytest.raises(node.NotPlainData) as caught:
            await anext(run)
        assert caught.value.__notes__ == ["input 1 of the run"]
        await until_free(grid_client, "fragile")


async def test_an_input_that_is_too_large_fails_at_once_and_alone(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_over_the_wire("session", monkeypatch)
    server = grid_servers(max_message_bytes=200_000)
    offer(server, "fragile", isolation="task", min=1, max=1)
    await server.start()
    small, large = {"value": "a" * 90_000}, {"value": "a" * 300_000}
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        with pytest.raises(MessageTooLarge, match="the limit is 200000"):
            await pool.run(large)
        async with pool.worker() as worker:
            with pytest.raises(MessageTooLarge):
                await worker.run(large)
            assert (await worker.run(small))[1] == 1
            await until_one_job_is_done(grid_client)
        # Small ones that are too large together go in several messages.
        ends = await pool.map([small, large, *[small] * 9], errors="return").results()
        assert [one.attempt for one in ends] == [1, 0, *[1] * 9]
        assert isinstance(ends[1].error, MessageTooLarge)
        with pytest.raises(MessageTooLarge) as caught:
            await pool.map([small, large]).results()
        assert caught.value.__notes__ == ["input 1 of the run"]


async def until_one_job_is_done(client: GridClient) -> None:
    async def done() -> bool:
        found = await status(client, "fragile")
        return [one.jobs for one in workers_of(found).values()] == [1]

    await wait_until(done, "one job to be counted, and no worker to be replaced", timeout=LONG)


async def test_an_executor_gives_what_cannot_be_sent_to_its_future(
    grid_servers: Servers, grid_etcd: Any, grid_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_over_the_wire("session", monkeypatch)
    server = grid_servers(max_message_bytes=200_000)
    offer(server, "fragile", isolation="task", min=1, max=1)
    await server.start()

    def use() -> None:
        where = {"namespace": grid_namespace, "etcd": grid_etcd.endpoint}
        with node.Executor("fragile", **where) as executor:
            large = executor.submit("fragile", {"value": "a" * 300_000})
            small = executor.submit("fragile", {"value": 1})
            assert isinstance(large.exception(LONG), MessageTooLarge)
            assert small.result(LONG) == [1, 1]

    await asyncio.to_thread(use)


def test_executors_that_cannot_work_say_so() -> None:
    with pytest.raises(InvalidName):
        node.Executor("a b")
    with pytest.raises(InvalidArgument, match="attempts"):
        node.Executor("square", attempts=0)


async def test_a_run_without_etcd_fails_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("node.client.claims._ETCD_PATIENCE", 0.0)
    etcd = EtcdConfig((f"127.0.0.1:{unused_tcp_port}",), timeout=0.5)

    def use() -> None:
        with node.Executor("square", namespace="nowhere", etcd=etcd) as executor:
            future = executor.submit("square", 3)
            with pytest.raises(EtcdUnavailable, match="etcd"):
                future.result(LONG)

    await asyncio.to_thread(use)


async def test_wrong_arguments_of_calls_are_refused(grid_client: GridClient) -> None:
    async with node.Client(grid_client, "square") as pool:
        for wrong in ({"workers": -1}, {"workers": "2"}, {"attempts": "3"}, {"on_progress": 5}):
            with pytest.raises(InvalidArgument, match=next(iter(wrong))):
                pool.map([1], **wrong)
        wrong_times: tuple[Any, ...] = (-5, "2", True, float("nan"))
        for timeout in wrong_times:
            with pytest.raises(InvalidArgument, match="timeout must be a number of seconds"):
                await pool.run(1, timeout=timeout)
            with pytest.raises(InvalidArgument, match="timeout"):
                pool.worker(timeout=timeout)
        with pytest.raises(AttributeError, match="'run': it is not open yet: use `async with"):
            pool.worker().run(1)  # type: ignore[attr-defined]
        with pytest.raises(InvalidArgument, match="or more, not '2'"):
            pool.map([1], workers="2")  # type: ignore[arg-type]
    assert "within 10 s" in str(node.NoWorker("square", 9.99999))
