"""The commands of pools, as users type them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import typer

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.cli.orders import Verb
from node.cli.orders import pool as pool_command
from node.supervisor.pool import Pool
from rpc.cli.options import Format
from tests.grid.cli.cli_kit import data
from tests.grid.cli.cli_kit import grid as run
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


async def command(etcd: Any, namespace: str, words: str) -> Any:
    """The end of a `grid` command, run beside this process's peers."""
    environment = {"GRID_ETCD": etcd.endpoint, "GRID_NAMESPACE": namespace}
    return await asyncio.to_thread(lambda: run(*words.split(), env=environment))


async def test_processes_of_workers_are_peers_that_are_listed_when_asked_for(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "square", min=1, max=1)
    await server.start()
    await until_ready(grid_client, "square", 1)
    short = await command(grid_etcd, grid_namespace, "peers -o json")
    assert [one["name"] for one in data(short)] == [server.name]
    assert "1 processes of pool workers are left out" in short.stderr
    full = data(await command(grid_etcd, grid_namespace, "peers --all -o json"))
    of_worker = [f"agent={server.name}", "kind=square", "pool-worker"]
    assert sorted(one["annotations"] for one in full) == [[], of_worker]


async def order(etcd: Any, namespace: str, verb: Verb, target: str | None, **more: Any) -> int:
    """`grid pool VERB TARGET -o json`, without a process of its own: its exit code."""
    where = {"etcd": etcd.endpoint, "namespace": namespace, "output": Format.JSON}
    return await asyncio.to_thread(
        lambda: pool_command(verb, target or "", timeout=LONG, **where, **more)
    )


async def test_a_pool_is_scaled_by_order_and_given_back_to_its_settings(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task", min=1, max=2)
    await server.start()
    await until_ready(grid_client, "square", 1)

    async def scale(kind: str, size: str) -> int:
        return await order(grid_etcd, grid_namespace, Verb.SCALE, kind, size=size)

    assert await scale("square", "3") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["size"], row["fixed"]) == ("square", 3, True)
    await until_ready(grid_client, "square", 3)
    assert await scale("square", "auto") == 0
    assert json.loads(capsys.readouterr().out)[0]["fixed"] is False
    await until_ready(grid_client, "square", 1)
    assert await scale("circle", "3") == 3
    assert "no peer offers workers of kind 'circle'" in capsys.readouterr().err
    assert await scale("square", "100000") == 2  # a slip of the finger starts nothing
    assert re.search(r"room for \d+ workers at most, not 100000", capsys.readouterr().err)
    for wrong in ("-1", "many", "1.5", "", "1" * 30):
        with pytest.raises(typer.BadParameter, match="a number of workers, or auto"):
            await scale("square", wrong)


async def test_a_rolling_restart_loses_no_job(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = grid_servers(), grid_servers()
    for server in (first, second):
        offer(server, "whoami", min=2, max=2)
        await server.start()
    await until_ready(grid_client, "whoami", 2)
    assert await order(grid_etcd, grid_namespace, Verb.DRAIN, "nowhere") == 3
    assert "no peer 'nowhere' offers workers" in capsys.readouterr().err
    async with (
        node.Client(grid_client, "whoami", timeout=LONG) as pool,
        pool.map(itertools.repeat(0.01), ordered=False) as run,
    ):
        ends = [await anext(run)]
        reading = asyncio.create_task(_read(run, ends))
        assert await order(grid_etcd, grid_namespace, Verb.DRAIN, first.name) == 0
        (row,) = json.loads(capsys.readouterr().out)
        agents = {one["peer"]: one for one in row["agents"]}
        assert agents[first.name]["workers"] == 0
        assert agents[first.name]["drained"]
        await first.stop()
        another = grid_servers()
        offer(another, "whoami", min=2, max=2)
        await another.start()
        found = await until_ready(grid_client, "whoami", 2)
        seen = len(ends)
        await wait_until(lambda: len(ends) > seen + 20, "jobs to go on", timeout=LONG)
        reading.cancel()
        await asyncio.wait([reading])
        assert {one["attempt"] for one in ends} == {1}
        assert {one["worker"] for one in ends} & workers_of(found).keys()
    # Drained by mistake: workers come back.
    assert await order(grid_etcd, grid_namespace, Verb.DRAIN, another.name, undo=True) == 0
    assert not any(one.drained for one in (await status(grid_client, "whoami")).agents)


async def test_an_order_to_drain_outlives_the_leader_that_was_told(
    grid_servers: Servers,
    grid_client: GridClient,
    grid_etcd: Any,
    grid_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leading, working = grid_servers(), grid_servers()
    leading.actor("leader")(node.supervise)
    await leading.start()
    offer(working, "square", isolation="task", min=1, max=1)
    await working.start()
    await until_ready(grid_client, "square", 1)
    told: list[str] = []
    drain = Pool.drain

    def forgotten(pool: Pool, peer: str, drained: bool) -> bool:
        told.append(peer)  # and nothing of it reaches an agent
        return True

    monkeypatch.setattr(Pool, "drain", forgotten)
    ordered = asyncio.create_task(order(grid_etcd, grid_namespace, Verb.DRAIN, working.name))
    await wait_until(lambda: bool(told), "the order", timeout=LONG)
    monkeypatch.setattr(Pool, "drain", drain)
    await leading.stop()
    assert await ordered == 0
    (agent,) = (await status(grid_client, "square")).agents
    assert agent.drained
    assert not agent.pending
    assert not agent.workers


async def _read(run: node.MapRun, ends: list[Any]) -> None:
    async for end in run:
        ends.append(end)  # noqa: PERF401 - it grows while it is looked at


async def test_names_that_there_are_not_are_refused_with_those_that_may_be_meant(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers(name="host-1")
    offer(server, "steps", min=1, max=1, isolation="task")
    await server.start()
    (worker,) = workers_of(await until_ready(grid_client, "steps", 1))

    async def refused(words: str, code: int = 3) -> str:
        done = await command(grid_etcd, grid_namespace, words)
        assert (done.returncode, done.stdout) == (code, "")
        return str(done.stderr)

    for words in ("pools step -o json", "workers step --watch"):
        assert await refused(words) == "error: no pool 'step'; did you mean 'steps'?\n"
    scale = await refused("pool scale step 2")
    assert scale == "error: no peer offers workers of kind 'step'; did you mean 'steps'?\n"
    drain = await refused("pool drain host-2")
    assert drain == "error: no peer 'host-2' offers workers; did you mean 'host-1'?\n"
    for verb in ("kill", "logs"):
        assert f"no worker 'steps'; did you mean '{worker}'?\n" in await refused(
            f"worker {verb} steps"
        )
    wrong = await refused("worker klil x", 2)
    assert wrong.startswith("error: invalid value for 'verb': 'klil' is not one of 'kill', 'logs'")
    await server.stop()
    assert "there are no pools" in await refused("pools steps")


async def test_a_drain_that_takes_too_long_names_the_workers_and_their_clients(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task", min=1, max=1)
    await server.start()
    await until_ready(grid_client, "square", 1)
    async with node.Client(grid_client, "square", timeout=LONG) as pool, pool.worker() as worker:
        words = f"pool drain {server.name} --timeout 0.5"
        done = await command(grid_etcd, grid_namespace, words)
        assert done.returncode == 4
        text = f"1 worker still runs on {server.name!r} after 0.5 s; the drain goes on"
        assert text in done.stderr
        assert f"{worker.name} serves {pool.id}; to end it now: grid worker kill {worker.name}" in (
            done.stderr
        )


async def test_the_log_of_an_ended_worker_is_silent_or_gone_or_unknown(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "whoami", min=1, max=1)
    offer(server, "fragile", min=1, max=1, log_workers=0)
    await server.start()
    (silent,) = workers_of(await until_ready(grid_client, "whoami", 1))
    (loud,) = workers_of(await until_ready(grid_client, "fragile", 1))
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        await pool.run({})
    live = await command(grid_etcd, grid_namespace, f"worker logs {silent}")
    assert (live.returncode, live.stdout, live.stderr) == (0, "", "")
    assert "an order" in (await command(grid_etcd, grid_namespace, f"worker logs {loud}")).stdout
    for one, kind in ((silent, "whoami"), (loud, "fragile")):
        assert (await command(grid_etcd, grid_namespace, f"worker kill {one}")).returncode == 0

        async def is_gone(one: str = one, kind: str = kind) -> bool:
            return one not in workers_of(await status(grid_client, kind))

        await wait_until(is_gone, "the end of the worker", timeout=LONG)
    done = await command(grid_etcd, grid_namespace, f"worker logs {silent}")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"worker '{silent}' has ended, and printed nothing\n"
    done = await command(grid_etcd, grid_namespace, f"worker logs {loud}")
    assert (done.returncode, done.stderr) == (
        3,
        f"error: the log of worker '{loud}' is no longer kept\n",
    )
    done = await command(grid_etcd, grid_namespace, "worker logs whoami-00000000")
    assert (done.returncode, "no worker 'whoami-00000000'" in done.stderr) == (3, True)


def test_help_of_pools_and_workers_tells_of_each_verb_in_whole_lines() -> None:
    text = run("pool", "--help", env={"COLUMNS": "80"}).stdout
    lines = [" ".join(one.split()) for one in text.splitlines()]
    assert "that. `drain` returns when the peer has no workers any more: they finish their" in lines
    text = " ".join(run("worker", "logs", "--help", env={"COLUMNS": "80"}).stdout.split())
    assert "`logs` prints the last lines of its output" in text
    assert "`kill` ends its process" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("worker logs \udcff-x", "invalid name"),
        ("worker kill \udcff-x", "invalid name"),
        ("pool scale \udcff 3", "invalid name"),
        ("pool drain \udcff", "invalid name"),
        ("worker logs x --tail 4294967296", "'--tail'"),
    ],
)
async def test_what_no_message_can_have_is_a_usage_error(
    grid_etcd: Any, grid_namespace: str, words: str, text: str
) -> None:
    found = await command(grid_etcd, grid_namespace, words)
    assert (found.returncode, len(found.stderr.splitlines())) == (2, 1)
    assert text in found.stderr
