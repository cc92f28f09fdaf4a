"""Inside one process: what an idle actor weighs, and requests that stay at home.

The yardsticks are the least that asyncio itself takes: a task that waits on an
`asyncio.Queue`; a queue with a future for the answer; and an empty coroutine
awaited through a future, that is, a task that has nothing to do.
"""

from __future__ import annotations

from typing import Any

from bench.model import Progress, Row, Size, callers_case, median
from bench.processes import Child
from grid.embedded import Etcd

__all__ = ["measure", "rows"]

_CALLERS = (1, 128)
_YARDSTICKS = {"queue": "an asyncio.Queue and a future", "empty": "an empty coroutine in a future"}
_LEAST = 100_000
_MOST_KIB = 8


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    async with Etcd() as etcd:
        return await rows(etcd.endpoint, size, progress)


async def rows(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark, on an etcd that runs."""
    progress("local: memory")
    return [await _memory(etcd, size), *await _requests(etcd, size, progress)]


async def _memory(etcd: str, size: Size) -> Row:
    ours, bare = [], []
    for number in range(min(3, size.rounds)):
        given: dict[str, Any] = {"namespace": f"idle{number}", "etcd": etcd, "actors": size.actors}
        async with Child("idle_actors", **given) as child:
            ours.append(child.told["kib"])
        async with Child("idle_tasks", **given) as child:
            bare.append(child.told["kib"])
    return Row(
        subject="local",
        case=f"{size.actors:,} idle actors",
        figure="memory of one, with its mailbox",
        unit="KiB",
        ours=median(ours),
        yardstick=median(bare),
        against="a task and an asyncio.Queue",
        most=_MOST_KIB,
    )


async def _requests(etcd: str, size: Size, progress: Progress) -> list[Row]:
    rates: dict[tuple[str, int], list[float]] = {}
    given: dict[str, Any] = {"namespace": "local", "etcd": etcd, "seconds": size.seconds / 2}
    async with Child("local_requests", **given) as child:
        for number in range(size.rounds):
            progress(f"local: requests, round {number + 1} of {size.rounds}")
            for callers in _CALLERS:
                for side in ("ours", *_YARDSTICKS):
                    told = await child.ask(f"{side} {callers}")
                    rates.setdefault((side, callers), []).append(told["rate"])
    return [_row(rates, callers, side) for side in _YARDSTICKS for callers in _CALLERS]


def _row(rates: dict[tuple[str, int], list[float]], callers: int, side: str) -> Row:
    """The floor is asked of many callers: it is a rate, not a latency."""
    ours, theirs = rates["ours", callers], rates[side, callers]
    return Row(
        subject="local",
        case=callers_case(callers),
        figure="requests to a mailbox of the same process",
        unit="/s",
        ours=median(ours),
        yardstick=median(theirs),
        against=_YARDSTICKS[side],
        least=_LEAST if side == "empty" and callers > 1 else None,
        ratios=tuple(one / other for one, other in zip(ours, theirs, strict=True)),
    )
