"""A broadcast asks all members at once and tells what each answered."""

import asyncio

import pytest

import grid
from grid.errors import IncompleteBroadcast, InvalidName, RequestFailed, UnregisteredMailbox
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg


@pytest.fixture
async def members(grid_server: grid.Server, grid_client: grid.Client) -> grid.Group:
    """Three echoes."""

    @grid_server.actor("echo", mailbox=4)
    async def echo(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(EchoMsg(msg=ctx.name))

    for name in "abc":
        await grid_client.start_actor("echo", name=name)
    return grid.Group("a", "b", "c")


async def test_every_member_answers(grid_client: grid.Client, members: grid.Group) -> None:
    result = await grid_client.broadcast(members, EchoMsg())
    assert result.successes == {name: EchoMsg(msg=name) for name in "abc"}
    assert not result.errors
    assert repr(result) == "<BroadcastResult 3 of 3 succeeded>"


async def test_a_missing_member_is_told_and_can_be_made_up_for(
    grid_client: grid.Client, members: grid.Group
) -> None:
    group = grid.Group(*members.members, "d")
    with pytest.raises(IncompleteBroadcast, match="1 of 4 failed: d") as caught:
        await grid_client.broadcast(group, EchoMsg())
    result = caught.value.result
    assert isinstance(result.errors["d"], UnregisteredMailbox)
    rest = group.except_successes(result)
    assert rest == grid.Group("d")
    await grid_client.start_actor("echo", name="d")
    result.add(await grid_client.broadcast(rest, EchoMsg()))
    assert set(result.successes) == set("abcd")


async def test_the_fastest_answer_is_enough(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    group = grid.Group("silent", "prompt", "missing").fastest()
    async with (
        grid_server.open_mailbox("silent") as silent,
        grid_server.open_mailbox("prompt") as prompt,
    ):
        asking = asyncio.create_task(grid_client.broadcast(group, EchoMsg(), timeout=30))
        unanswered, answered = await silent.receive(), await prompt.receive()
        assert unanswered is not None
        assert answered is not None
        answered.respond(EchoMsg(msg="me"))
        result = await asyncio.wait_for(asking, 5)
        assert unanswered.done
    assert result.successes == {"prompt": EchoMsg(msg="me")}
    assert not group.except_successes(result).first_only
    assert group.except_successes(result).members == ("silent", "missing")


async def test_a_fastest_broadcast_without_any_success_fails(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("no", mailbox=4)
    async def no(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.fail("no")

    await grid_client.start_actor("no")
    with pytest.raises(IncompleteBroadcast) as caught:
        await grid_client.broadcast(grid.Group("no", "missing").fastest(), EchoMsg())
    errors = caught.value.result.errors
    assert isinstance(errors["no"], RequestFailed)
    assert isinstance(errors["missing"], UnregisteredMailbox)


async def test_a_bad_name_is_refused_before_anything_is_sent(
    grid_client: grid.Client, members: grid.Group
) -> None:
    with pytest.raises(InvalidName):
        await grid_client.broadcast(grid.Group("a", "b c"), EchoMsg())


async def test_an_empty_group_has_an_empty_result(grid_client: grid.Client) -> None:
    assert len(await grid_client.broadcast(grid.Group(), EchoMsg())) == 0
    assert len(await grid_client.broadcast(grid.Group().fastest(), EchoMsg())) == 0


async def test_a_name_given_twice_is_asked_once() -> None:
    assert grid.Group("a", "b", "a").members == ("a", "b")


async def test_a_cancelled_broadcast_leaves_nothing(
    grid_server: grid.Server, grid_client: grid.Client, members: grid.Group
) -> None:
    await grid_client.broadcast(members, EchoMsg())
    before = asyncio.all_tasks()
    async with grid_server.open_mailbox("silent") as silent:
        asking = asyncio.create_task(grid_client.broadcast(grid.Group("silent"), EchoMsg()))
        request = await silent.receive()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert request is not None
        assert request.done
    await wait_until(lambda: asyncio.all_tasks() <= before, "no task of the broadcast is left")
