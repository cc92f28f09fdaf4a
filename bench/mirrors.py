"""One machine and the clients that mirror it: processor time and pushes of the source."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from bench.model import Row, median
from bench.processes import Child, cpu_seconds
from bench.rounds import WAYS
from grid import Client
from rpc import Client as MachineClient

__all__ = ["rows"]

_MANY = 50
_PAUSE = 0.001  # seconds between changes
_INTERVAL = 0.25
_TIMES = 2
_MOST_CPU = 2.0


async def rows(etcd: str, changes: int) -> list[Row]:
    """The rows of one client beside many, in turns.

    Args:
        etcd: its endpoint.
        changes: how often the source changes each time.
    """
    pairs: dict[bool, list[tuple[float, float]]] = {way: [] for way in WAYS}
    pushes: list[tuple[float, float]] = []
    for number in range(_TIMES):
        for way, found in pairs.items():
            name = f"mirrors{number}{way:d}"
            one, _ = await _mirrored(etcd, f"{name}a", 1, changes, socket=way)
            many, over = await _mirrored(etcd, f"{name}b", _MANY, changes, socket=way)
            found.append((many, one))
            pushes.append(over)
    most_pushes, limit = max(pushes)
    case = f"{changes:,} changes by itself, {_MANY} mirrors"
    pushed = Row(
        subject="rpc",
        case=case,
        figure="pushes to a mirror",
        unit="pushes",
        ours=most_pushes,
        most=limit,
    )
    return [*(_cpu_row(case, way, found) for way, found in pairs.items()), pushed]


def _cpu_row(case: str, way: bool, pairs: list[tuple[float, float]]) -> Row:
    return Row(
        subject="rpc",
        case=case,
        figure=f"processor time of the source, {WAYS[way]}",
        unit="ms",
        ours=1000 * median([many for many, _ in pairs]),
        yardstick=1000 * median([one for _, one in pairs]),
        against="one mirror",
        most_ratio=_MOST_CPU,
        ratios=tuple(many / one for many, one in pairs),
    )


async def _mirrored(
    etcd: str, namespace: str, clients: int, changes: int, *, socket: bool
) -> tuple[float, tuple[float, float]]:
    """The processor time of the source in seconds; the pushes to a mirror, and their limit."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        given: dict[str, Any] = {"namespace": namespace, "etcd": etcd, "unix_socket": socket}
        source = await enter(Child("pushes.machine_ticker", **given))
        machines = []
        for _ in range(clients):
            client = await enter(Client(namespace, etcd=etcd))
            remote: MachineClient[Any] = await enter(
                MachineClient(client, "ticker", interval=_INTERVAL)
            )
            machines.append(remote.machine)
        last = machines[0].tick("Tick") + 2 * changes - 1
        seen = [machine.when_ticks_eq("Tick", last) for machine in machines]
        before = (await source.ask("count"))["pushes"]
        cpu, began = cpu_seconds(source.pid), time.perf_counter()
        asked = asyncio.ensure_future(source.ask(f"{changes} {_PAUSE}"))
        for one in seen:
            await one
        elapsed = time.perf_counter() - began
        spent = cpu_seconds(source.pid) - cpu
        await asked
        pushes = (await source.ask("count"))["pushes"] - before
        return spent, (pushes / clients, elapsed / _INTERVAL + 1)
