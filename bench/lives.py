"""Lives of actors: many activated at once, held in memory, restarted, and reminded on time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from google.protobuf.wrappers_pb2 import DoubleValue

import grid
from bench.model import Progress, Row, Size, percentile
from grid import EchoMsg
from grid.testing import wait_until

__all__ = ["RESTLESS", "Active", "Restless", "measure"]

_REMINDERS = 200
RESTLESS = grid.Restart("always", limit=10**9, pause=0.0, longest_pause=0.0)
_RESTARTS = 2.0  # seconds for which an actor that ends at once is restarted


class Active:
    """Answers with what it gets, and notes how late its reminders come, in seconds."""

    late: list[float] = []  # noqa: RUF012 - of the one process of the benchmark

    @grid.handler
    async def echo(self, message: EchoMsg) -> EchoMsg:
        return message

    @grid.handler
    async def remind(
        self, seconds: DoubleValue, ctx: grid.ActorContext, request: grid.Request[DoubleValue]
    ) -> None:
        due = request.metadata.get("grid-reminder-due")
        if due is None:
            await ctx.remind("late", seconds, after=seconds.value)
        else:
            Active.late.append(time.time() - float(due))


class Restless:
    """Counts the runs of an actor that returns at once."""

    runs = 0

    async def act(self, ctx: grid.ActorContext) -> None:
        """Return, and be restarted."""
        Restless.runs += 1


async def measure(client: grid.Client, size: Size, progress: Progress) -> list[Row]:
    """The rows; the types `active`, of `Active`, and `restless`, of `Restless`, are defined."""
    return [
        *await _storm(client, size, progress),
        *await _reminders(client, progress),
        await _restarts(client, progress),
    ]


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _storm(client: grid.Client, size: Size, progress: Progress) -> list[Row]:
    count = 2 * size.actors
    progress(f"actors: {count} activations at once")
    before, began, cpu = _resident(), time.perf_counter(), time.process_time()
    message = EchoMsg()
    for start in range(0, count, 2000):
        names = [f"active-s{number}" for number in range(start, min(count, start + 2000))]
        asking = (client.request(name, message, reply=EchoMsg, timeout=120) for name in names)
        await asyncio.gather(*asking)
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    case = f"{count} names"
    held = (_resident() - before) / count / 1024
    return [
        _row(case, "activations, 2,000 at once", "/s", count / seconds),
        _row(case, "CPU of an activation, both sides", "us", spent / count * 1e6),
        _row(case, "memory of an active actor, both sides", "KiB", held),
    ]


async def _reminders(client: grid.Client, progress: Progress) -> list[Row]:
    progress(f"actors: {_REMINDERS} reminders")
    names = [f"active-r{number}" for number in range(_REMINDERS)]
    ask = DoubleValue(value=2)
    await asyncio.gather(*(client.request(name, ask, timeout=60) for name in names))
    await wait_until(lambda: len(Active.late) >= _REMINDERS, "all reminders", timeout=60)
    late = [seconds * 1e3 for seconds in Active.late]
    case = f"{_REMINDERS} reminders, due within a second"
    return [_row(case, f"late by, p{share}", "ms", percentile(late, share)) for share in (50, 99)]


async def _restarts(client: grid.Client, progress: Progress) -> Row:
    progress("actors: restarts")
    await client.start_actor("restless")
    before = Restless.runs
    await asyncio.sleep(_RESTARTS)
    done = Restless.runs - before
    await client.stop_actor("restless")
    return _row("1 actor that returns at once", "restarts", "/s", done / _RESTARTS)


def _row(case: str, figure: str, unit: str, value: float) -> Row:
    return Row(subject="actors", case=case, figure=figure, unit=unit, ours=value)
