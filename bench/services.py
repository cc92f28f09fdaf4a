"""Services on the grid, Redis and NATS: calls, calls to all, and messages to many subscribers.

In each round all sides are started afresh and measured in turns, in slices, so that a slow
minute of the machine falls to all of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc.aio

from bench.brokers import broker
from bench.drivers import MESSAGE, bare_echo
from bench.model import Progress, Row, Size, callers_case, median
from bench.processes import Child
from bench.running import Load, closed_loop
from bench.service_roles import EchoClient, EchoServer
from grid import Client, EchoMsg, Server
from grid.embedded import Etcd
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus

__all__ = ["measure"]

_CALLERS = (1, 16, 128)
_SLICES = 5
_TINY = 0.1  # seconds of a run that only shows that it runs
_MOST_OF_REQUEST = 1.2
_LEAST_OF_UNARY = 5.0
_LEAST_PUBLISHED = 100_000.0
_ROUND_TRIPS = 2.0
_SLOW = 0.05  # seconds that each handler of the call to all takes

Call = Callable[[], Awaitable[object]]
Found = dict[tuple[str, int], list[Load]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The processes of a round.

    Attributes:
        servers: servers of a call to one, each in a process.
        all: servers of a call to all, by process.
        peers: processes of subscribers.
        subscribers: all of them.
        published: messages, each to all subscribers.
        brokers: brokers to measure.
    """

    servers: int = 3
    all: tuple[int, ...] = (4, 3, 3)
    peers: int = 4
    subscribers: int = 1000
    published: int = 200
    brokers: tuple[str, ...] = ("redis", "nats")


_SMALL = _Layout(1, (2,), 1, 50, 20, ())


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    layout = _Layout() if size.seconds > _TINY else _SMALL
    found: Found = {}
    multi: list[tuple[float, float]] = []
    published: list[float] = []
    async with Etcd() as etcd:
        for number in range(size.rounds):
            progress(f"services: round {number + 1} of {size.rounds}")
            await _calls(etcd.endpoint, f"calls{number}", size, layout, found)
            multi.append(await _call_all(etcd.endpoint, f"all{number}", size, layout))
            published.append(await _publish(etcd.endpoint, f"news{number}", layout))
    return [
        *_call_rows(found, layout),
        _multi_row(multi, layout),
        _published_row(published, layout),
    ]


# -- calls to one server ----------------------------------------------------------------------


async def _calls(etcd: str, namespace: str, size: Size, layout: _Layout, found: Found) -> None:
    async with AsyncExitStack() as stack:
        sides: dict[str, Call] = {}
        bare = await stack.enter_async_context(Child("bare_echo"))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(bare.told["address"]))
        sides["bare"] = partial(bare_echo(channel), MESSAGE)
        names = [f"echo-{number}" for number in range(layout.servers)]
        for name in names:
            await stack.enter_async_context(
                Child("service_roles.on_grid", namespace=namespace, etcd=etcd, echo=name)
            )
        client = await stack.enter_async_context(Client(namespace, etcd=etcd))
        turns = itertools.cycle(names)
        sides["request"] = lambda: client.request(next(turns), MESSAGE, reply=EchoMsg)
        service = await stack.enter_async_context(EchoClient(client, timeout=60.0))
        sides["grid"] = partial(service.echo, MESSAGE)
        for kind in layout.brokers:
            sides.update(await stack.enter_async_context(_on_broker(kind, layout.servers)))
        for slice_ in range(_SLICES + 1):
            for callers in _CALLERS:
                for side, call in sides.items():
                    load = await closed_loop(call, callers, size.seconds / _SLICES)
                    if slice_:  # the first warms up
                        found.setdefault((side, callers), []).append(load)


@asynccontextmanager
async def _on_broker(kind: str, servers: int) -> AsyncIterator[dict[str, Call]]:
    """The calls over a broker; none where it is not installed."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(broker(kind))
        if port is None:
            yield {}
            return
        url = f"{kind}://127.0.0.1:{port}"
        for _ in range(servers):
            await stack.enter_async_context(Child("service_roles.on_broker", kind=kind, url=url))
        bus = RedisBus(url) if kind == "redis" else NatsBus(url)
        stack.push_async_callback(bus.close)
        client = await stack.enter_async_context(EchoClient(bus, timeout=60.0))
        sides: dict[str, Call] = {kind: partial(client.echo, MESSAGE)}
        if kind == "nats":
            import nats

            await stack.enter_async_context(Child("service_roles.bare_nats", url=url))
            connection = await nats.connect(url)
            stack.push_async_callback(connection.close)
            data = MESSAGE.SerializeToString()

            async def ask() -> EchoMsg:
                answer = await connection.request("bench.echo", data, timeout=60)
                return EchoMsg.FromString(answer.data)

            sides["bare nats"] = ask
        yield sides


def _call_rows(found: Found, layout: _Layout) -> list[Row]:
    rows = []
    for callers in _CALLERS:
        case = f"{layout.servers} servers, {callers_case(callers)}"
        rows.append(_time_row("grid", "request", "client.request", case, callers, found))
        rows.append(_rate_row("grid", "bare", "bare grpc.aio unary", case, callers, found))
        for kind in layout.brokers:
            if (kind, callers) in found:
                rows.append(_time_row(kind, "bare nats", "bare NATS request", case, callers, found))
                rows.append(_rate_row(kind, "bare", "bare grpc.aio unary", case, callers, found))
                rows.append(_rate_row("grid", kind, f"QUEUE on {kind}", case, callers, found))
    return rows


def _time_row(side: str, other: str, against: str, case: str, callers: int, found: Found) -> Row:
    ours = found[side, callers]
    others = found.get((other, callers), [])
    required = _MOST_OF_REQUEST if (side, other, callers) == ("grid", "request", 1) else None
    return Row(
        subject="services",
        case=f"{side}, {case}",
        figure="QUEUE call, p50",
        unit="us",
        ours=median([one.p50 * 1e6 for one in ours]),
        yardstick=median([one.p50 * 1e6 for one in others]) if others else None,
        against=against if others else "",
        most_ratio=required,
        ratios=tuple(one.p50 / two.p50 for one, two in zip(ours, others, strict=bool(others))),
    )


def _rate_row(side: str, other: str, against: str, case: str, callers: int, found: Found) -> Row:
    ours, others = found[side, callers], found[other, callers]
    required = _LEAST_OF_UNARY if (side, other, callers) == ("grid", "bare", 128) else None
    return Row(
        subject="services",
        case=f"{side}, {case}",
        figure="QUEUE calls per second",
        unit="/s",
        ours=median([one.rate for one in ours]),
        yardstick=median([one.rate for one in others]),
        against=against,
        least_ratio=required,
        ratios=tuple(one.rate / two.rate for one, two in zip(ours, others, strict=True)),
    )


# -- calls to all, and messages -----------------------------------------------------------------


async def _call_all(etcd: str, namespace: str, size: Size, layout: _Layout) -> tuple[float, float]:
    """The median seconds of a call to all of ten servers, and of a call to one of them."""
    async with AsyncExitStack() as stack:
        for servers in layout.all:
            await stack.enter_async_context(
                Child(
                    "service_roles.on_grid",
                    namespace=namespace,
                    etcd=etcd,
                    servers=servers,
                    slow=_SLOW,
                )
            )
        grid_client = await stack.enter_async_context(Client(namespace, etcd=etcd))
        client = await stack.enter_async_context(EchoClient(grid_client, timeout=30.0))

        async def everyone() -> None:
            outcomes = await client.all(MESSAGE)
            assert len(outcomes) == sum(layout.all)
            for outcome in outcomes:
                outcome.result()

        for call in (everyone, partial(client.echo, MESSAGE)):
            await closed_loop(call, 1, size.seconds / _SLICES)
        several = await closed_loop(everyone, 1, size.seconds / 2)
        one = await closed_loop(partial(client.echo, MESSAGE), 1, size.seconds / 2)
        return several.p50, one.p50


def _multi_row(found: list[tuple[float, float]], layout: _Layout) -> Row:
    return Row(
        subject="services",
        case=f"grid, {sum(layout.all)} servers that take {_SLOW * 1e3:g} ms, 1 caller",
        figure="MULTI call, p50",
        unit="ms",
        ours=median([one * 1e3 for one, _ in found]),
        yardstick=median([other * 1e3 for _, other in found]),
        against="a QUEUE call to one",
        most_ratio=_ROUND_TRIPS,
        ratios=tuple(one / other for one, other in found),
    )


async def _publish(etcd: str, namespace: str, layout: _Layout) -> float:
    """Messages a second that arrive at all subscribers together."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(namespace, etcd=etcd))
        publisher = await stack.enter_async_context(EchoServer(None, server))
        children = [
            await stack.enter_async_context(
                Child(
                    "service_roles.subscribers",
                    namespace=namespace,
                    etcd=etcd,
                    count=layout.subscribers // layout.peers,
                )
            )
            for _ in range(layout.peers)
        ]
        loop = asyncio.get_running_loop()
        rates = []
        for _ in range(2):  # the first warms up
            arrived = [asyncio.create_task(one.ask(str(layout.published))) for one in children]
            began = loop.time()
            for _ in range(layout.published):
                await publisher.publish_news(MESSAGE)
            await asyncio.gather(*arrived)
            rates.append(layout.published * layout.subscribers / (loop.time() - began))
        return rates[-1]


def _published_row(found: list[float], layout: _Layout) -> Row:
    return Row(
        subject="services",
        case=f"grid, {layout.subscribers:,} subscribers on {layout.peers} peers",
        figure="messages that arrive per second",
        unit="/s",
        ours=median(found),
        least=_LEAST_PUBLISHED,
        samples=tuple(found),
    )
