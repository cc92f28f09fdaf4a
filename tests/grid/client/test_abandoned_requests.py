"""Owners of requests are told that the caller has left; what they raise then is theirs alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.errors import DeadlineExceeded
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

AnyRequest = grid.Request[Any]


class Owner:
    """Serves a request, and does something when its caller has left."""

    def __init__(self, request: AnyRequest, do: Callable[[], object]) -> None:
        self.told = asyncio.Event()
        self._do = do
        self._request = request  # which would be dropped otherwise
        request.served_by(self)

    def abandoned(self) -> None:
        self.told.set()
        self._do()


def _answer(request: AnyRequest) -> None:
    if not request.done:
        request.ack()


def _raise_value_error() -> None:
    raise ValueError("no place for it")


def _raise_cancelled() -> None:
    raise asyncio.CancelledError


def _exit() -> None:
    raise SystemExit(3)


async def take(mailbox: grid.Mailbox, count: int) -> dict[str, AnyRequest]:
    """Requests by their text: single calls come in any order."""
    taken: dict[str, AnyRequest] = {}
    while len(taken) < count:
        request: AnyRequest = await anext(mailbox)
        taken[request.message.msg] = request
    return taken


@pytest.fixture(params=[_raise_value_error, _raise_cancelled, _exit])
def fail(request: pytest.FixtureRequest) -> Callable[[], object]:
    do: Callable[[], object] = request.param
    return do


async def test_an_owner_that_fails_costs_no_other_caller_its_answer(
    client: grid.Client,
    grid_server: grid.Server,
    fail: Callable[[], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        other = client.send("m", EchoMsg(msg="other"))
        leaving = client.send("m", EchoMsg(msg="leaving"))
        taken = await take(mailbox, 2)
        owner = Owner(taken["leaving"], fail)
        leaving.cancel()
        await asyncio.wait_for(owner.told.wait(), 10)
        taken["other"].respond(EchoMsg(msg="well"))
        assert await other == EchoMsg(msg="well")
        assert "the owner of a request that was abandoned failed" in caplog.text


async def test_a_caller_has_its_deadline_whatever_the_owner_does(
    client: grid.Client, grid_server: grid.Server, fail: Callable[[], object]
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        asking = client.send("m", EchoMsg(), timeout=1.5)
        owner = Owner(await anext(mailbox), fail)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(asking, 10)
        await asyncio.wait_for(owner.told.wait(), 10)


@pytest.mark.parametrize("client", ["session", "local"], indirect=True)
async def test_owners_hear_of_a_client_that_closes_though_one_of_them_fails(
    client: grid.Client, grid_server: grid.Server, fail: Callable[[], object]
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        asking = [client.send("m", EchoMsg()) for _ in range(3)]
        owners = [Owner(await anext(mailbox), fail) for _ in asking]
        await client.close()
        for owner in owners:
            await asyncio.wait_for(owner.told.wait(), 10)
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
        assert [type(one).__name__ for one in ends] == ["OutcomeUnknown"] * 3


async def test_an_owner_may_answer_another_request_that_is_overdue(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        # Of one client and one moment: their deadlines pass together.
        first = client.send("m", EchoMsg(msg="first"), timeout=1.5)
        second = client.send("m", EchoMsg(msg="second"), timeout=1.5)
        later = client.send("m", EchoMsg(msg="later"), timeout=1.7)
        taken = await take(mailbox, 3)
        owners = [
            Owner(taken["first"], lambda: _answer(taken["second"])),
            Owner(taken["second"], lambda: _answer(taken["first"])),
        ]
        await asyncio.wait([first, second], timeout=10)
        assert first.done()
        assert second.done()
        assert any(isinstance(one.exception(), DeadlineExceeded) for one in (first, second))
        await wait_until(lambda: any(owner.told.is_set() for owner in owners), "an owner to know")
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(later, 10)
