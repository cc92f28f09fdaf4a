"""Logs of workers: files that are rotated, outlive their workers and are read by the command."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument, RequestFailed
from grid.testing import wait_until
from node.agent.logs import WorkerLogs
from node.names import agent_name
from node.pool_pb2 import WorkerLogQuery
from node.settings import PoolSettings
from tests.node.kit import LONG, offer, until_ready, workers_of

Servers = Callable[..., grid.Server]


_CRASH = """
import os
from node.agent.logs import WorkerLogs
from node.settings import PoolSettings
WorkerLogs("sum", PoolSettings()).write("sum-ffffffff", "hello")
os._exit(0)
"""


def logs(folder: Path, **settings: Any) -> WorkerLogs:
    return WorkerLogs("sum", PoolSettings(log_folder=str(folder), **settings))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*/*") if path.name != "lock"}


def lines(kept: WorkerLogs, worker: str, after: int | None = None, tail: int = 0) -> list[str]:
    part = kept.read(worker, after, tail)
    assert part is not None
    return part.lines


def test_a_log_is_rotated_and_read_from_any_place(tmp_path: Path) -> None:
    kept, worker = logs(tmp_path, log_size=100, log_files=3), "sum-00000000"
    for number in range(100):
        kept.write(worker, f"line {number:04}")
    assert files_in(tmp_path) == {f"{worker}.log{suffix}" for suffix in ("", ".1", ".2")}
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 300
    assert lines(kept, worker, tail=12) == [f"line {number:04}" for number in range(88, 100)]
    assert lines(kept, worker, tail=1000) == lines(kept, worker) == lines(kept, worker, after=0)
    part = kept.read(worker, None, 1)
    assert part is not None
    assert (part.position, part.more) == (1000, False)
    kept.write(worker, "the last one")
    kept.ended(worker)
    assert lines(kept, worker, after=1000) == ["the last one"]
    kept.close()


def test_a_long_log_comes_in_parts_of_whole_lines(tmp_path: Path) -> None:
    kept, worker = logs(tmp_path, log_size=10_000_000), "sum-00000000"
    for number in range(10_000):
        kept.write(worker, f"{number} {'x' * 90}")
    found: list[str] = []
    after, more = 0, True
    while more:
        part = kept.read(worker, after, 0)
        assert part is not None
        assert len(part.lines) < 10_000
        found += part.lines
        after, more = part.position, part.more
    assert [int(line.split()[0]) for line in found] == list(range(10_000))
    kept.close()


def test_the_latest_logs_of_ended_workers_are_kept_and_those_of_others_are_left(
    tmp_path: Path,
) -> None:
    kept, other = logs(tmp_path, log_workers=2), logs(tmp_path, log_workers=0)
    other.write("sum-ffffffff", "I live")
    for number in range(4):
        worker = f"sum-0000000{number}"
        kept.write(worker, "hello")
        os.utime(next(tmp_path.glob(f"*/{worker}.log")), (number, number))
        kept.ended(worker)
    assert files_in(tmp_path) == {"sum-ffffffff.log", "sum-00000002.log", "sum-00000003.log"}
    assert lines(other, "sum-00000003") == ["hello"]  # for `grid worker logs`
    other.ended("sum-ffffffff")
    assert files_in(tmp_path) == {"sum-00000002.log", "sum-00000003.log"}
    other.write("sum-fffffffe", "I live")
    assert kept.read("sum-00000000", None, 0) is None
    assert kept.read("../sum-00000003", None, 0) is None
    kept.close()
    other.close()
    assert lines(logs(tmp_path), "sum-fffffffe") == ["I live"]
    # One that comes later goes on in the folder of the first one.
    later = logs(tmp_path, log_workers=0)
    later.write("sum-aaaaaaaa", "hello")
    later.ended("sum-aaaaaaaa")
    later.close()
    assert files_in(tmp_path) == {"sum-00000002.log", "sum-00000003.log"}


def test_an_agent_that_ends_leaves_the_passing_files_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (WorkerLogs("sum", PoolSettings()) for _ in range(2))
    for number, kept in enumerate((first, second)):
        kept.write(f"sum-0000000{number}", "hello")
        kept.ended(f"sum-0000000{number}")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _CRASH], env=environment, check=True)
    logged = {"sum-00000000.log", "sum-00000001.log", "sum-ffffffff.log"}
    assert {one for one in names_in(tmp_path) if one.endswith(".log")} == logged
    first.close()
    assert {one for one in names_in(tmp_path) if one.endswith(".log")} == {"sum-00000001.log"}
    assert lines(second, "sum-00000001") == ["hello"]
    second.close()
    assert not names_in(tmp_path)


def test_without_a_folder_to_write_to_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept = logs(tmp_path / "file" / "folder")
    for _ in range(3):
        kept.write("sum-00000000", "hello")
    assert caplog.text.count("logs of workers are not kept in") == 1
    assert kept.read("sum-00000000", None, 0) is None
    kept.ended("sum-00000000")
    kept.close()


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"log_size": 0}, {"log_files": 0}, {"log_workers": -1}, {"log_folder": 3}):
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            PoolSettings(**wrong)  # type: ignore[arg-type]


async def test_the_command_follows_a_log_beyond_the_death_of_the_worker(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # workers have it from their peer
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, log_folder=str(tmp_path))
    await server.start()
    ((name, worker),) = workers_of(await until_ready(grid_client, "fragile", 1)).items()
    environment = {**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}

    async def command(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grid", "worker", "logs", *arguments),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        assert await pool.run({"value": 1}) == [1, 1]
        following = await command(name, "--follow")
        assert following.stdout is not None
        async with asyncio.timeout(LONG):
            assert b"an order: {'value': 1}" in await following.stdout.readline()
        assert await pool.run({"value": 2}) == [2, 1]
        assert b"an order: {'value': 2}" in await following.stdout.readline()
        os.kill(worker.pid, signal.SIGKILL)
        assert await following.stdout.read() == b""
        assert await following.wait() == 0

    again = await command(name, "--tail", "1")
    output, _ = await again.communicate()
    assert (again.returncode, output) == (0, b"an order: {'value': 2}\n")
    unknown = await command("fragile-00000000")
    output, _ = await unknown.communicate()
    # The number of a worker is random: one that is alike would be named, too.
    assert unknown.returncode == 3
    assert output.startswith(b"error: no worker 'fragile-00000000'")
    await until_ready(grid_client, "fragile", 1)
    await server.stop()
    assert f"{name}.log" in names_in(tmp_path)  # a folder of the user


async def test_a_part_that_is_too_large_for_the_peer_is_an_error_of_the_question(
    grid_servers: Servers, grid_client: GridClient, tmp_path: Path
) -> None:
    server = grid_servers(max_message_bytes=20_000)
    offer(server, "fragile", min=1, max=1, log_folder=str(tmp_path))
    await server.start()
    (name,) = workers_of(await until_ready(grid_client, "fragile", 1))
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        for _ in range(3):
            await pool.run({"value": "x" * 9_000})
        with pytest.raises(RequestFailed, match="20000"):
            await grid_client.request(
                agent_name("fragile", str(server.name)), WorkerLogQuery(worker=name)
            )
        assert await pool.run({"value": 1}) == [1, 1]
    assert workers_of(await until_ready(grid_client, "fragile", 1)).keys() == {name}


async def test_files_without_a_folder_of_the_user_end_with_the_peer(
    grid_servers: Servers, grid_client: GridClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = grid_servers()
    offer(server, "fragile", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        await pool.run({"value": 1})
        await wait_until(lambda: any(map(_is_log, names_in(tmp_path))), "the log")
    await server.stop()
    assert not any(map(_is_folder, names_in(tmp_path)))


def _is_folder(name: str) -> bool:
    return name.startswith("grid-worker-logs-")


def _is_log(name: str) -> bool:
    return name.startswith("fragile-") and name.endswith(".log")
