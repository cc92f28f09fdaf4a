"""The log of the supervisor: changed settings, peers that leave, agents that do not start."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

import grid
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.conversions import to_settings
from node.names import SUPERVISOR, VERSION
from node.pool_pb2 import AgentHello, PoolsQuery, PoolsStatus, ToAgent
from node.settings import PoolSettings
from tests.node.kit import LONG, offer, until_ready

Servers = Callable[..., grid.Server]


async def test_settings_that_a_peer_changes_and_a_peer_that_leaves_are_a_line_each(
    grid_servers: Servers, grid_client: GridClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="node.supervisor")
    first, second = grid_servers(name="host-1"), grid_servers(name="host-2")
    offer(first, "square", min=2, max=4, isolation="task")
    await first.start()
    await until_ready(grid_client, "square", 2)
    offer(second, "square", min=1, max=1, isolation="task")
    await second.start()

    def lines(text: str) -> list[str]:
        return [one.getMessage() for one in caplog.records if text in one.getMessage()]

    await wait_until(lambda: lines("settings"), "the line of the settings", timeout=LONG)
    assert lines("settings") == [
        "the settings of the pool of 'square' are now those of peer host-2: min 2→1, max 4→1"
    ]
    found = await until_ready(grid_client, "square", 1)
    there = {
        agent.peer: sorted(one.name for one in agent.workers)
        for agent in found.agents
        if agent.workers
    }
    await second.stop()
    await wait_until(lambda: lines("has left"), "the line of the peer", timeout=LONG)
    (line,) = lines("has left")
    assert line.startswith("peer host-2 has left the pool of 'square'; its workers: ")
    assert not there.get("host-2") or "none" in line  # it drained
    assert len(lines("settings")) == 1


async def test_no_agent_is_started_on_a_peer_that_was_gone_when_its_agent_came(
    grid_servers: Servers, grid_client: GridClient, caplog: pytest.LogCaptureFixture
) -> None:
    server = grid_servers()
    offer(server, "square", min=1, max=1, isolation="task")
    await server.start()
    await until_ready(grid_client, "square", 1)
    settings = to_settings(PoolSettings())
    hello = AgentHello(version=VERSION, kind="ghost", peer="nowhere", settings=settings)
    async with grid_client.stream(SUPERVISOR, hello) as stream:
        assert isinstance(await anext(aiter(stream)), ToAgent)

    async def is_forgotten() -> bool:
        told = await grid_client.request(SUPERVISOR, PoolsQuery(), reply=PoolsStatus)
        return [one.kind for one in told.pools] == ["square"]

    await wait_until(is_forgotten, "the end of the pool", timeout=LONG)
    assert "did not start" not in caplog.text


async def test_an_agent_that_does_not_start_is_warned_of_once(
    grid_servers: Servers, grid_client: GridClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="node.supervisor")
    server, full = grid_servers(), grid_servers(slots=1, allow_leadership=False)

    @full.actor("other")
    async def other(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    for one in (server, full):
        offer(one, "square", min=1, max=1, isolation="task")
    await full.start()
    await grid_client.start_actor("other", peer=full.name)  # the only slot is taken
    await server.start()

    def tries() -> list[str]:
        text = f"the agent of 'square' on {full.name!r} did not start"
        return [one.levelname for one in caplog.records if text in one.getMessage()]

    await wait_until(lambda: len(tries()) > 1, "a second try", timeout=LONG)
    assert tries()[:2] == ["WARNING", "DEBUG"]
