"""A state machine of another process: mutations, questions and bytes.

The yardstick of a mutation is a plain `client.request` over the same session, taken in turns
with it; that of a question is the same question to a local machine.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import mirrors, pushes, rounds
from bench.model import Progress, Row, Size, callers_case, median, percentile
from bench.processes import Child
from bench.roles import echo_actor
from bench.running import closed_loop
from bench.talk import Orders, say, until_closed
from grid import Client, EchoMsg, Server
from grid.embedded import Etcd
from machine import Machine
from rpc import Client as MachineClient
from rpc import RemoteMachine
from rpc import Server as MachineServer

__all__ = ["measure", "serve"]

_SCHEMA = {"Red": {"remove": ["Green"]}, "Green": {"remove": ["Red"]}, "Count": {"multi": True}}
_MESSAGE = EchoMsg(msg="m" * 18)
_SLICES = 10  # of a round, in which the two are measured in turns
_MANY = 16
_ROUNDS, _FEW_ROUNDS = 10_000, 50  # beside plain gRPC
_CHANGES, _FEW_CHANGES = 1000, 20
_TINY = 0.1  # seconds of a run that only shows that it runs
_QUESTIONS = 1000
_MOST_OF_REQUEST = 1.3
_MOST_OF_LOCAL = 2.0
_MOST_BYTES = 105.0

Call = Callable[[], Awaitable[object]]


async def serve(given: dict[str, Any], orders: Orders) -> None:
    """A peer with an echo actor and a served machine."""
    machine: Machine[Any] = Machine(_SCHEMA, id="lights")
    server = Server(given["namespace"], etcd=given["etcd"], unix_socket=False)
    server.define("echo", lambda _: echo_actor, mailbox=1024)
    async with server, MachineServer(machine, server):
        await server.client.start_actor("echo", peer=server.name)
        say(name=server.name)
        await until_closed(orders)


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    pairs: dict[tuple[str, int], list[tuple[float, float]]] = {}
    reads: list[tuple[float, float]] = []
    moved: list[float] = []
    async with Etcd() as etcd:
        for number in range(size.rounds):
            progress(f"rpc: round {number + 1} of {size.rounds}")
            given: dict[str, Any] = {"namespace": f"rpc{number}", "etcd": etcd.endpoint}
            async with (
                Child("rpc.serve", **given),
                Client(given["namespace"], etcd=etcd.endpoint) as client,
                MachineClient[Any](client, "lights") as remote,
            ):
                for callers in (1, _MANY):
                    pair = await _in_turns(client, remote.machine, callers, size.seconds)
                    pairs.setdefault(("two processes", callers), []).append(pair)
                reads.append(_questions(remote.machine))
                moved.append(await _bytes(client, remote.machine))
            async with (
                Server(f"one{number}", etcd=etcd.endpoint) as server,
                MachineServer(Machine(_SCHEMA, id="lights"), server),
                MachineClient[Any](server.client, "lights") as remote,
            ):
                server.define("echo", lambda _: echo_actor, mailbox=1024)
                await server.client.start_actor("echo", peer=server.name)
                pair = await _in_turns(server.client, remote.machine, 1, size.seconds)
                pairs.setdefault(("one process", 1), []).append(pair)
        progress("rpc: rounds beside plain gRPC")
        few = size.seconds <= _TINY
        times = _FEW_ROUNDS if few else _ROUNDS
        beside = await rounds.rows(etcd.endpoint, times, progress, beside_go=not few)
        progress("rpc: changes that are pushed")
        beside += await pushes.rows(etcd.endpoint, _FEW_CHANGES if few else _CHANGES)
        progress("rpc: many mirrors")
        beside += await mirrors.rows(etcd.endpoint, 10 * (_FEW_CHANGES if few else _CHANGES))
    rows = [_mutations(where, callers, found) for (where, callers), found in pairs.items()]
    return [*rows, _read_row(reads), _byte_row(moved), *beside]


async def _in_turns(
    client: Client, machine: RemoteMachine[Any], callers: int, seconds: float
) -> tuple[float, float]:
    """The median latencies of a mutation and of a request, in seconds."""
    calls: tuple[Call, Call] = (
        lambda: machine.add("Count"),
        lambda: client.request("echo", _MESSAGE, reply=EchoMsg),
    )
    found: tuple[list[float], list[float]] = ([], [])
    for part in range(_SLICES + 1):
        for call, latencies in zip(calls, found, strict=True):
            load = await closed_loop(call, callers, seconds / _SLICES)
            if part:  # the first warms up
                latencies.append(load.p50)
    return median(found[0]), median(found[1])


def _questions(remote: RemoteMachine[Any]) -> tuple[float, float]:
    """The seconds of three questions, to a remote machine and to a local one."""
    local: Machine[Any] = Machine(_SCHEMA, id="local")
    local.add("Count")
    return _asked(remote), _asked(local)


def _asked(machine: Any) -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(_QUESTIONS):
            machine.is_("Count")
            machine.tick("Count")
            machine.switch("Red", "Green")
        times.append((time.perf_counter() - began) / _QUESTIONS)
    return percentile(times, 50)


async def _bytes(client: Client, machine: RemoteMachine[Any]) -> float:
    """Bytes of the frames of one mutation and its outcome, one at a time."""
    rounds = 200
    before = client.statistics().sessions[0]
    for _ in range(rounds):
        await machine.add("Count")
    after = client.statistics().sessions[0]
    moved = after.bytes_sent + after.bytes_received - before.bytes_sent - before.bytes_received
    return moved / rounds


def _mutations(where: str, callers: int, found: list[tuple[float, float]]) -> Row:
    return Row(
        subject="rpc",
        case=f"{where}, {callers_case(callers)}",
        figure="mutation of a remote machine, p50",
        unit="us",
        ours=median([one * 1e6 for one, _ in found]),
        yardstick=median([other * 1e6 for _, other in found]),
        against="client.request",
        most_ratio=_MOST_OF_REQUEST if callers == 1 else None,
        ratios=tuple(one / other for one, other in found),
    )


def _read_row(found: list[tuple[float, float]]) -> Row:
    return Row(
        subject="rpc",
        case="one process",
        figure="is_, tick and switch of a remote machine",
        unit="us",
        ours=median([one * 1e6 for one, _ in found]),
        yardstick=median([other * 1e6 for _, other in found]),
        against="a local machine",
        most_ratio=_MOST_OF_LOCAL,
        ratios=tuple(one / other for one, other in found),
    )


def _byte_row(found: list[float]) -> Row:
    return Row(
        subject="rpc",
        case="two processes, 1 caller",
        figure="frames of a mutation, both ways",
        unit="bytes",
        ours=median(found),
        most=_MOST_BYTES,
    )
