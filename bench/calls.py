"""Requests to another process: against bare grpc.aio, raw TCP, and other systems.

Each round starts all servers and clients afresh. We and the one we are held
against are loaded in turn, one right after the other, so that neither the luck
of one process nor a slow minute of the machine falls to one side only; which of
the two is first changes from round to round. What other processes disturb is
taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.model import REQUESTS, Progress, Row, Size, callers_case, median
from bench.peers import PEERS, Peer, environment
from bench.processes import Child, quietest
from bench.running import Load
from bench.talk import notice

__all__ = ["BARE", "RAW_TCP", "Pairs", "installed", "load", "measure", "rows_of"]

BARE = "bare grpc.aio unary"
RAW_TCP = "raw TCP, batched"
_CALLERS = (1, 16, 128)
_MANY = 512
_WARM = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Requirement against one yardstick.

    Attributes:
        p50_ratio: at most, of the medians of one caller.
        rate_ratios: at least, of the calls per second, by callers.
    """

    p50_ratio: float | None
    rate_ratios: dict[int, float]


Pairs = dict[tuple[str, int], list[tuple[Load, Load]]]
"""Ours and the yardstick's, by the yardstick and the callers: one pair each round."""

_YARDSTICKS = {
    BARE: _Bounds(0.4, {16: 8.0, 128: 20.0}),
    RAW_TCP: _Bounds(None, {_MANY: 0.8}),
    **{peer.name: _Bounds(peer.p50_ratio, {16: 1.0, 128: 1.0}) for peer in PEERS},
}


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part."""
    peers = installed(size.peers)
    pairs: Pairs = {}
    for number in range(size.rounds):
        progress(f"transport: requests, round {number + 1} of {size.rounds}")
        given: dict[str, Any] = {"namespace": f"calls{number}", "etcd": etcd}
        async with Child("echo_peer", **given), Child("drivers.ours", **given) as ours:
            await load(ours, 16, min(_WARM, size.seconds))
            round_ = _Round(ours, size.seconds, theirs_first=number % 2 == 1, pairs=pairs)
            await round_.against_bare()
            await round_.against_raw_tcp()
            for peer in peers:
                progress(f"transport: {peer.name}, round {number + 1} of {size.rounds}")
                await round_.against_peer(peer)
    return rows_of(pairs)


def installed(wanted: tuple[str, ...] | None) -> list[Peer]:
    """The other systems that can be measured here; says how to get those that cannot."""
    chosen = [peer for peer in PEERS if wanted is None or peer.module in wanted]
    for peer in chosen:
        if peer.missing:
            notice(f"{peer.name} is skipped, for it is not installed: {peer.get}")
    return [peer for peer in chosen if not peer.missing]


async def load(driver: Child, callers: int, seconds: float) -> Load:
    """Let a driver drive."""
    return Load(**await driver.ask(f"{callers} {seconds}"))


class _Round:
    """One of us, held against one yardstick after the other."""

    def __init__(self, ours: Child, seconds: float, *, theirs_first: bool, pairs: Pairs) -> None:
        self._ours = ours
        self._seconds = seconds
        self._theirs_first = theirs_first
        self._pairs = pairs

    async def against_bare(self) -> None:
        """A bare grpc.aio echo."""
        async with (
            Child("bare_echo") as server,
            Child("drivers.bare", address=server.told["address"]) as theirs,
        ):
            await self._in_turn(BARE, theirs, _CALLERS)

    async def against_raw_tcp(self) -> None:
        """The limit."""
        async with (
            Child("raw_tcp.serve") as server,
            Child("raw_tcp.drive", port=server.told["port"]) as theirs,
        ):
            await self._in_turn(RAW_TCP, theirs, (*_CALLERS, _MANY))

    async def against_peer(self, peer: Peer) -> None:
        """Another system, which runs only while it is measured: some are never idle."""
        ours: dict[int, Load] = {}
        if not self._theirs_first:
            ours = await self._alone(self._ours)
        try:
            theirs = await self._peer_alone(peer)
        except (RuntimeError, TimeoutError) as error:
            notice(f"{peer.name} is skipped in this round: {error}")
            return
        ours = ours or await self._alone(self._ours)
        for callers in _CALLERS:
            self._keep(peer.name, callers, ours[callers], theirs[callers])

    async def _peer_alone(self, peer: Peer) -> dict[int, Load]:
        role, theirs = f"peers.{peer.module}", environment()
        async with (
            Child(f"{role}.serve", environment=theirs) as server,
            Child(f"{role}.drive", environment=theirs, **server.told) as driver,
        ):
            await load(driver, 16, min(_WARM, self._seconds))
            return await self._alone(driver)

    async def _alone(self, driver: Child) -> dict[int, Load]:
        return {
            callers: await quietest(partial(load, driver, callers, self._seconds))
            for callers in _CALLERS
        }

    async def _in_turn(self, name: str, theirs: Child, many: tuple[int, ...]) -> None:
        await load(theirs, 16, min(_WARM, self._seconds))
        for callers in many:
            ours, other = await quietest(partial(self._both, theirs, callers))
            self._keep(name, callers, ours, other)

    async def _both(self, theirs: Child, callers: int) -> tuple[Load, Load]:
        drivers = [self._ours, theirs]
        if self._theirs_first:
            drivers.reverse()
        loads = [await load(driver, callers, self._seconds) for driver in drivers]
        if self._theirs_first:
            loads.reverse()
        return loads[0], loads[1]

    def _keep(self, name: str, callers: int, ours: Load, theirs: Load) -> None:
        self._pairs.setdefault((name, callers), []).append((ours, theirs))


def rows_of(pairs: Pairs) -> list[Row]:
    """The table: yardstick by yardstick, and there by the number of callers."""
    order = list(_YARDSTICKS)
    rows = []
    for name, callers in sorted(pairs, key=lambda key: (order.index(key[0]), key[1])):
        measured, bounds = pairs[name, callers], _YARDSTICKS[name]
        if callers == 1:
            row = _row(name, callers, measured, "request, p50", "us", lambda one: one.p50 * 1e6)
            rows.append(replace(row, most_ratio=bounds.p50_ratio))
        row = _row(name, callers, measured, REQUESTS, "/s", lambda one: one.rate)
        rows.append(replace(row, least_ratio=bounds.rate_ratios.get(callers)))
    return rows


def _row(
    name: str,
    callers: int,
    measured: list[tuple[Load, Load]],
    figure: str,
    unit: str,
    value: Callable[[Load], float],
) -> Row:
    ours, theirs = zip(*((value(one), value(other)) for one, other in measured), strict=True)
    return Row(
        subject="transport",
        case=callers_case(callers),
        figure=figure,
        unit=unit,
        ours=median(ours),
        yardstick=median(theirs),
        against=name,
        ratios=tuple(one / other for one, other in zip(ours, theirs, strict=True)),
    )
