"""Look-ups in etcd that have no time left: etcd is not to blame, and is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

import grid
from grid.client.lookups import came_too_late, from_etcd
from grid.client.retry import Retry, resend
from grid.deadline import Deadline
from grid.errors import DeadlineExceeded, EtcdUnavailable, PeerNotServing
from grid.etcd import EtcdClient, EtcdConfig
from grid.wire_pb2 import EchoMsg


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.request("nobody", EchoMsg(), timeout=0),
        lambda client: client.request("nobody", EchoMsg(), timeout=-1),
        lambda client: client.tell("nobody", EchoMsg(), timeout=0),
        lambda client: client.stream("nobody", EchoMsg(), timeout=0),
        lambda client: client.send("nobody", EchoMsg(), timeout=0),
        lambda client: client.start_actor("Nothing", name="nobody", timeout=0),
        lambda client: client.move_actor("nobody", "nowhere", timeout=0),
        lambda client: client.rebalance(timeout=0),
    ],
    ids=["request", "before", "tell", "stream", "send", "start", "move", "rebalance"],
)
async def test_a_call_without_time_does_not_blame_etcd(
    grid_client: grid.Client, call: Callable[[grid.Client], Awaitable[object]]
) -> None:
    with pytest.raises(DeadlineExceeded):
        await call(grid_client)


async def test_a_look_up_after_the_deadline_does_not_begin() -> None:
    etcd = EtcdClient(EtcdConfig(endpoints=("127.0.0.1:1",)))
    begun: list[str] = []

    async def reading() -> None:
        begun.append("read")

    with pytest.raises(DeadlineExceeded, match="resolving 'a'") as caught:
        await from_etcd(etcd, Deadline.after(0), "resolving 'a'", reading())
    assert came_too_late(caught.value)
    assert not begun
    await etcd.close()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.01, DeadlineExceeded), (0.2, EtcdUnavailable)]
)
async def test_a_look_up_that_had_time_says_that_etcd_did_not_answer(
    seconds: float, expected: type[Exception]
) -> None:
    etcd = EtcdClient(EtcdConfig(endpoints=("127.0.0.1:1",)))

    async def refused() -> None:
        raise EtcdUnavailable("no answer in what was left")

    for reading in (asyncio.sleep(30), etcd.get("a", timeout=seconds), refused()):
        with pytest.raises(expected):
            await from_etcd(etcd, Deadline.after(seconds), "resolving 'a'", reading)
    await etcd.close()


async def test_an_attempt_whose_look_up_has_no_time_ends_as_the_one_before() -> None:
    etcd = EtcdClient(EtcdConfig(endpoints=("127.0.0.1:1",)))
    after = PeerNotServing("p", "draining")

    async def too_late(deadline: Deadline) -> None:
        await asyncio.sleep(deadline.remaining())
        await from_etcd(etcd, deadline, "resolving 'a'", asyncio.sleep(30))

    async def unanswered(deadline: Deadline) -> None:
        await asyncio.sleep(deadline.remaining())
        raise DeadlineExceeded("request to 'a'", deadline.timeout)

    for attempt, expected in ((too_late, PeerNotServing), (unanswered, DeadlineExceeded)):
        deadline = Deadline.after(0.2)
        with pytest.raises(expected):
            await resend(
                partial(attempt, deadline),
                Retry(),
                deadline,
                idempotent=False,
                wait=False,
                after=after,
            )
    await etcd.close()
