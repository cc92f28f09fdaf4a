"""Names: one peer opens 10,000 mailboxes at once, a client finds them, a watch sees them go.

Each round starts a new peer, which is killed at its end. The yardsticks run
against the same etcd: the best and the plainest way to put as many keys, a bare
range read, and, in every other round, a bare watch in the place of ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass, field

from bench.model import Progress, Row, Size, median
from bench.processes import Child
from bench.raw_etcd import RawEtcd
from grid import Client, EntityLost, Kind
from grid.embedded import Etcd

__all__ = ["measure"]

_LEASE = 2.0
_ONE_BY_ONE = 1_000
_QUERIES = 5
_VALUE = b"v" * 110  # about what a registration takes


@dataclass(slots=True)
class _Times:
    """Seconds, one value a round."""

    opened: list[float] = field(default_factory=list)
    nested: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    query: list[float] = field(default_factory=list)
    range_read: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    gone_bare: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    times = _Times()
    for number in range(max(2, size.rounds)):
        progress(f"names: round {number + 1} of {max(2, size.rounds)}")
        async with Etcd() as etcd:
            await _round(etcd.endpoint, size.names, times, ours_watches=number % 2 == 0)
    return _rows(size.names, times)


async def _round(etcd: str, names: int, times: _Times, *, ours_watches: bool) -> None:
    async with (
        RawEtcd(etcd) as raw,
        Client("bench", etcd=etcd) as client,
        Child("names_peer", namespace="bench", etcd=etcd, lease=_LEASE, names=names) as peer,
    ):
        if ours_watches:
            await _write_bare(raw, names, times)
        times.opened.append((await peer.ask("open"))["seconds"])
        if not ours_watches:
            await _write_bare(raw, names, times)
        for _ in range(_QUERIES):
            times.query.append(await _seconds(client.query(Kind.MAILBOX)))
            times.range_read.append(await _seconds(raw.count("bench.mailbox.")))
        found = len(await client.query(Kind.MAILBOX))
        if found != names + 1:  # and the peer's own
            raise RuntimeError(f"{found} mailboxes are there, not {names + 1}")
        watcher = _client_losses(client) if ours_watches else raw.deletes("bench.mailbox.")
        first_to_last, total = await _kill(etcd, peer, watcher, names + 1)
        (times.gone if ours_watches else times.gone_bare).append(first_to_last)
        if ours_watches:
            times.total.append(total)


async def _write_bare(raw: RawEtcd, names: int, times: _Times) -> None:
    lease = await raw.grant(60)
    keys = [f"raw.mailbox.m{number}" for number in range(names)]
    times.nested.append(await _seconds(raw.create_nested(keys, _VALUE, lease)))
    await raw.revoke(lease)
    lease = await raw.grant(60)
    began = time.perf_counter()
    for key in keys[:_ONE_BY_ONE]:
        await raw.create(key, _VALUE, lease)
    times.single.append((time.perf_counter() - began) * names / min(names, _ONE_BY_ONE))
    await raw.revoke(lease)


async def _client_losses(client: Client) -> AsyncGenerator[int, None]:
    """As `RawEtcd.deletes`, by the client's watch: first a 0 when it has listed all."""
    async with client.watch(Kind.MAILBOX) as events:
        listed = asyncio.create_task(client.query(Kind.MAILBOX))
        waiting = len(await listed)
        async for event in events:
            if isinstance(event, EntityLost):
                yield 1
                continue
            waiting -= 1
            if waiting == 0:
                yield 0


async def _kill(
    etcd: str, peer: Child, watcher: AsyncGenerator[int, None], names: int
) -> tuple[float, float]:
    """Seconds from the first key gone to the last one reported, and from the kill.

    When the keys go is looked at from another process, for this one is busy then.
    """
    key = f"bench.peer.{peer.told['name']}"
    lost = 0
    async with Child("key_watch", etcd=etcd, key=key) as expiry, aclosing(watcher) as losses:
        await anext(losses)
        peer.kill()
        killed = time.monotonic()
        while lost < names:
            lost += await anext(losses)
        seen = time.monotonic()
        return seen - (await expiry.ask("when"))["gone"], seen - killed


async def _seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _rows(names: int, times: _Times) -> list[Row]:
    case = f"{names:,} mailboxes"
    opened, query = median(times.opened), median(times.query)

    def row(
        figure: str, ours: float, bare: float | None, against: str, most: float | None = None
    ) -> Row:
        return Row(
            subject="names",
            case=case,
            figure=figure,
            unit="s",
            ours=ours,
            yardstick=bare,
            against=against,
            most=most,
        )

    return [
        row(
            "one peer opens them",
            opened,
            median(times.nested),
            "raw nested transactions of 100, 8 under way",
            1.0,
        ),
        row(
            "one peer opens them",
            opened,
            median(times.single),
            f"raw create-if-absent one by one, from {min(names, _ONE_BY_ONE):,}",
        ),
        row("a client's query", query, median(times.range_read), "raw range read", 0.2),
        row(
            "kill -9: from a key's end to the last EntityLost",
            median(times.gone),
            median(times.gone_bare),
            "raw watch, its last delete",
        ),
        row(
            f"kill -9 to the last EntityLost, at most (lease {_LEASE:g} s)",
            max(times.total),
            None,
            "",
            _LEASE + 1.0,
        ),
    ]
