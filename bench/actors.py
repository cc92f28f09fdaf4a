"""Actors: the price of the handler style, of activation on demand, and of a dataclass; and their
lives: many at once, in memory, restarted and reminded.

The yardsticks are what the same program does without: a loop over the mailbox, a start by hand
before the request, and a protobuf message. All of it is one process, so that CPU time is that of
both sides of a request.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import grid
from bench import lives
from bench.model import Progress, Row, Size, median, percentile
from bench.running import closed_loop
from grid import EchoMsg
from grid.embedded import Etcd

__all__ = ["measure"]

_CALLERS = 128
_FIRST_REQUESTS = 200

Ask = Callable[[], Awaitable[object]]


@dataclass
class _Note:
    """The message of the benchmark as a dataclass."""

    msg: str


class _Handlers:
    """Answers with what it gets, by handlers."""

    @grid.handler
    async def echo(self, message: EchoMsg) -> EchoMsg:
        return message

    @grid.handler
    async def note(self, note: _Note) -> _Note:
        return note


async def _loop(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    async with Etcd() as etcd:
        server = grid.Server("actors", etcd=etcd.endpoint, lease=60.0)
        server.actor("handlers", mailbox=1024)(_Handlers)
        server.actor("loop", mailbox=1024)(_loop)
        server.actor("active", mailbox=16, activate=True)(lives.Active)
        server.actor("restless", restart=lives.RESTLESS)(lives.Restless)
        async with server, grid.Client("actors", etcd=etcd.endpoint) as client:
            for name in ("handlers", "loop"):
                await client.start_actor(name)
            return [
                *await _styles(client, size, progress),
                *await _activation(client, size, progress),
                *await lives.measure(client, size, progress),
            ]


async def _styles(client: grid.Client, size: Size, progress: Progress) -> list[Row]:
    message, note = EchoMsg(msg="m" * 98), _Note("m" * 98)
    sides: dict[str, Ask] = {
        "loop": partial(client.request, "loop", message, reply=EchoMsg),
        "handlers": partial(client.request, "handlers", message, reply=EchoMsg),
        "dataclass": partial(client.request, "handlers", note, reply=_Note),
    }
    costs: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(size.rounds):
        progress(f"actors: styles, round {number + 1} of {size.rounds}")
        for side, ask in sides.items():
            began = time.process_time()
            load = await closed_loop(ask, _CALLERS, size.seconds / 2)
            costs[side].append((time.process_time() - began) / load.calls * 1e6)
    return [
        _style(costs, "handlers", "loop", "a loop over the mailbox", most_ratio=1.15),
        _style(costs, "dataclass", "handlers", "a protobuf message"),
    ]


def _style(
    costs: dict[str, list[float]],
    side: str,
    yardstick: str,
    against: str,
    most_ratio: float | None = None,
) -> Row:
    ours, theirs = costs[side], costs[yardstick]
    return Row(
        subject="actors",
        case=f"{_CALLERS} callers, {side}",
        figure="CPU of one request, both sides",
        unit="us",
        ours=median(ours),
        yardstick=median(theirs),
        against=against,
        most_ratio=most_ratio,
        ratios=tuple(one / other for one, other in zip(ours, theirs, strict=True)),
    )


async def _activation(client: grid.Client, size: Size, progress: Progress) -> list[Row]:
    numbers = itertools.count()
    message = EchoMsg()

    async def activated() -> None:
        await client.request(f"active-{next(numbers)}", message, reply=EchoMsg)

    async def started() -> None:
        name = f"started-{next(numbers)}"
        await client.start_actor("active", name=name)
        await client.request(name, message, reply=EchoMsg)

    took: dict[str, list[float]] = {"activated": [], "started": []}
    count = max(20, _FIRST_REQUESTS * size.rounds // 9)
    progress(f"actors: {count} first requests")
    for _ in range(count):
        for side, ask in (("activated", activated), ("started", started)):
            began = time.perf_counter()
            await ask()
            took[side].append((time.perf_counter() - began) * 1e3)
    return [
        Row(
            subject="actors",
            case="1 caller",
            figure=f"first request to a name, p{share}",
            unit="ms",
            ours=percentile(took["activated"], share),
            yardstick=percentile(took["started"], share),
            against="a start by hand, and the request",
        )
        for share in (50, 99)
    ]
