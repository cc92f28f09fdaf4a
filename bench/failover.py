"""Failover: the peer of the leader is killed, or stopped, and another one leads.

Three peers run as processes of their own. A round waits a random part of the
keep-alive's period, so that kills fall anywhere in it, ends the leader's peer,
and reads three clocks: when etcd let the leader's key go (a bare watch), when
the next leader's `act` began (it says so itself; all processes of a machine
share the monotonic clock), and when a client had its first answer from it. The
ended peer is then started again. The yardstick of a takeover is the least that
one can take: a bare watch that creates a key of its own as soon as the leader's
is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Self

from bench.model import Progress, Row, Size, median
from bench.processes import Child
from bench.raw_etcd import RawEtcd
from grid import Client, EchoMsg, GridError
from grid.embedded import Etcd

__all__ = ["measure"]

_PEERS = 3
_SEED = 20
_SETTLED = 0.3
_BOUND_STOPPED = 1.0
_BOUND_KILLED = 1.0  # and the lease


@dataclass(frozen=True, slots=True)
class _Takeover:
    """Seconds after the leader's peer was ended."""

    key_gone: float
    bare_taken: float
    acts: float
    answers: float


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    rows: list[Row] = []
    for lease in size.leases:
        async with Etcd() as etcd, _Grid(etcd.endpoint, lease) as grid:
            for how in ("kill -9", "SIGTERM"):
                takeovers = []
                for number in range(size.kills):
                    progress(f"failover: {how}, lease {lease:g} s, {number + 1} of {size.kills}")
                    takeovers.append(await grid.fail(kill=how == "kill -9"))
                bound = lease + _BOUND_KILLED if how == "kill -9" else _BOUND_STOPPED
                rows += _rows(f"{how}, lease {lease:g} s", takeovers, bound)
    return rows


class _Grid:
    """Three peers that compete for the leader."""

    def __init__(self, etcd: str, lease: float) -> None:
        self._given: dict[str, Any] = {"namespace": "bench", "etcd": etcd, "lease": lease}
        self._etcd = etcd
        self._lease = lease
        self._peers: dict[str, Child] = {}
        self._random = random.Random(_SEED)
        self._number = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(Client("bench", etcd=self._etcd))
        self._raw = await self._stack.enter_async_context(RawEtcd(self._etcd))
        for _ in range(_PEERS):
            await self._add_peer()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await asyncio.gather(*(peer.stop() for peer in self._peers.values()))

    async def _add_peer(self) -> None:
        peer = await Child("leader_peer", **self._given).start()
        self._peers[peer.told["name"]] = peer

    async def fail(self, *, kill: bool) -> _Takeover:
        """End the leader's peer and watch another one take over."""
        old = await self._leader(1.0 + 3 * self._lease)
        await asyncio.sleep(_SETTLED + self._random.uniform(0, self._lease / 3))
        self._number += 1
        async with aclosing(self._raw.deletes("bench.actor.leader", exact=True)) as gone:
            await anext(gone)
            peer = self._peers.pop(old["peer"])
            began = time.monotonic()
            peer.kill() if kill else peer.terminate()
            key_gone = await self._when(gone)
            await self._raw.create(f"bare{self._number}", b"")
            bare_taken = time.monotonic()
        new = await self._leader(10.0, after=old["epoch"])
        answers = time.monotonic()
        await peer.stop()
        await self._add_peer()
        return _Takeover(key_gone - began, bare_taken - began, new["acts"] - began, answers - began)

    async def _leader(self, seconds: float, after: int = 0) -> dict[str, Any]:
        """The leader's own report, asked for until one later than `after` answers."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(GridError):
                    reply = await self._client.request(
                        "leader", EchoMsg(), reply=EchoMsg, idempotent=True
                    )
                    told: dict[str, Any] = json.loads(reply.msg)
                    if told["epoch"] > after:
                        return told
                await asyncio.sleep(0.005)

    @staticmethod
    async def _when(gone: AsyncIterator[int]) -> float:
        while not await anext(gone):
            pass
        return time.monotonic()


def _rows(case: str, takeovers: list[_Takeover], bound: float) -> list[Row]:
    acts = [one.acts for one in takeovers]
    answers = [one.answers for one in takeovers]
    gone = [one.key_gone for one in takeovers]
    takes = [1000 * (one.acts - one.key_gone) for one in takeovers]
    bare = [1000 * (one.bare_taken - one.key_gone) for one in takeovers]
    let_go = "etcd lets the old key go"

    def row(
        figure: str, unit: str, ours: float, yardstick: float, against: str, **more: Any
    ) -> Row:
        return Row(
            subject="failover",
            case=case,
            figure=figure,
            unit=unit,
            ours=ours,
            yardstick=yardstick,
            against=against,
            **more,
        )

    return [
        row(
            "next leader acts, p50",
            "s",
            median(acts),
            median(gone),
            let_go,
            most=bound,
            samples=tuple(acts),
        ),
        row("next leader acts, maximum", "s", max(acts), max(gone), let_go, most=bound),
        row("a client has its answer, p50", "s", median(answers), median(gone), let_go),
        row("a client has its answer, maximum", "s", max(answers), max(gone), let_go),
        row(
            "from the key's end to act, p50",
            "ms",
            median(takes),
            median(bare),
            "bare watch and create-if-absent",
        ),
    ]
