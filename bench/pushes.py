"""A source that changes by itself: pushes to a mirror beside a stream of events of plain gRPC.

With plain gRPC each change is an event, and the listener gets the value by a call. To a mirror
the changed clock is pushed, which has the value. Both run through a relay that counts the bytes
of TCP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import UInt64Value

from bench.model import Row
from bench.processes import Child
from bench.rounds import Counted, through_relay
from bench.talk import Orders, say
from grid import Client, Server
from machine import Machine
from rpc import Client as MachineClient
from rpc import Server as MachineServer

__all__ = ["grpc_ticker", "machine_ticker", "rows"]

_SERVICE = "bench.Ticker"
_PAUSE = 0.002  # seconds between changes that are all to be seen
_INTERVAL = 0.25


async def _changes(order: str, change: Callable[[], object]) -> None:
    """Carry out an order: `TIMES PAUSE`, the latter in seconds."""
    times, pause = int(order.split()[0]), float(order.split()[1])
    for number in range(times):
        change()
        if pause or number % 100 == 0:
            await asyncio.sleep(pause)


async def machine_ticker(given: dict[str, Any], orders: Orders) -> None:
    """A peer whose machine ticks as often as an order says."""
    machine: Machine[Any] = Machine("Tick!", id="ticker")
    async with Server(**given) as peer, MachineServer(machine, peer) as server:
        say(ready=True)
        async for order in orders:
            if order != "count":
                await _changes(order, lambda: machine.add("Tick"))
            say(pushes=sum(mirror.pushes for mirror in server.mirrors))


async def grpc_ticker(given: dict[str, Any], orders: Orders) -> None:
    """The same as a service of grpc.aio: a stream of events, and a call for the value."""
    ticks, events = 0, asyncio.Queue[Empty]()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        events.put_nowait(Empty())

    async def get(_: Empty, context: Any) -> UInt64Value:
        return UInt64Value(value=ticks)

    async def subscribe(_: Empty, context: Any) -> AsyncIterator[Empty]:
        while True:
            yield await events.get()

    handlers = {
        "Get": grpc.unary_unary_rpc_method_handler(
            get, Empty.FromString, lambda one: one.SerializeToString()
        ),
        "Subscribe": grpc.unary_stream_rpc_method_handler(
            subscribe, Empty.FromString, Empty.SerializeToString
        ),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{given['port']}")
    await server.start()
    say(ready=True)
    async for order in orders:
        await _changes(order, tick)
        say(done=True)
    await server.stop(0)


async def rows(etcd: str, times: int) -> list[Row]:
    """The rows of this task.

    Args:
        etcd: its endpoint.
        times: how often the source changes.
    """
    found: list[Row] = []
    for case, pause, interval in (
        (f"{times:,} changes by itself, one in {1000 * _PAUSE:g} ms, pushed at once", _PAUSE, 1e-6),
        (f"{10 * times:,} changes by itself, without pause", 0.0, _INTERVAL),
    ):
        count = times if pause else 10 * times
        number = len(found)
        ours = await through_relay(partial(_machine, etcd, number, count, pause, interval))
        plain = await through_relay(partial(_grpc, count, pause))
        found += _rows_of(case, count, pause, ours, plain)
    return found


async def _machine(
    etcd: str, number: int, times: int, pause: float, interval: float, ports: tuple[int, int]
) -> Counted:
    listens, passes = ports
    given: dict[str, Any] = {
        "namespace": f"pushes{number}",
        "etcd": etcd,
        "listen": f"127.0.0.1:{listens}",
        "advertise": f"127.0.0.1:{passes}",
        "unix_socket": False,
    }
    async with (
        Child("pushes.machine_ticker", **given) as peer,
        Client(given["namespace"], etcd=etcd) as client,
        MachineClient[Any](client, "ticker", interval=interval) as remote,
    ):
        machine = remote.machine
        last = machine.tick("Tick") + 2 * times - 1
        seen = machine.when_ticks_eq("Tick", last)
        began = time.perf_counter()
        asked = asyncio.ensure_future(peer.ask(f"{times} {pause}"))
        await seen
        seconds = time.perf_counter() - began
        await asked
        told = await peer.ask("count")
        return {"calls": 1 + told["pushes"], "seconds": seconds}


async def _grpc(times: int, pause: float, ports: tuple[int, int]) -> Counted:
    listens, passes = ports
    async with (
        Child("pushes.grpc_ticker", port=listens) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{passes}") as channel,
    ):
        get: Any = channel.unary_unary(
            f"/{_SERVICE}/Get", lambda one: one.SerializeToString(), UInt64Value.FromString
        )
        subscribe: Any = channel.unary_stream(
            f"/{_SERVICE}/Subscribe", Empty.SerializeToString, Empty.FromString
        )
        await channel.channel_ready()
        events = subscribe(Empty())
        began = time.perf_counter()
        asked = asyncio.ensure_future(service.ask(f"{times} {pause}"))
        for _ in range(times):
            await events.read()
            await get(Empty())
        seconds = time.perf_counter() - began
        await asked
        events.cancel()
        return {"calls": 1 + 2 * times, "seconds": seconds}


def _rows_of(case: str, times: int, pause: float, ours: Counted, plain: Counted) -> list[Row]:
    most_calls = times + 1.0 if pause else ours["seconds"] / _INTERVAL + 2
    figures: list[tuple[str, str, str, float, float | None, float | None]] = [
        ("calls and notifications", "calls", "calls", 1.0, most_calls, None),
        ("bytes of TCP, a change", "bytes", "bytes", float(times), None, 1.0),
    ]
    if not pause:  # else it is the pause
        figures.append(
            ("until the last change is seen", "ms", "seconds", 1e-3, None, 1.0),
        )
    return [
        Row(
            subject="rpc",
            case=case,
            figure=figure,
            unit=unit,
            ours=ours[key] / over,
            yardstick=plain[key] / over,
            against="plain grpc.aio",
            most=most,
            most_ratio=ratio,
        )
        for figure, unit, key, over, most, ratio in figures
    ]
