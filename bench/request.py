"""`client.request` to an actor on another process's peer, against a bare grpc.aio echo.

Both go over gRPC and TCP, as between hosts. What a unix socket makes of it between
processes of one host is in the subject `transport`.

Each round starts both servers afresh and loads them in turn, so that neither the
luck of one process nor a slow minute of the machine falls to one side only. A
round during which other processes used the machine is taken again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import grpc.aio

from bench.model import Progress, Row, Size, median
from bench.processes import Child, CpuMeter, quietest
from bench.roles import ECHO_METHOD
from bench.running import Load, closed_loop
from grid import Client, EchoMsg
from grid.embedded import Etcd

__all__ = ["measure"]

_CALLERS = (1, 16, 128)
_MESSAGE = EchoMsg(msg="m" * 98)  # 100 bytes encoded
_REQUIRED = 0.8
_AGAINST = "bare grpc.aio unary echo"


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared: how to call it, and its server process."""

    call: Callable[[], Awaitable[object]]
    pid: int


@dataclass(frozen=True, slots=True)
class _Measured:
    """One side, one number of callers, one round."""

    load: Load
    cpu: float  # seconds per call, client and server together


Measured = dict[tuple[str, int], list[_Measured]]


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    measured: Measured = {(side, callers): [] for side in ("ours", "bare") for callers in _CALLERS}
    async with Etcd() as etcd:
        for number in range(size.rounds):
            progress(f"request: round {number + 1} of {size.rounds}")
            await _round(etcd.endpoint, f"round{number}", size, number % 2 == 1, measured)
    return [row for callers in _CALLERS for row in _rows(callers, measured)]


async def _round(
    etcd: str, namespace: str, size: Size, bare_first: bool, measured: Measured
) -> None:
    async with (
        Child("bare_echo") as bare,
        Child("echo_peer", namespace=namespace, etcd=etcd, unix_socket=False) as peer,
        grpc.aio.insecure_channel(bare.told["address"]) as channel,
        Client(namespace, etcd=etcd) as client,
    ):
        echo: grpc.aio.UnaryUnaryMultiCallable[EchoMsg, EchoMsg] = channel.unary_unary(
            ECHO_METHOD,
            request_serializer=EchoMsg.SerializeToString,
            response_deserializer=EchoMsg.FromString,
        )
        sides = {
            "ours": _Side(lambda: client.request("echo", _MESSAGE, reply=EchoMsg), peer.pid),
            "bare": _Side(lambda: echo(_MESSAGE), bare.pid),
        }
        order = sorted(sides, reverse=not bare_first)
        for side in sides.values():
            await closed_loop(side.call, 16, min(0.3, size.seconds))
        for callers in _CALLERS:
            in_turn = [sides[one] for one in order]
            pair = await quietest(partial(_pair, in_turn, callers, size.seconds))
            for one, result in zip(order, pair, strict=True):
                measured[one, callers].append(result)


async def _pair(sides: list[_Side], callers: int, seconds: float) -> list[_Measured]:
    """Both sides, one after the other."""
    return [await _one(side, callers, seconds) for side in sides]


async def _one(side: _Side, callers: int, seconds: float) -> _Measured:
    meter = CpuMeter(side.pid)
    load = await closed_loop(side.call, callers, seconds)
    return _Measured(load, meter.own() / load.calls)


def _rows(callers: int, measured: Measured) -> list[Row]:
    ours, bare = measured["ours", callers], measured["bare", callers]
    case = "1 caller" if callers == 1 else f"{callers} callers"

    def row(
        figure: str, unit: str, value: Callable[[_Measured], float], least: float | None = None
    ) -> Row:
        return Row(
            subject="request",
            case=case,
            figure=figure,
            unit=unit,
            ours=median([value(one) for one in ours]),
            yardstick=median([value(one) for one in bare]),
            against=_AGAINST,
            least_ratio=least,
            ratios=tuple(value(one) / value(other) for one, other in zip(ours, bare, strict=True)),
        )

    return [
        row("calls per second", "/s", lambda one: one.load.rate, _REQUIRED),
        row("latency p50", "us", lambda one: one.load.p50 * 1e6),
        row("latency p99", "us", lambda one: one.load.p99 * 1e6),
        row("CPU per call, both sides", "us", lambda one: one.cpu * 1e6),
    ]
