"""A remote machine beside plain gRPC at one task: subscribe, get a value, call by it, and again.

A worker has a value from 1 to 3. Each call names it, is right if the value is still the same, and
changes it by chance. As a machine, the value is a state, and the change is seen in the answer to
the call; as a gRPC service, each round is a message of a stream of events, a call that gets the
value, and the call by it. Both run through a relay that counts the bytes of TCP, and without it,
in turns, for their time. Where Go is, the programs of asyncmachine-go run, too.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value

from bench import original
from bench.model import Progress, Row, median, percentile
from bench.processes import Child
from bench.talk import Orders, say
from grid import Client, Server
from grid.embedded.ports import free_ports
from machine import Event, Machine, Tracer, Transition
from rpc import Client as MachineClient
from rpc import Server as MachineServer

__all__ = [
    "WAYS",
    "Counted",
    "grpc_service",
    "machine_peer",
    "rows",
    "through_relay",
    "ticking_peer",
]

_VALUES = ("Value1", "Value2", "Value3")
_SCHEMA: dict[str, dict[str, Any]] = {
    "Start": {},
    "Event": {"multi": True, "require": ["Start"]},
    **{one: {"remove": [other for other in _VALUES if other != one]} for one in _VALUES},
    "CallOp": {"multi": True, "require": ["Start"]},
}
_SERVICE = "bench.Worker"
_MOST_BYTES = 105.0  # of frames
_MOST_TIME = 0.4
_MOST_LAG = 10.0  # milliseconds, p99
_TICKS = 300
_TURNS = 5  # in which the times of two are taken one after the other
WAYS = {False: "over gRPC and TCP", True: "on the socket of a host"}
"""Ways of the messages, by whether the peer has a socket for its host."""

Counted = dict[str, Any]


class Worker:
    """The value, the calls by it, and those that were wrong."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self.value = self.right = self.wrong = 0
        self._changed = changed
        self._random = random.Random(1)

    def call(self, by: int) -> bool:
        """Call by the value; True if it was this one."""
        right = by == self.value
        if self.value:
            self.right += right
            self.wrong += not right
        self.value = self._random.randint(1, 3)
        self._changed()
        return right


class WorkerMachine(Machine[Any], schema=_SCHEMA):
    """The worker as a machine."""

    worker: Worker

    def StartState(self) -> None:  # noqa: N802 - the name of a handler
        self.worker.call(1)

    def EventState(self) -> None:  # noqa: N802
        self.remove("Event")
        self.add(_VALUES[self.worker.value - 1])

    def CallOpState(self, event: Event) -> None:  # noqa: N802
        self.remove("CallOp")
        self.worker.call(event.args["op"])


async def machine_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer that serves the worker's machine."""
    machine = WorkerMachine(id="worker")
    machine.worker = Worker(lambda: machine.add("Event"))
    async with Server(**given) as peer, MachineServer(machine, peer) as server:
        say(ready=True)
        async for _ in orders:
            pushes = sum(mirror.pushes for mirror in server.mirrors)
            say(right=machine.worker.right, wrong=machine.worker.wrong, pushes=pushes)


async def grpc_service(given: dict[str, Any], orders: Orders) -> None:
    """The worker as a service of grpc.aio."""
    events: asyncio.Queue[Empty] = asyncio.Queue(10)
    worker = Worker(lambda: events.put_nowait(Empty()))

    async def start(_: Empty, context: Any) -> Empty:
        worker.call(1)
        return Empty()

    async def call(by: Int32Value, context: Any) -> BoolValue:
        return BoolValue(value=worker.call(by.value))

    async def get(_: Empty, context: Any) -> Int32Value:
        return Int32Value(value=worker.value)

    async def subscribe(_: Empty, context: Any) -> AsyncIterator[Empty]:
        while True:
            yield await events.get()

    def unary(function: Any, kind: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            function, kind.FromString, lambda one: one.SerializeToString()
        )

    handlers = {
        "Start": unary(start, Empty),
        "Call": unary(call, Int32Value),
        "Get": unary(get, Empty),
        "Subscribe": grpc.unary_stream_rpc_method_handler(
            subscribe, Empty.FromString, Empty.SerializeToString
        ),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{given['port']}")
    await server.start()
    say(ready=True)
    async for _ in orders:
        say(right=worker.right, wrong=worker.wrong)
    await server.stop(0)


async def ticking_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer whose machine changes by itself; an order is answered with the times of its ticks."""
    machine: Machine[Any] = Machine("Tick!", id="ticking")
    async with Server(**given, unix_socket=False) as server, MachineServer(machine, server):
        say(ready=True)
        async for _ in orders:
            at: dict[int, float] = {}
            for _ in range(_TICKS):
                await asyncio.sleep(0.005)
                began = time.monotonic()
                machine.add("Tick")
                at[machine.tick("Tick")] = began
            say(at=at)


async def rows(etcd: str, rounds: int, progress: Progress, *, beside_go: bool) -> list[Row]:
    """The rows of this task.

    Args:
        etcd: its endpoint.
        rounds: how often the worker is called.
        progress: is told what is measured.
        beside_go: run the benchmark of asyncmachine-go, too, if it can be had.
    """
    found = []
    for times in (1, rounds):
        ours = await through_relay(partial(_machine, etcd, times))
        plain = await through_relay(partial(_grpc, times))
        assert not ours["wrong"]
        assert not plain["wrong"]
        found += _rows_of(times, ours, plain)
    timed = {way: await _timed(etcd, rounds, socket=way) for way in WAYS}
    for way, pairs in timed.items():
        found += [_time_row(rounds, way, pairs), _frames_row(rounds, way, pairs[0][0])]
    if beside_go:
        try:
            progress(f"rpc: {original.MODULE}")
            theirs = await original.run(rounds)
            found += _beside_go(rounds, ours["calls"], timed[True], theirs)
        except original.CannotRun as error:
            progress(f"rpc: its rows are left out: {error}")
    return [*found, await _lag(etcd)]


async def _timed(etcd: str, rounds: int, *, socket: bool) -> list[tuple[Counted, Counted]]:
    """The counts of this and of plain gRPC, in turns and without a relay."""
    found = []
    for turn in range(_TURNS):
        ours_at, theirs_at = free_ports(2)
        times = max(1, rounds // _TURNS)
        ours = await _machine(etcd, times, (ours_at, ours_at), socket=socket, turn=turn)
        found.append((ours, await _grpc(times, (theirs_at, theirs_at))))
    return found


async def through_relay(run: Callable[[tuple[int, int]], Awaitable[Counted]]) -> Counted:
    """The counts of a run, with the bytes of TCP in both directions.

    Args:
        run: gets the ports at which to listen and to dial.
    """
    listens, passes = free_ports(2)
    async with Child("relay.serve", port=passes, target=listens) as relay:
        counted = await run((listens, passes))
        counted["bytes"] = (await relay.ask("count"))["bytes"]
        return counted


async def _machine(
    etcd: str, times: int, ports: tuple[int, int], *, socket: bool = False, turn: int = 0
) -> Counted:
    listens, passes = ports
    given: dict[str, Any] = {
        "namespace": f"rounds{times}-{socket:d}{turn}",
        "etcd": etcd,
        "unix_socket": socket,
        "listen": f"127.0.0.1:{listens}",
        "advertise": f"127.0.0.1:{passes}",
    }
    async with (
        Child("rounds.machine_peer", **given) as peer,
        Client(given["namespace"], etcd=etcd) as client,
        MachineClient[Any](client, "worker") as remote,
    ):
        machine = remote.machine
        calls, seen = 2, machine.tick("Event")  # the connection, and Start
        began = time.perf_counter()
        await machine.add("Start")
        for _ in range(times):
            await machine.when_ticks_eq("Event", seen + 2)
            seen = machine.tick("Event")
            value = machine.switch(*_VALUES)
            calls += 1
            result = await machine.add("CallOp", args={"op": int(value[-1])})
            assert result.executed
        seconds = time.perf_counter() - began
        told = await peer.ask("count")
        (session,) = client.statistics().sessions
        frames = session.bytes_sent + session.bytes_received
        return {
            **told,
            "calls": calls + told["pushes"],
            "seconds": seconds / times,
            "frames": frames / times,
        }


async def _grpc(times: int, ports: tuple[int, int]) -> Counted:
    listens, passes = ports
    async with (
        Child("rounds.grpc_service", port=listens) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{passes}") as channel,
    ):

        def unary(name: str, answer: Any) -> Any:
            return channel.unary_unary(
                f"/{_SERVICE}/{name}", lambda one: one.SerializeToString(), answer.FromString
            )

        start, get, call = unary("Start", Empty), unary("Get", Int32Value), unary("Call", BoolValue)
        subscribe: Any = channel.unary_stream(
            f"/{_SERVICE}/Subscribe", Empty.SerializeToString, Empty.FromString
        )
        await channel.channel_ready()
        began = time.perf_counter()
        events = subscribe(Empty())
        await start(Empty())
        calls = 2
        for _ in range(times + 1):
            await events.read()
            value = await get(Empty())
            await call(Int32Value(value=value.value))
            calls += 3
        await events.read()
        calls += 1
        seconds = time.perf_counter() - began
        events.cancel()
        return {"calls": calls, "seconds": seconds / times, **await service.ask("count")}


def _case(times: int) -> str:
    return f"{times:,} rounds of subscribe, get and call"


def _rows_of(times: int, ours: Counted, plain: Counted) -> list[Row]:
    return [
        Row(
            subject="rpc",
            case=_case(times),
            figure=figure,
            unit=unit,
            ours=ours[key] / over,
            yardstick=plain[key] / over,
            against="plain grpc.aio",
            most=most,
            most_ratio=ratio if times > 1 else None,
        )
        for figure, unit, key, over, most, ratio in (
            ("calls and notifications", "calls", "calls", 1, times + 3.0, None),
            ("bytes of TCP, a round", "bytes", "bytes", times, None, 1.0),
        )
    ]


def _time_row(times: int, socket: bool, pairs: list[tuple[Counted, Counted]]) -> Row:
    return Row(
        subject="rpc",
        case=_case(times),
        figure=f"time, a round, {WAYS[socket]}",
        unit="us",
        ours=median([1e6 * ours["seconds"] for ours, _ in pairs]),
        yardstick=median([1e6 * plain["seconds"] for _, plain in pairs]),
        against="plain grpc.aio",
        most_ratio=_MOST_TIME,
        ratios=tuple(ours["seconds"] / plain["seconds"] for ours, plain in pairs),
    )


def _frames_row(times: int, socket: bool, ours: Counted) -> Row:
    return Row(
        subject="rpc",
        case=_case(times),
        figure=f"bytes of frames, a round, {WAYS[socket]}",
        unit="bytes",
        ours=ours["frames"],
        most=_MOST_BYTES,
    )


def _beside_go(
    times: int,
    calls: int,
    pairs: list[tuple[Counted, Counted]],
    theirs: dict[tuple[str, int], original.OriginalRun],
) -> list[Row]:
    seconds = median([1e6 * one["seconds"] for one, _ in pairs])
    found = []
    for name in ("aRPC", "gRPC"):
        other = theirs[name, times]
        for figure, unit, value, yardstick in (
            ("calls and notifications", "calls", calls, other.calls),
            (f"bytes, a round, {WAYS[True]}", "bytes", pairs[0][0]["frames"], other.bytes / times),
            (f"time, a round, {WAYS[True]}", "us", seconds, 1e6 * other.seconds),
        ):
            row = Row(
                subject="rpc",
                case=_case(times),
                figure=figure,
                unit=unit,
                ours=value,
                yardstick=yardstick,
                against=f"{name} in Go, of asyncmachine-go",
            )
            found.append(row)
    return found


async def _lag(etcd: str) -> Row:
    given: dict[str, Any] = {"namespace": "lag", "etcd": etcd}
    here: dict[int, float] = {}

    class Seen(Tracer):
        def transition_end(self, tx: Transition) -> None:
            here[tx.machine.tick("Tick")] = time.monotonic()

    async with (
        Child("rounds.ticking_peer", **given) as peer,
        Client("lag", etcd=etcd) as client,
        MachineClient[Any](client, "ticking", interval=0.001) as remote,
    ):
        remote.machine.bind_tracer(Seen())
        at = {int(tick): when for tick, when in (await peer.ask("tick"))["at"].items()}
        await remote.machine.sync()
    ticks = sorted(here)
    lags = [
        1000 * (next(here[tick] for tick in ticks if tick >= one) - when)
        for one, when in at.items()
        if ticks and one <= ticks[-1]
    ]
    return Row(
        subject="rpc",
        case="two processes, pushes at most every ms",
        figure="lag of a mirror, p99",
        unit="ms",
        ours=percentile(lags, 99),
        most=_MOST_LAG,
    )
