"""Peers report the states, restarts and errors of their actors."""

import asyncio
import time

import pytest

import grid
from grid.server.reports import FailedActors
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg


class Told:
    """Fails when it is told to."""

    async def act(self, ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.ack()
            match request.message:
                case EchoMsg(msg=text) if text:
                    raise OSError(text)


async def reports(client: grid.Client) -> dict[str, grid.ActorReport]:
    (peer,) = await client.query("peer")
    return {one.name: one for one in await client.actor_reports(peer.name)}


async def test_a_restarted_actor_has_a_report(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    policy = grid.Restart(pause=0.01, limit=2)
    grid_server.actor("told", mailbox=8, restart=policy)(Told)
    await grid_client.start_actor("told")
    await grid_client.start_actor("told", name="healthy")
    assert await reports(grid_client) == {}
    before = time.time()
    await grid_client.request("told", EchoMsg(msg="no disk"))

    async def runs_again() -> bool:
        return (await reports(grid_client))["told"].state is grid.ActorState.RUNNING

    await wait_until(runs_again, "the actor runs again")
    (report,) = (await reports(grid_client)).values()
    assert (report.type, report.peer, report.restarts) == ("told", grid_server.name, 1)
    assert report.error == "OSError: no disk"
    assert before - 0.01 <= report.error_at <= time.time()


async def test_an_actor_that_was_given_up_leaves_a_report_until_it_runs_again(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.actor("told", mailbox=8)(Told)
    await grid_client.start_actor("told")
    await grid_client.request("told", EchoMsg(msg="x" * 9000))

    async def gone() -> bool:
        return not await grid_client.query("actor")

    await wait_until(gone, "the actor has ended")
    (report,) = (await reports(grid_client)).values()
    assert (report.name, report.state, report.restarts) == ("told", grid.ActorState.FAILED, 0)
    assert len(report.error) < 600
    await grid_client.start_actor("told")
    assert await reports(grid_client) == {}


async def test_an_actor_between_two_runs_or_at_its_end_says_so(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    policy = grid.Restart(pause=600.0, longest_pause=600.0)
    grid_server.actor("told", mailbox=8, restart=policy)(Told)
    let_go = asyncio.Event()

    @grid_server.actor("slow")
    async def slow(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()
        await let_go.wait()

    await grid_client.start_actor("told")
    await grid_client.start_actor("slow")
    await grid_client.request("told", EchoMsg(msg="again"))
    stopping = asyncio.create_task(grid_client.stop_actor("slow", grace=60))

    async def both() -> bool:
        found = {name: one.state for name, one in (await reports(grid_client)).items()}
        return found == {
            "told": grid.ActorState.RESTARTING,
            "slow": grid.ActorState.STOPPING,
        }

    await wait_until(both, "the reports of both")
    let_go.set()
    await stopping


class Ended:
    """The runs of an actor that ended by an error."""

    restarts, restarting, error, error_at = 3, False, "ValueError: 7", 1.5


def test_a_peer_keeps_the_last_failures_only(grid_context: grid.ActorContext) -> None:
    failed = FailedActors(2)
    for name in ("a", "b", "a", "c"):
        grid_context.name = name
        failed.add(grid_context, Ended())
    assert [one.name for one in failed] == ["a", "c"]
    failed.forget("a")
    failed.forget("unknown")
    (left,) = failed
    assert (left.restarts, left.error, left.error_ms) == (3, "ValueError: 7", 1500)


@pytest.fixture
def grid_context() -> grid.ActorContext:
    """A context of no peer."""
    from typing import Any, cast

    return grid.ActorContext(
        name="a",
        id="n.actor.a",
        type="t",
        namespace="n",
        peer="p",
        epoch=1,
        data=b"",
        client=cast("Any", None),
        mailbox=None,
        open_mailbox=cast("Any", None),
    )
