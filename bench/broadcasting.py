"""One message to a hundred mailboxes on four peers, against a hundred bare calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import grpc.aio

from bench.calls import load
from bench.drivers import MESSAGE, bare_echo
from bench.model import Progress, Row, Size, median
from bench.processes import Child, quietest
from bench.roles import echo_actor
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, notice, say, until_closed
from grid import Client, Group, Server

__all__ = ["bare", "measure", "ours", "peer"]

_PEERS, _MAILBOXES = 4, 100
_REQUIRED = 0.1
_CASE = f"{_MAILBOXES} mailboxes on {_PEERS} peers"


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part."""
    times: list[tuple[float, float]] = []
    given: dict[str, Any] = {"namespace": "broadcast", "etcd": etcd}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for number in range(_PEERS):
            await enter(Child("broadcasting.peer", **given, number=number))
        servers = [await enter(Child("bare_echo")) for _ in range(_PEERS)]
        ours = await enter(Child("broadcasting.ours", **given))
        addresses = [server.told["address"] for server in servers]
        bare = await enter(Child("broadcasting.bare", addresses=addresses))
        for driver in (ours, bare):
            await load(driver, 1, min(0.3, size.seconds))
        for number in range(size.rounds):
            progress(f"transport: broadcast, round {number + 1} of {size.rounds}")
            times.append(await quietest(partial(_pair, ours, bare, size.seconds, number % 2 == 1)))
        return [_time_row(times), *_frames_rows(ours.told["frames"])]


async def _pair(ours: Child, bare: Child, seconds: float, bare_first: bool) -> tuple[float, float]:
    order = [bare, ours] if bare_first else [ours, bare]
    times = [(await load(driver, 1, seconds)).p50 * 1000 for driver in order]
    return (times[1], times[0]) if bare_first else (times[0], times[1])


def _time_row(times: list[tuple[float, float]]) -> Row:
    ours, bare = zip(*times, strict=True)
    return Row(
        subject="transport",
        case=_CASE,
        figure="broadcast, to the last answer",
        unit="ms",
        ours=median(ours),
        yardstick=median(bare),
        against=f"{_MAILBOXES} bare grpc.aio calls at once",
        most_ratio=_REQUIRED,
        ratios=tuple(one / other for one, other in times),
    )


def _frames_rows(frames: float | None) -> list[Row]:
    if frames is None:
        notice(
            "client.statistics has no frames_sent by session yet; a broadcast's frames are left out"
        )
        return []
    return [
        Row(
            subject="transport",
            case=_CASE,
            figure="frames sent for one broadcast",
            unit="frames",
            ours=frames,
            most=_PEERS,
        )
    ]


async def peer(given: dict[str, Any], orders: Orders) -> None:
    """A role: one of the peers, with its part of the mailboxes."""
    server = Server(given["namespace"], etcd=given["etcd"])
    server.define("echo", lambda _: echo_actor, mailbox=64)
    async with server:
        await asyncio.gather(
            *(
                server.client.start_actor("echo", name=f"echo{number}", peer=server.name)
                for number in range(given["number"], _MAILBOXES, _PEERS)
            )
        )
        say(name=server.name)
        await until_closed(orders)


async def ours(given: dict[str, Any], orders: Orders) -> None:
    """A role: broadcasts; says first how many frames one takes."""
    group = Group(*(f"echo{number}" for number in range(_MAILBOXES)))
    async with Client(given["namespace"], etcd=given["etcd"]) as client:
        call = partial(client.broadcast, group, MESSAGE)
        await call()
        before = _frames_sent(client)
        await call()
        after = _frames_sent(client)
        frames = None if before is None or after is None else after - before
        await drive_on_order(partial(closed_loop, call), orders, frames=frames)


def _frames_sent(client: Any) -> int | None:
    """In all sessions together; None while the client does not count them."""
    if not hasattr(client, "statistics"):
        return None
    told = client.statistics()
    sessions = list(told.values() if isinstance(told, Mapping) else getattr(told, "sessions", ()))
    if not all(hasattr(session, "frames_sent") for session in sessions) or not sessions:
        return None
    return sum(int(session.frames_sent) for session in sessions)


async def bare(given: dict[str, Any], orders: Orders) -> None:
    """A role: as many bare calls at once, evenly over the servers."""
    async with AsyncExitStack() as stack:
        echoes = [
            bare_echo(await stack.enter_async_context(grpc.aio.insecure_channel(address)))
            for address in given["addresses"]
        ]
        calls = [echoes[number % _PEERS] for number in range(_MAILBOXES)]

        async def call() -> None:
            await asyncio.gather(*(echo(MESSAGE) for echo in calls))

        await drive_on_order(partial(closed_loop, call), orders)
