"""Arrivals that do not wait for answers: a Poisson stream, released by a tick of 1 ms.

The tick comes from a timer of the kernel where there is one (Linux), for
event loops keep time to a millisecond at best. A tick that the loop sees late is
still counted from the moment it was due, so a busy loop cannot hide what it does
to its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.model import percentile

__all__ = ["Arrivals", "arrive", "poisson"]

TICK = 0.001
_PATIENCE = 5.0  # for answers after the last arrival
_MONOTONIC = 1  # CLOCK_MONOTONIC
_NONBLOCK = 0o4000  # TFD_NONBLOCK

Send = Callable[[], "asyncio.Future[object]"]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Latencies and failures of arrivals.

    Attributes:
        offered: arrivals per second.
        p50: of the latencies in seconds, from the moment an arrival was due.
        p99: likewise.
        failed: errors, and answers that did not come; their latency counts as
            the whole run's length.
    """

    offered: float
    p50: float
    p99: float
    failed: int


def poisson(chance: random.Random, mean: float) -> int:
    """Number of arrivals while `mean` arrive on average."""
    if mean > 30:  # as good as normal, and quick
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    least, product, number = math.exp(-mean), chance.random(), 0
    while product > least:
        product *= chance.random()
        number += 1
    return number


async def arrive(send: Send, rate: float, seconds: float, *, busy: bool, seed: int) -> Arrivals:
    """Let requests arrive at a rate; `busy`: on a loop that has other work at every turn."""
    chance = random.Random(seed)
    plan = [poisson(chance, rate * TICK) for _ in range(max(1, round(seconds / TICK)))]
    run = _Run(send, plan)
    spinning = asyncio.create_task(_spin()) if busy else None
    await run.whole()
    if spinning is not None:
        spinning.cancel()
    return run.result()


async def _spin() -> None:
    while True:  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(0)


class _Run:
    """One stream of arrivals."""

    def __init__(self, send: Send, plan: list[int]) -> None:
        self._send = send
        self._plan = plan
        self._next = 0
        self._latencies: list[float] = []
        self._failed = 0
        self._open: set[asyncio.Future[object]] = set()
        self._released = asyncio.Event()
        self._answered = asyncio.Event()

    async def whole(self) -> None:
        """Release all of them, and wait for the answers, but not for ever."""
        self._began = time.monotonic()
        stop = _every_tick(self._release)
        try:
            await self._released.wait()
        finally:
            stop()
        self._answered.clear()
        if self._open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), _PATIENCE)
        self._ended = time.monotonic()
        for future in tuple(self._open):
            future.cancel()
        while self._open:
            await self._answered.wait()

    def result(self) -> Arrivals:
        """The figures, once it is over."""
        length = self._ended - self._began
        latencies = self._latencies + [length] * self._failed or [length]
        return Arrivals(
            sum(self._plan) / (len(self._plan) * TICK),
            percentile(latencies, 50),
            percentile(latencies, 99),
            self._failed,
        )

    def _release(self) -> None:
        due = min(len(self._plan), int((time.monotonic() - self._began) / TICK))
        for number in range(self._next, due):
            answered = self._counter(self._began + (number + 1) * TICK)
            for _ in range(self._plan[number]):
                future = self._send()
                future.add_done_callback(answered)
                self._open.add(future)
        self._next = due
        if due == len(self._plan):
            self._released.set()

    def _counter(self, due: float) -> Callable[[asyncio.Future[object]], None]:
        """Takes the answers to what was due at one moment."""
        clock, keep = time.monotonic, self._latencies.append

        def answered(future: asyncio.Future[object]) -> None:
            if future.cancelled() or future.exception() is not None:
                self._failed += 1
            else:
                keep(clock() - due)
            self._open.remove(future)
            if not self._open:
                self._answered.set()

        return answered


def _every_tick(call: Callable[[], None]) -> Callable[[], None]:
    """Call at every tick, until what is returned is called."""
    loop = asyncio.get_running_loop()
    timer = _kernel_timer()
    if timer is None:
        return _by_loop(call)

    def tick() -> None:
        os.read(timer, 8)
        call()

    loop.add_reader(timer, tick)

    def stop() -> None:
        loop.remove_reader(timer)
        os.close(timer)

    return stop


def _by_loop(call: Callable[[], None]) -> Callable[[], None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK)
            call()

    ticking = asyncio.create_task(tick())

    def stop() -> None:
        ticking.cancel()

    return stop


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Interval(ctypes.Structure):
    _fields_ = (("period", _TimeSpec), ("first", _TimeSpec))


def _kernel_timer() -> int | None:
    """A descriptor that is readable once a tick has passed; None where there is no such thing."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "timerfd_create"):
        return None
    timer: int = library.timerfd_create(_MONOTONIC, _NONBLOCK)
    tick = _TimeSpec(0, round(TICK * 1e9))
    if timer < 0 or library.timerfd_settime(timer, 0, ctypes.byref(_Interval(tick, tick)), None):
        return None
    return timer
