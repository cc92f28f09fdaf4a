"""Pools whose workers are tasks of their peers: claims, jobs, runs, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.errors import DeadlineExceeded, InvalidArgument, InvalidName, RequestFailed
from grid.testing import wait_until
from node.names import SUPERVISOR
from node.pool_pb2 import KillWorker
from rpc import NotPlainData
from tests.grid.echo_kit import go_over_the_wire
from tests.node import jobs
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


async def started(servers: Servers, *kinds: str, **settings: Any) -> grid.Server:
    """A peer that offers kinds, in its own process."""
    server = servers()
    offer(server, *kinds, isolation="task", **settings)
    await server.start()
    return server


async def test_the_shortest_worker_does_a_job(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square")
    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        assert await squares.run(12) == 144
        async with squares.worker() as worker:
            assert [await worker.run(number) for number in range(4)] == [0, 1, 4, 9]
            assert await asyncio.gather(*map(worker.run, range(50))) == [n * n for n in range(50)]


async def test_map_gives_each_result_once_in_order_or_as_they_come(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square", min=3)
    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        expected = [number * number for number in range(3000)]
        assert await squares.map(range(3000)).results() == expected
        seen: list[int] = []
        unordered = squares.map(range(3000), ordered=False, on_progress=seen.append)
        assert sorted(await unordered.results()) == expected
        assert seen == list(range(1, 3001))
        assert await squares.map([]).results() == []
    await until_ready(grid_client, "square", 3)
    await wait_until(lambda: _is_idle(grid_client, "square"), "the workers' release", timeout=LONG)


async def _is_idle(client: GridClient, kind: str) -> bool:
    found = await status(client, kind)
    return found.ready > 0 and found.serving == 0


async def test_workers_that_are_killed_again_and_again_lose_no_job(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_over_the_wire("session", monkeypatch)
    await started(grid_servers, "square", min=2)
    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        expected = [number * number for number in range(4000)]
        running = asyncio.create_task(squares.map(range(4000), attempts=1000).results())
        for _ in range(8):
            await asyncio.sleep(0.02)
            for name in workers_of(await status(grid_client, "square")):
                with suppress(RequestFailed):  # it has ended by itself
                    await grid_client.request(SUPERVISOR, KillWorker(worker=name))
        assert await asyncio.wait_for(running, LONG) == expected


async def test_endless_inputs_are_read_as_there_is_room(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square")
    read = 0

    def numbers() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    async def later() -> AsyncIterator[int]:
        for number in range(20):
            await asyncio.sleep(0)
            yield number

    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        async with squares.map(numbers()) as run:
            assert await anext(run) == 1
            await wait_until(lambda: read > 500, "jobs to be sent ahead", timeout=LONG)
            await asyncio.sleep(0.05)
            assert read <= 1010
        assert await squares.map(later()).results() == [number * number for number in range(20)]


async def test_a_run_without_inputs_for_a_while_lets_its_workers_go(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.client.job_run._IDLE", 0.05)
    await started(grid_servers, "square")
    more = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2
        await more.wait()
        yield 3

    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        seen: list[int] = []
        run = squares.map(numbers(), on_progress=seen.append)
        running = asyncio.create_task(run.results())
        await wait_until(lambda: len(seen) == 2, "two results", timeout=LONG)
        await wait_until(lambda: _is_idle(grid_client, "square"), "the release", timeout=LONG)
        more.set()
        assert await asyncio.wait_for(running, LONG) == [1, 4, 9]


async def test_a_job_that_raises_says_where(grid_servers: Servers, grid_client: GridClient) -> None:
    await started(grid_servers, "fragile")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        with pytest.raises(node.JobFailed, match="ValueError: no luck") as caught:
            await pool.run({"do": "raise", "text": "no luck"})
        assert (caught.value.type, caught.value.text) == ("ValueError", "no luck")
        assert "in fragile" in caught.value.__notes__[0]
        with pytest.raises(node.JobFailed, match="object, which cannot be sent"):
            await pool.run({"do": "object"})
        with pytest.raises(NotPlainData, match="object, which cannot be sent"):
            await pool.run({"value": object()})
        # The worker goes on, and a run of many can go on, too.
        orders = [{"value": 1}, {"do": "raise", "text": "two"}, {"value": 3}]
        ends = await pool.map(orders, errors="return").results()
        assert [one.value for one in ends] == [[1, 1], None, [3, 1]]
        assert str(ends[1].error) == "ValueError: two"
        with pytest.raises(node.JobFailed, match="two"):
            await pool.map(orders).results()
    await wait_until(lambda: _is_idle(grid_client, "fragile"), "the worker's release", timeout=LONG)


async def test_async_jobs_report_their_progress(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "steps", concurrency=4)
    async with node.Client(grid_client, "steps", timeout=LONG) as pool:
        told: list[tuple[float, str]] = []
        assert await pool.run(2, on_progress=lambda at, text: told.append((at, text))) == 2
        assert told == [(0.5, "step 1"), (1.0, "step 2")]
        assert await pool.map([3] * 40).results() == [3] * 40


async def test_clients_wait_for_their_turn_and_none_goes_above_its_limit(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square", min=1, max=1, per_client=1)
    async with (
        node.Client(grid_client, "square", timeout=LONG) as kim,
        node.Client(grid_client, "square", timeout=LONG) as ada,
    ):
        first = await kim.worker()
        with pytest.raises(node.ClientLimit, match="at most 1 workers"):
            await kim.worker()
        with pytest.raises(node.NoWorker, match=r"was free within 0\.1 s"):
            await ada.worker(timeout=0.1)
        waiting = asyncio.create_task(ada.run(3))
        await wait_until(lambda: _waits(grid_client), "Ada to wait", timeout=LONG)
        assert await first.run(2) == 4
        await first.close()
        assert await waiting == 9
        with pytest.raises(node.WorkerLost, match="released"):
            await first.run(2)


async def _waits(client: GridClient) -> bool:
    return (await status(client, "square")).waiting == 1


async def test_a_large_run_lets_others_in(grid_servers: Servers, grid_client: GridClient) -> None:
    await started(grid_servers, "whoami", min=2, max=2)
    async with (
        node.Client(grid_client, "whoami", timeout=LONG) as kim,
        node.Client(grid_client, "whoami", timeout=LONG) as ada,
        kim.map([0.005] * 100_000) as run,
    ):
        await anext(run)
        assert (await ada.run(0.0))["attempt"] == 1
        assert (await anext(run))["attempt"] == 1


async def test_a_client_that_is_gone_frees_its_workers(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_over_the_wire("session", monkeypatch)
    await started(grid_servers, "square", min=1, max=1)
    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        other = GridClient(grid_namespace, etcd=grid_etcd.endpoint)
        forgetful = node.Client(other, "square", timeout=LONG)
        await forgetful.worker()
        await other.close()  # as a crash: nothing is released
        assert await squares.run(5) == 25
        await forgetful.close()


async def test_a_job_that_takes_too_long_is_given_up_by_its_caller(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "fragile", min=1, max=1)
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool, pool.worker() as worker:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            await worker.run({"do": "sleep", "seconds": 0.3}, timeout=0.05)
        assert await worker.run({"value": 1}) == [1, 1]


async def test_unknown_kinds_are_refused_at_once(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    async with node.Client(grid_client, "square", timeout=LONG) as nobody:
        with pytest.raises(node.UnknownKind, match="'square' in namespace 'test-"):
            await nobody.run(1)
    await started(grid_servers, "square")
    await until_ready(grid_client, "square", 1)
    async with node.Client(grid_client, "circle", timeout=LONG) as pool:
        with pytest.raises(node.UnknownKind, match="circle"):
            await pool.map(range(3)).results()
    await wait_until(lambda: _knows_no_circle(grid_client), "it to be forgotten", timeout=LONG)


async def test_a_peer_that_has_just_joined_gets_jobs(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square")
    await until_ready(grid_client, "square", 1)
    for number in range(10):
        server, kind = grid_servers(), f"late-{number}"
        node.worker(server, kind, isolation="task", min=1)(jobs.whoami)
        async with node.Client(grid_client, kind, timeout=LONG) as pool:
            await server.start()
            assert (await pool.run())["attempt"] == 1


async def _knows_no_circle(client: GridClient) -> bool:
    return (await status(client, "circle")).kind == ""


async def test_a_new_leader_adopts_workers_and_claims(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    first = grid_servers()
    await first.start()
    leading = grid_servers(allow_leadership=True)
    offer(leading, "whoami", isolation="task", min=1, max=1)
    # The first peer offers nothing and supervises: it is the leader until it is stopped.
    first.actor("leader")(node.supervise)
    await wait_until(lambda: _has_supervisor(grid_client), "a supervisor", timeout=LONG)
    await leading.start()
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        async with pool.worker() as worker:
            before = await worker.run()
            during = asyncio.create_task(worker.run(0.5))
            await first.stop()
            assert (await during)["worker"] == before["worker"]
            await until_ready(grid_client, "whoami", 1)
            assert workers_of(await status(grid_client, "whoami")).keys() == {before["worker"]}
            with pytest.raises(node.NoWorker):
                async with node.Client(grid_client, "whoami") as other:
                    await other.worker(timeout=0.3)
            assert (await worker.run())["worker"] == before["worker"]
        assert (await pool.run())["worker"] == before["worker"]


async def _has_supervisor(client: GridClient) -> bool:
    return any(one.name == "pool-supervisor" for one in await client.query("mailbox"))


async def test_a_peer_that_drains_loses_no_job(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    staying = await started(grid_servers, "whoami", min=2, max=4)
    going = await started(grid_servers, "whoami", min=2, max=4)
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        await until_ready(grid_client, "whoami", 2)
        async with pool.map([0.002] * 1000, ordered=False) as run:
            results = [await anext(run)]
            stopping = asyncio.create_task(going.stop())
            results += [one async for one in run]
            await stopping
        assert len(results) == 1000
        assert {one["attempt"] for one in results} == {1}
    assert staying.name


def test_wrong_definitions_are_refused() -> None:
    server = grid.Server("nowhere", etcd="127.0.0.1:1")
    with pytest.raises(InvalidArgument, match=r"grid\.Server"):
        node.worker("square", "square")  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        node.worker(server, "no dots.")
    with pytest.raises(InvalidArgument, match="one of min, max"):
        node.worker(server, "square", minimum=1)
    with pytest.raises(InvalidArgument, match=r"max must be 5 \(min\) or more, not 3"):
        node.worker(server, "square", min=5, max=3)
    with pytest.raises(InvalidArgument, match="whole number"):
        node.worker(server, "square", min=1.5)
    with pytest.raises(InvalidArgument, match="seconds above 0"):
        node.worker(server, "square", heartbeat=0)
    with pytest.raises(InvalidArgument, match="isolation"):
        node.worker(server, "square", isolation="thread")
    with pytest.raises(InvalidArgument, match="a function of one input"):
        node.worker(server, "square")(lambda: 1)
    with pytest.raises(InvalidArgument, match="1 for a plain function"):
        node.worker(server, "square", concurrency=2)(jobs.square)
    for wrong in (
        {"pause": 5.0, "longest_pause": 1.0},
        {"memory": 1 << 20, "room": 1 << 21},
        {"memory": 1 << 20, "isolation": "task"},
        {"annotations": "gpu=1"},
        {"spread": "zone=a"},
        {"cpus": -1},
        {"spare": True},
    ):
        with pytest.raises(InvalidArgument):
            node.worker(server, "square", **wrong)
    with pytest.raises(InvalidArgument, match="a function of one input"):
        node.worker(server, "square")(42)  # type: ignore[type-var]
    for wrong_function in (_generate, _generate_async, len, max):
        with pytest.raises(InvalidArgument, match="a function of one input"):
            node.worker(server, "square")(wrong_function)
    with pytest.raises(LookupError, match="in a worker's function"):
        node.job()


def test_a_kind_is_defined_once() -> None:
    server, other = (grid.Server("nowhere", etcd="127.0.0.1:1") for _ in range(2))
    node.worker(server, "square")(jobs.square)
    with pytest.raises(InvalidArgument, match="that its peer does not have yet, not square"):
        node.worker(server, "square")(jobs.square)
    with pytest.raises(InvalidArgument, match="the only one of its module, not whoami beside sq"):
        node.worker(other, "square")(jobs.whoami)
    node.worker(other, "square")(jobs.square)


def _generate(_: Any) -> Any:
    yield 1


async def _generate_async(_: Any) -> Any:
    yield 1


async def test_wrong_calls_of_a_client_are_refused(grid_client: GridClient) -> None:
    with pytest.raises(InvalidArgument, match=r"grid\.Client"):
        node.Client("shop", "square")  # type: ignore[arg-type]
    pool = node.Client(grid_client, "square")
    with pytest.raises(InvalidArgument, match="attempts"):
        pool.map([], attempts=0)
    with pytest.raises(InvalidArgument, match="'raise' or 'return'"):
        pool.map([], errors="ignore")  # type: ignore[arg-type]
    await pool.close()
    with pytest.raises(grid.GridError, match="closed"):
        pool.map([])
