"""`--watch` of pools and workers: events, a live table, and Ctrl-C at any time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.names import SUPERVISOR
from node.pool_pb2 import KillWorker
from tests.grid.cli.cli_kit import Running, on_terminal, shell
from tests.grid.cli.cli_kit import grid as run
from tests.node.kit import LONG, offer, until_ready, workers_of

Servers = Callable[..., grid.Server]


async def test_events_of_workers_are_found_changed_and_lost(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "square", min=1, max=1, isolation="task")
    await server.start()
    (name,) = workers_of(await until_ready(grid_client, "square", 1))
    env = {"GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}

    def events() -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(watch.out)]

    async def heard(event: str) -> None:
        await watch.until(lambda: any(one["event"] == event for one in events()), event, LONG)

    with Running("workers", "square", "--watch", "-o", "jsonl", env=env) as watch:
        await heard("found")
        async with node.Client(grid_client, "square", timeout=LONG) as pool, pool.worker():
            await heard("changed")
        await grid_client.request(SUPERVISOR, KillWorker(worker=name))
        await heard("lost")
        watch.signal(signal.SIGINT)
        assert watch.ended() == 0
    found, changed = events()[:2]
    assert (found["event"], changed["event"]) == ("found", "changed")
    assert [one["name"] for one in events() if one["event"] == "lost"] == [name]
    assert (found["state"], changed["state"], changed["client"]) == ("idle", "serving", pool.id)


@pytest.mark.parametrize("words", ["pools -w", "workers -w", "worker logs {name} --follow"])
async def test_a_watch_ends_when_nobody_reads(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    words: str,
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1)
    await server.start()
    (name,) = workers_of(await until_ready(grid_client, "fragile", 1))
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        await pool.run({})
    env = {"GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}
    # Nothing changes: that the reader has gone is noticed all the same.
    line = f"grid {words.format(name=name)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = await asyncio.to_thread(shell, line, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


async def test_an_array_has_no_end_and_is_refused(grid_etcd: Any) -> None:
    env = {"GRID_ETCD": grid_etcd.endpoint}
    for name in ("pools", "workers"):
        done = await asyncio.to_thread(run, name, "--watch", "-o", "json", env=env)
        assert done.returncode == 2
        assert "use -o jsonl" in done.stderr


async def test_on_a_terminal_the_table_is_live(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "square", min=1, max=1, isolation="task")
    await server.start()
    await until_ready(grid_client, "square", 1)
    env = {"GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    shown = b""
    with on_terminal("pools", "--watch", terminal=slave, env=env) as watch:

        def shows(text: bytes) -> bool:
            nonlocal shown
            with contextlib.suppress(BlockingIOError):
                shown += os.read(master, 1 << 16)
            return text in shown

        await wait_until(lambda: shows(b"square  1"), "the table", timeout=LONG)
        assert shown.count(b"KIND") == 1
        shown = b""
        async with node.Client(grid_client, "square", timeout=LONG) as pool, pool.worker():
            await wait_until(lambda: shows(b"square  1      1     1"), "a change", timeout=LONG)
        assert b"\x1b[" in shown  # over the former one
        watch.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(lambda: watch.wait(LONG)) == 0
    os.close(slave)
    os.close(master)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("words", [("pools", "--watch"), ("workers", "-w"), ("peers", "-w")])
async def test_ctrl_c_while_the_command_starts_is_its_usual_end(words: tuple[str, ...]) -> None:
    with Running(*words, "--etcd", "127.0.0.1:1", "--timeout", "20") as watch:
        maps = Path(f"/proc/{watch.process.pid}/maps")
        await watch.until(lambda: "cygrpc" in maps.read_text(), "its imports")
        watch.signal(signal.SIGINT)
        assert watch.ended() == 0, "".join(watch.err)
        assert "Traceback" not in "".join(watch.err)
