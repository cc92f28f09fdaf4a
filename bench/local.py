"""Inside one process: what an idle actor weighs, and requests that stay at home.

The yardsticks are the least that asyncio itself takes: a task that waits on an
`asyncio.Queue`, and a queue with a future for the answer.
"""

from __future__ import annotations

from typing import Any

from bench.model import Progress, Row, Size, median
from bench.processes import Child
from grid.embedded import Etcd

__all__ = ["measure"]

_CALLERS = (1, 128)


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    async with Etcd() as etcd:
        progress("local: memory")
        rows = [await _memory(etcd.endpoint, size)]
        rows += await _requests(etcd.endpoint, size, progress)
    return rows


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
    )


async def _requests(etcd: str, size: Size, progress: Progress) -> list[Row]:
    rates: dict[tuple[str, int], list[float]] = {}
    given: dict[str, Any] = {"namespace": "local", "etcd": etcd, "seconds": size.seconds / 2}
    async with Child("local_requests", **given) as child:
        for number in range(size.rounds):
            progress(f"local: requests, round {number + 1} of {size.rounds}")
            for callers in _CALLERS:
                for side in ("ours", "bare"):
                    told = await child.ask(f"{side} {callers}")
                    rates.setdefault((side, callers), []).append(told["rate"])
    return [
        Row(
            subject="local",
            case="1 caller" if callers == 1 else f"{callers} callers",
            figure="requests to a mailbox of the same process",
            unit="/s",
            ours=median(rates["ours", callers]),
            yardstick=median(rates["bare", callers]),
            against="an asyncio.Queue and a future",
        )
        for callers in _CALLERS
    ]
