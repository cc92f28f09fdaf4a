"""Requests that arrive at a rate of their own, on an idle client loop and on a busy one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import grpc.aio

from bench.drivers import MESSAGE, bare_echo
from bench.model import Progress, Row, Size, median
from bench.processes import Child, quietest
from bench.talk import Orders, notice, say
from bench.ticking import Arrivals, arrive
from grid import Client, EchoMsg

__all__ = ["bare", "measure", "ours"]

_OURS = (1_000, 5_000, 20_000, 50_000, 100_000)
_BARE = {1_000: 1_000, 5_000: 4_000}
"""By the rate offered to us, the one offered to the yardstick; it cannot bear more."""
_BUSY = ", busy client loop"
_MAILBOX = 65_536
_BOUNDED_TO = 50_000
_P50, _P99 = 1.0, 5.0  # ms, at most
_Seen = dict[tuple[str, int, bool], list[Arrivals]]


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part."""
    seen: _Seen = {}
    given: dict[str, Any] = {"namespace": "open", "etcd": etcd}
    async with (
        Child("echo_peer", **given, mailbox=_MAILBOX),
        Child("bare_echo") as bare_server,
        Child("open_loop.ours", **given) as ours,
        Child("open_loop.bare", address=bare_server.told["address"]) as bare,
    ):
        for number in range(size.rounds):
            progress(f"transport: open loop, round {number + 1} of {size.rounds}")
            for rate, busy in itertools.product(_OURS, (False, True)):
                await _keep(seen, "ours", ours, rate, busy, size.seconds)
                if rate in _BARE:
                    await _keep(seen, "bare", bare, _BARE[rate], busy, size.seconds)
    return [row for rate in _OURS for busy in (False, True) for row in _rows(seen, rate, busy)]


async def _keep(
    seen: _Seen, side: str, driver: Child, rate: int, busy: bool, seconds: float
) -> None:
    order = f"{rate} {seconds} {int(busy)}"
    told = await quietest(partial(driver.ask, order))
    arrivals = Arrivals(**told)
    seen.setdefault((side, rate, busy), []).append(arrivals)
    if arrivals.failed:
        notice(f"{arrivals.failed} of the requests that arrived at {rate:,}/s failed ({side})")


def _rows(seen: _Seen, rate: int, busy: bool) -> list[Row]:
    ours = seen["ours", rate, busy]
    bare = seen["bare", _BARE[rate], busy] if rate in _BARE else []
    against = f"bare grpc.aio at {_BARE[rate]:,}/s" if bare else ""

    def row(figure: str, value: Callable[[Arrivals], float], most: float) -> Row:
        return Row(
            subject="transport",
            case=f"{rate:,}/s arrive" + (_BUSY if busy else ""),
            figure=figure,
            unit="ms",
            ours=median([value(one) * 1000 for one in ours]),
            yardstick=median([value(one) * 1000 for one in bare]) if bare else None,
            against=against,
            most=most if rate <= _BOUNDED_TO else None,
        )

    return [
        row("latency p50", lambda one: one.p50, _P50),
        row("latency p99", lambda one: one.p99, _P99),
    ]


async def ours(given: dict[str, Any], orders: Orders) -> None:
    """A role: requests to an actor on another peer."""
    async with Client(given["namespace"], etcd=given["etcd"]) as client:
        await client.request("echo", MESSAGE, reply=EchoMsg)
        await _obey(_sender(client), orders)


async def bare(given: dict[str, Any], orders: Orders) -> None:
    """A role: calls of a bare grpc.aio echo, each in a task."""
    async with grpc.aio.insecure_channel(given["address"]) as channel:
        echo = bare_echo(channel)
        await echo(MESSAGE)
        await _obey(lambda: asyncio.ensure_future(_answer(echo(MESSAGE))), orders)


def _sender(client: Client) -> Callable[[], asyncio.Future[object]]:
    """`client.send`, which needs no task; a task of `client.request` until it is there."""
    send = getattr(client, "send", None)
    if send is not None:
        return partial(send, "echo", MESSAGE, reply=EchoMsg)
    return lambda: asyncio.ensure_future(client.request("echo", MESSAGE, reply=EchoMsg))


async def _answer(call: Awaitable[object]) -> object:
    return await call


async def _obey(send: Callable[[], asyncio.Future[object]], orders: Orders) -> None:
    """Orders are `RATE SECONDS BUSY`."""
    say(ready=True)
    seeds = itertools.count()
    async for order in orders:
        rate, seconds, busy = order.split()
        arrivals = await arrive(
            send, float(rate), float(seconds), busy=busy == "1", seed=next(seeds)
        )
        if arrivals.failed:
            await send()  # what is left of them is worked off
        say(**asdict(arrivals))
