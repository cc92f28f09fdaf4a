"""Python frames on hot paths stay within their budgets: a guard of speed without a clock.

A frame is counted each time a function or a coroutine of the packages `grid`, `machine` and `rpc`
is entered or resumed, on both sides of a request. Frames of asyncio, of other libraries and of the
test's own handlers are not counted. The leanest of several rounds counts, so that a heartbeat or a
keep-alive during a round does not matter. Budgets were measured on Python 3.11, which has the most
frames: newer versions inline comprehensions. Raise a budget only together with a benchmark.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

import grid
import rpc
from grid.embedded import Etcd
from grid.wire_pb2 import EchoMsg
from machine import Machine, Schema
from machine.core.tracer import Tracer
from rpc import services
from tests.grid.echo_kit import EchoGrid, go_over_the_wire

ROUNDS = 5
TIMES = 20
REQUESTS = {
    ("request", "local"): 38,
    ("request", "session"): 102,
    ("send", "local"): 38,
    ("send", "session"): 103,
}
SERVICE_CALLS = {"local": 57, "session": 123}
REMOTE_MUTATIONS = {"local": 72, "session": 206}


class Frames:
    """Counter of the packages' frames, per thread."""

    def __init__(self) -> None:
        self.by_code: Counter[CodeType] = Counter()
        self._ours: dict[str, bool] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and self._is_ours(frame):
            self.by_code[frame.f_code] += 1

    def _is_ours(self, frame: FrameType) -> bool:
        name = frame.f_globals.get("__name__", "")
        return name.partition(".")[0] in {"grid", "machine", "rpc"}

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)

    def each(self) -> float:
        return self.by_code.total() / TIMES

    def explained(self) -> str:
        lines = (
            f"{count / TIMES:6.2f} {code.co_qualname}" for code, count in self.by_code.most_common()
        )
        return "\n".join(lines)


def leanest(rounds: list[Frames]) -> Frames:
    return min(rounds, key=Frames.each)


async def counted(call: Callable[[], Awaitable[object]]) -> Frames:
    for _ in range(TIMES):  # names are resolved, sessions are open, tables are warm
        await call()
    rounds = [Frames() for _ in range(ROUNDS)]
    for one in rounds:
        with one.counting():
            for _ in range(TIMES):
                await call()
    return leanest(rounds)


def counted_here(call: Callable[[], object]) -> Frames:
    for _ in range(TIMES):
        call()
    rounds = [Frames() for _ in range(ROUNDS)]
    for one in rounds:
        with one.counting():
            for _ in range(TIMES):
                call()
    return leanest(rounds)


@pytest.mark.parametrize(("method", "way"), REQUESTS)
async def test_frames_of_a_request(
    method: str,
    way: str,
    grid_servers: Callable[..., grid.Server],
    grid_etcd: Etcd,
    grid_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    echo = EchoGrid(grid_namespace, grid_etcd.endpoint, grid_servers)
    go_over_the_wire(way, monkeypatch)
    # Another test may have imported OpenTelemetry, which costs frames of its own.
    monkeypatch.setattr("grid.trace_context._inject", None)
    monkeypatch.setattr("grid.trace_context.active", False)
    monkeypatch.setattr("grid.trace_context.look_for_opentelemetry", lambda: None)
    await echo.start(way)
    try:
        call = getattr(echo.client(), method)
        message = EchoMsg(msg="x")
        frames = await counted(lambda: call("echo", message))
        assert frames.each() <= REQUESTS[method, way], frames.explained()
    finally:
        await echo.close()


class _Echo:
    async def echo(self, request: EchoMsg, _: object) -> EchoMsg:
        return request


@pytest.mark.parametrize("way", SERVICE_CALLS)
async def test_frames_of_a_call_of_a_service(
    way: str,
    grid_server: grid.Server,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_over_the_wire(way, monkeypatch)
    monkeypatch.setattr("grid.trace_context._inject", None)
    monkeypatch.setattr("grid.trace_context.active", False)
    monkeypatch.setattr("grid.trace_context.look_for_opentelemetry", lambda: None)
    method = services.MethodSpec("Echo", "echo", EchoMsg, EchoMsg)
    spec = services.ServiceSpec("frames.Echo", (method,))
    async with (
        services.ServiceServer(spec, _Echo(), grid_server),
        services.ServiceClient(spec, grid_client) as client,
    ):
        message = EchoMsg(msg="x")
        frames = await counted(lambda: client._call(method, (), message, None, None))
    assert frames.each() <= SERVICE_CALLS[way], frames.explained()


@pytest.mark.parametrize("way", REMOTE_MUTATIONS)
async def test_frames_of_a_remote_mutation(
    way: str,
    grid_server: grid.Server,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_over_the_wire(way, monkeypatch)
    machine: Machine[Any] = Machine("Count!", id="counter")
    async with (
        rpc.Server(machine, grid_server),
        rpc.Client[Any](grid_client, "counter") as remote,
    ):
        frames = await counted(lambda: remote.machine.add("Count"))
    assert frames.each() <= REMOTE_MUTATIONS[way], frames.explained()


TOGGLE = Schema.parse("Idle -Busy; Busy -Idle")
TEN = Schema.parse(
    "Idle -Busy,Failed; Busy -Idle,Failed +Lit; Failed -Idle,Busy; Lit ?Busy; Warm* ?Lit; "
    "Powered; Locked ?Powered; Open -Locked ?Powered; Ready* ?Idle -Warm; Seen! >Busy"
)


class Handlers:
    """Two handlers for a mutation."""

    def IdleEnter(self) -> None: ...
    def IdleState(self) -> None: ...
    def BusyEnter(self) -> None: ...
    def BusyState(self) -> None: ...


def toggling(machine: Machine[Any]) -> Callable[[], object]:
    def toggle() -> None:
        machine.add("Busy")
        machine.add("Idle")

    return toggle


MUTATIONS: dict[str, tuple[Callable[[], Machine[Any]], float]] = {
    "plain": (lambda: Machine(TOGGLE), 2),
    "two handlers": (lambda: Machine(TOGGLE, handlers=Handlers()), 6),
    "ten states, two of them auto": (lambda: Machine(TEN), 2),
    "with a tracer": (lambda: Machine(TOGGLE, tracers=[Tracer()]), 14),
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_frames_of_a_mutation(kind: str) -> None:
    make, budget = MUTATIONS[kind]
    frames = counted_here(toggling(make()))
    assert frames.each() / 2 <= budget, frames.explained()


def test_frames_of_a_wait() -> None:
    machine = Machine(TOGGLE)

    def wait() -> None:
        waiting = machine.when("Busy")
        machine.add("Busy")
        assert waiting.done
        machine.add("Idle")

    frames = counted_here(wait)
    assert frames.each() <= 53, frames.explained()


async def test_frames_of_an_async_handler() -> None:
    done = 0

    class Async:
        async def BusyState(self) -> None:
            nonlocal done
            done += 1

    machine = Machine(TOGGLE, handlers=Async())

    async def toggle() -> None:
        wanted = done + 1
        machine.add("Busy")
        while done < wanted:  # noqa: ASYNC110 - the loop's pass is part of what is counted
            await asyncio.sleep(0)
        machine.add("Idle")

    frames = await counted(toggle)
    assert frames.each() <= 19, frames.explained()


def test_a_frame_more_is_noticed() -> None:
    machine = Machine(TOGGLE)
    once = counted_here(lambda: machine.add("Busy"))
    twice = counted_here(lambda: (machine.add("Busy"), machine.add("Busy")))
    assert twice.each() == 2 * once.each() > 0
