"""Odd ends: of jobs, of inputs, of listeners and of machines. None of them may hang anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from rpc import NotPlainData
from tests.node.kit import LONG, offer

Servers = Callable[..., grid.Server]


async def started(servers: Servers, *kinds: str, **settings: Any) -> None:
    """A peer that offers kinds, in its own process."""
    server = servers()
    offer(server, *kinds, isolation="task", **settings)
    await server.start()


async def test_jobs_that_end_in_odd_ways_fail_and_the_worker_goes_on(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "odd_ends", "surrogate", min=1, max=1)
    odd = (
        ("no text", r"ValueError: \?"),
        ("exits at its text", "NoText"),
        ("raises CancelledError", "CancelledError"),
        ("interrupted", "KeyboardInterrupt"),
        ("closed", "GeneratorExit"),
    )
    async with node.Client(grid_client, "odd_ends", timeout=LONG) as pool, pool.worker() as worker:
        for how, error in (
            ("cancelled", "CancelledError"),
            ("cancels itself", "CancelledError"),
            ("exits", "SystemExit: 7"),
            *odd,
        ):
            with pytest.raises(node.JobFailed, match=error):
                await worker.run(how, timeout=LONG)
            assert await worker.run("well", timeout=LONG) == "well"
        how = "cancels itself at its end"
        assert await worker.run(how, timeout=LONG) == how
        assert await worker.run("well", timeout=LONG) == "well"
    async with node.Client(grid_client, "surrogate", timeout=LONG) as pool, pool.worker() as worker:
        for how, error in (
            *odd,
            ("huge", "NotPlainData"),
            ("deep", "NotPlainData.*nested deeper"),
            ("broken mapping", "NotPlainData.*RuntimeError: no items"),
        ):
            with pytest.raises(node.JobFailed, match=error):
                await worker.run(how, timeout=LONG)
            assert await worker.run("well", timeout=LONG) == "well"
        with pytest.raises(NotPlainData, match="4096 digits"):
            await worker.run(10**100_000, timeout=LONG)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("no text", "ValueError"),
        ("exits at its text", "NoText"),
        ("raises CancelledError", "CancelledError"),
        ("interrupted", "KeyboardInterrupt"),
    ],
)
async def test_jobs_of_machines_that_end_in_odd_ways_fail(
    grid_servers: Servers, grid_client: GridClient, how: str, error: str
) -> None:
    await started(grid_servers, "thinker", min=1, max=1, error_limit=0)
    async with node.Client(grid_client, "thinker", timeout=LONG) as pool, pool.worker() as worker:
        with pytest.raises(node.JobFailed, match=error):
            await worker.run(how, timeout=LONG)
        assert await worker.run(0, timeout=LONG)


async def test_an_error_of_what_hears_the_progress_is_the_callers(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "steps", concurrency=4)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("of the listener")

    async with node.Client(grid_client, "steps", timeout=LONG) as pool:
        with pytest.raises(ZeroDivisionError, match="of the listener"):
            await asyncio.wait_for(pool.run(3, on_progress=broken), LONG)
        with pytest.raises(ZeroDivisionError, match="of the listener"):
            await asyncio.wait_for(pool.map([3, 3], on_job_progress=broken).results(), LONG)
        assert await pool.run(2) == 2


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (StopIteration("no more"), RuntimeError, "StopIteration"),
        (TimeoutError("of the listener"), TimeoutError, "of the listener"),
    ],
)
async def test_an_odd_error_of_what_hears_the_progress_costs_no_worker(
    grid_servers: Servers,
    grid_client: GridClient,
    raised: Exception,
    error: type[Exception],
    text: str,
) -> None:
    await started(grid_servers, "steps", min=1, max=1, concurrency=4)

    def broken(*_: Any) -> None:
        raise raised

    async with node.Client(grid_client, "steps", timeout=LONG) as pool, pool.worker() as worker:
        for timeout in (None, LONG):
            with pytest.raises(error, match=text) as found:
                await worker.run(3, timeout=timeout, on_progress=broken)
            assert not isinstance(found.value, grid.GridError)
        assert await worker.run(2, timeout=LONG) == 2


async def test_errors_of_machines_that_are_none_end_their_jobs(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "stepper", min=1, max=1, error_limit=0)
    async with node.Client(grid_client, "stepper", timeout=LONG) as pool, pool.worker() as worker:
        for number, text in ((0, "StopIteration"), (-2, "RuntimeError: a text")):
            with pytest.raises(node.JobFailed, match=text):
                await worker.run(number, timeout=10.0)
            assert await worker.run(4, timeout=LONG) == 2


async def test_the_end_of_an_iterator_in_code_of_the_user_is_not_that_of_the_run(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "steps", concurrency=4)

    def ends(*_: Any) -> Any:
        raise StopAsyncIteration

    def inputs() -> Iterator[int]:
        yield 1
        ends()

    async with node.Client(grid_client, "steps", timeout=LONG) as pool:
        for run in (
            pool.map(inputs()),
            pool.map([1, 2], on_progress=ends),
            pool.map([1, 2], on_job_progress=ends),
        ):
            with pytest.raises(RuntimeError, match="StopAsyncIteration"):
                await asyncio.wait_for(run.results(), LONG)


async def test_inputs_whose_close_fails_end_the_run(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square")

    class Numbers:
        """An async iterator of one number."""

        left = 1

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return 3

        async def aclose(self) -> None:
            raise ZeroDivisionError("of the close")

    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        with pytest.raises(ZeroDivisionError, match="of the close"):
            await asyncio.wait_for(squares.map(Numbers()).results(), LONG)


async def test_a_machine_that_cannot_be_made_is_told_of(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()

    class Dud(node.WorkerMachine[node.WorkerStates]):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            raise ZeroDivisionError("of the machine")

    again: dict[str, Any] = {"start_failures": 2, "pause": 0.05, "longest_pause": 0.1}
    node.worker(server, "dud", isolation="task", min=1, max=1, warm=0, **again)(Dud)
    await server.start()
    async with node.Client(grid_client, "dud", timeout=LONG) as pool:
        with pytest.raises(node.PoolFailed, match="ZeroDivisionError: of the machine"):
            await pool.run()
