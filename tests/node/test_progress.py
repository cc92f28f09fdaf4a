"""Progress of runs: reports of jobs, and the bar on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument
from grid.testing import wait_until
from tests.node.kit import LONG, offer

Servers = Callable[..., grid.Server]


async def test_a_bar_on_a_terminal_has_the_jobs_and_what_they_say(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grid_servers()
    offer(server, "steps", isolation="task")
    await server.start()
    reports: list[tuple[int, float, str]] = []
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(ours, "rb", buffering=0) as seen, os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        async with node.Client(grid_client, "steps", timeout=LONG) as pool:
            run = pool.map(
                [1, 2, 3],
                progress="counting",
                on_job_progress=lambda index, at, text: reports.append((index, at, text)),
            )
            assert await run.results() == [1, 2, 3]
        shown = b""

        def is_full() -> bool:
            nonlocal shown
            shown += seen.read(100_000) or b""
            return b"3/3" in shown

        await wait_until(is_full, "the bar is full")
    assert sorted(reports) == [
        *[(0, 1.0, "step 1"), (1, 0.5, "step 1"), (1, 1.0, "step 2")],
        *[(2, pytest.approx(1 / 3), "step 1"), (2, pytest.approx(2 / 3), "step 2")],
        (2, 1.0, "step 3"),
    ]
    assert b"counting" in shown
    assert b"step" in shown


async def test_there_is_no_bar_where_there_is_no_terminal(
    grid_servers: Servers, grid_client: GridClient, capfd: pytest.CaptureFixture[str]
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task")
    await server.start()
    async with node.Client(grid_client, "square", timeout=LONG) as pool:
        assert await pool.map(range(3), progress=True).results() == [0, 1, 4]
    assert capfd.readouterr() == ("", "")


async def test_progress_is_yes_no_or_a_text(grid_client: GridClient) -> None:
    pool = node.Client(grid_client, "square")
    with pytest.raises(InvalidArgument, match="progress"):
        pool.map([], progress=3)  # type: ignore[arg-type]
    await pool.close()


async def test_a_job_that_reports_all_the_time_does_not_fill_the_memory(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "rough", min=1, max=1)
    await server.start()
    heard: list[str] = []
    times = 100_000
    async with node.Client(grid_client, "rough", timeout=LONG) as pool:
        order = {"do": "report", "times": times}
        grown, _ = await pool.run(order, on_progress=lambda _, text: heard.append(text))
    assert grown < 20  # it was 60
    assert heard[-1] == f"report {times - 1}"
    assert heard == sorted(heard, key=lambda one: int(one.split()[1]))
