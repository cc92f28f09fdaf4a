"""Actors that ended are started again by their policy, under the name that they kept."""

import asyncio
import gc
import logging

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.errors import (
    InvalidArgument,
    LeaseLost,
    RequestDropped,
    RequestFailed,
    UnregisteredMailbox,
)
from grid.server.restarts import Restarts
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

SOON = grid.Restart(pause=0.01)


class Fragile:
    """Counts in memory, and ends by an error when it is told to."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.count = 0

    async def act(self, ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            match request.message:
                case Int64Value(value=by):
                    self.count += by
                    request.respond(Int64Value(value=self.count))
                case EchoMsg(msg="return"):
                    request.ack()
                    return
                case _:
                    raise ValueError("it broke")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Fragile.made = 0


async def ask(client: grid.Client, by: int = 1) -> int:
    return (await client.request("f", Int64Value(value=by), reply=Int64Value)).value


async def test_a_failed_actor_is_made_again_under_its_name_and_epoch(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    grid_server.actor("f", mailbox=8, restart=SOON)(Fragile)
    await grid_client.start_actor("f")
    (before,) = await grid_client.query("actor")
    assert await ask(grid_client, 3) == 3
    with pytest.raises(RequestDropped):
        await grid_client.request("f", EchoMsg())
    assert await ask(grid_client) == 1  # it waited for the next run
    assert await grid_client.query("actor") == [before]
    assert Fragile.made == 2
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "restart 1 follows" in record.getMessage()
    assert record.exc_info is not None


async def test_a_return_is_an_end_unless_always_is_asked_for(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.actor("once", mailbox=8, restart="on-failure")(Fragile)
    grid_server.actor("for-ever", mailbox=8, restart=grid.Restart("always", pause=0.0))(Fragile)
    await grid_client.start_actor("for-ever", name="f")
    await grid_client.request("f", EchoMsg(msg="return"))
    assert await ask(grid_client) == 1
    await grid_client.stop_actor("f")
    assert await grid_client.query("actor") == []
    await grid_client.start_actor("once", name="f")
    await grid_client.request("f", EchoMsg(msg="return"))

    async def gone() -> bool:
        return not await grid_client.query("actor")

    await wait_until(gone, "the actor has ended")


async def test_an_actor_that_fails_too_often_ends_and_frees_its_names(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    runs = []

    async def broken(ctx: grid.ActorContext) -> None:
        runs.append(ctx.epoch)
        raise OSError("no disk")

    policy = grid.Restart(limit=3, pause=0.01)
    grid_server.define("broken", lambda _: broken, mailbox=8, restart=policy)
    await grid_client.start_actor("broken")

    async def gone() -> bool:
        return "broken" not in {one.name for one in await grid_client.query("mailbox")}

    await wait_until(gone, "the actor was given up")
    assert len(runs) == 4
    assert len(set(runs)) == 1
    with pytest.raises(UnregisteredMailbox):
        await grid_client.request("broken", EchoMsg(), timeout=1.0)


async def test_a_stop_while_it_waits_for_its_restart_ends_it(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.actor("f", mailbox=8, restart=grid.Restart(pause=600.0, longest_pause=600.0))(
        Fragile
    )
    await grid_client.start_actor("f")
    with pytest.raises(RequestDropped):
        await grid_client.request("f", EchoMsg())
    await grid_client.stop_actor("f", grace=30, timeout=5)
    assert await grid_client.query("actor") == []


async def test_requests_fail_meanwhile_if_that_is_chosen(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    policy = grid.Restart(pause=600.0, longest_pause=600.0, requests="fail")
    grid_server.actor("f", mailbox=8, restart=policy)(Fragile)
    await grid_client.start_actor("f")
    with pytest.raises(RequestDropped):
        await grid_client.request("f", EchoMsg())
    with pytest.raises(RequestFailed, match="is being restarted") as failed:
        await ask(grid_client)
    assert failed.value.code == "UNAVAILABLE"
    await grid_client.stop_actor("f")


@pytest.mark.parametrize("ends_by", ["a lost name", "a cancellation"])
async def test_what_refuses_requests_meanwhile_ends_with_the_actor(
    grid_server: grid.Server, grid_client: grid.Client, ends_by: str
) -> None:
    policy = grid.Restart(pause=600.0, longest_pause=600.0, requests="fail")
    grid_server.actor("f", mailbox=8, restart=policy)(Fragile)
    await grid_client.start_actor("f")
    with pytest.raises(RequestDropped):
        await grid_client.request("f", EchoMsg())
    with pytest.raises(RequestFailed, match="is being restarted"):
        await ask(grid_client)
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    assert grid_server._lifecycle is not None
    [actor] = grid_server._lifecycle.runner._actors.values()
    if ends_by == "a lost name":
        for mailbox in actor.mailboxes:
            mailbox._lose(LeaseLost())
        actor.lose(LeaseLost())
    else:
        actor.acting.cancel()
    await asyncio.wait([actor.acting])
    assert not [one for one in asyncio.all_tasks() if "ActorRuns._refuse" in repr(one)]
    await asyncio.wait([actor.life])
    gc.collect()  # by which asyncio tells of errors that nothing took
    assert not told


async def test_other_mailboxes_close_between_two_runs(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    epochs: list[int] = []

    async def opens(ctx: grid.ActorContext) -> None:
        mailbox = await ctx.open_mailbox("other")
        epochs.append(mailbox.epoch)
        if len(epochs) == 1:
            raise ValueError("the first run breaks")
        await ctx.stopping.wait()

    grid_server.define("opens", lambda _: opens, restart=SOON)
    await grid_client.start_actor("opens")
    await wait_until(lambda: len(epochs) == 2, "the second run")
    assert epochs[1] > epochs[0]
    await grid_client.stop_actor("opens")


async def test_a_factory_that_fails_later_counts_as_a_failure(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    made = asyncio.Event()
    tries: list[int] = []

    async def runs(ctx: grid.ActorContext) -> None:
        if len(tries) == 1:
            raise ValueError("the first run breaks")
        made.set()
        await ctx.stopping.wait()

    def factory(_: bytes) -> object:
        tries.append(1)
        if len(tries) in (2, 3):
            raise OSError("not now")
        return runs

    grid_server.define("late", factory, restart=SOON)
    await grid_client.start_actor("late")
    await asyncio.wait_for(made.wait(), 5)
    assert len(tries) == 4


# -- the policy ----------------------------------------------------------------------


def test_pauses_double_up_to_the_longest_and_begin_again() -> None:
    count = Restarts(grid.Restart(limit=4, within=60, pause=1, longest_pause=3, jitter=0))
    assert [count.pause(failed=True, at=at) for at in (0, 1, 2, 3)] == [1, 2, 3, 3]
    assert count.pause(failed=True, at=4) is None
    assert count.pause(failed=True, at=60) == 3  # the first is forgotten
    assert count.pause(failed=True, at=200) == 1
    assert count.count == 6


def test_jitter_shortens_a_pause() -> None:
    count = Restarts(grid.Restart(pause=1, jitter=0.5), random=lambda: 1.0)
    assert count.pause(failed=True, at=0) == 0.5


def test_never_and_on_failure() -> None:
    never = Restarts(grid.Restart("never"))
    on_failure = Restarts(grid.Restart("on-failure"))
    assert never.pause(failed=True, at=0) is None
    assert on_failure.pause(failed=False, at=0) is None
    assert on_failure.pause(failed=True, at=0) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": "sometimes"},
        {"limit": 0},
        {"limit": True},
        {"within": -1},
        {"pause": "soon"},
        {"longest_pause": float("inf")},
        {"jitter": 2},
        {"requests": "drop"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_policies_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        grid.Restart(**wrong)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused() -> None:
    server = grid.Server()
    for wrong in ("often", 3, True):
        with pytest.raises(InvalidArgument, match="restart must be"):
            server.actor("a", restart=wrong)  # type: ignore[arg-type]


async def test_an_actor_that_ends_as_its_peer_drains_is_not_restarted(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "grid.actor")
    grid_server.actor("f", mailbox=8, restart=grid.Restart("always", pause=0))(Fragile)
    await grid_client.start_actor("f")
    assert await ask(grid_client) == 1
    await grid_server.stop()
    assert "restart" not in caplog.text
    assert Fragile.made == 1
