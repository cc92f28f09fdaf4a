"""Many callers over sessions that are cut all the time.

Three seconds of it; `GRID_SOAK_SECONDS=60` for more, with `-s` to read the figures.
"""

import asyncio
import gc
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import DeadlineExceeded, EtcdUnavailable, NotDelivered, OutcomeUnknown
from grid.testing import FaultProxy
from grid.wire_pb2 import EchoMsg

SECONDS = float(os.environ.get("GRID_SOAK_SECONDS", "3"))
CALLERS = 128
CUT_EVERY = 1.0
TIMEOUTS = (0.2, 1.0, 4.0)
LATEST = 0.75  # seconds past a deadline, beyond the longest stall of the event loop
STALL_TICK = 0.02  # seconds between looks at how late the event loop is
GROWTH = 40 * 1024 * 1024
LARGE = "x" * 3_000_000


@dataclass
class Soak:
    """Outcomes of all requests."""

    ends: Counter[str] = field(default_factory=Counter)
    latest: float = 0.0
    acted: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@pytest.fixture
async def proxied(
    grid_etcd: Etcd, grid_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[grid.Client, FaultProxy, Soak]]:
    """A client, its way to the mailbox "m", and what happens there."""
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    soak = Soak()

    async def serve(mailbox: grid.Mailbox) -> None:
        async for request in mailbox:
            number = int(request.message.msg.partition(" ")[0])  # type: ignore[attr-defined]
            if request.metadata.get("once"):
                soak.acted[number] += 1
            if number % 7 == 0:
                await asyncio.sleep(0)
            request.respond(EchoMsg(msg=str(number)))

    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with FaultProxy(listen) as proxy:
        server = grid.Server(
            grid_namespace,
            etcd=grid_etcd.endpoint,
            listen=listen,
            advertise=proxy.endpoint,
            lease=30,
        )
        async with server, grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
            mailbox = await server.open_mailbox("m", size=10_000)
            serving = asyncio.create_task(serve(mailbox))
            yield client, proxy, soak
            await mailbox.close()
            await serving


async def _call(client: grid.Client, soak: Soak, number: int, chance: random.Random) -> None:
    timeout = chance.choice(TIMEOUTS)
    idempotent = chance.random() < 0.3
    large = " " + LARGE if chance.random() < 0.0005 else ""
    began = time.monotonic()
    try:
        reply = await client.request(
            "m",
            EchoMsg(msg=f"{number}{large}"),
            reply=EchoMsg,
            timeout=timeout,
            idempotent=idempotent,
            metadata=None if idempotent else {"once": "1"},
        )
    except (OutcomeUnknown, DeadlineExceeded, NotDelivered, EtcdUnavailable) as error:
        kind = "not delivered" if isinstance(error, NotDelivered) else type(error).__name__
        soak.ends[kind] += 1
        never_sent = isinstance(error, NotDelivered | EtcdUnavailable)
        if never_sent and soak.acted[number]:
            soak.wrong.append(f"{number} was acted on, and ended as {error!r}")
    else:
        soak.ends["answered"] += 1
        if reply.msg != str(number):
            soak.wrong.append(f"{number} was answered as {reply.msg}")
    if soak.acted.pop(number, 0) > 1:
        soak.wrong.append(f"{number} was acted on twice")
    soak.latest = max(soak.latest, time.monotonic() - began - timeout)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(SECONDS + 60)
async def test_each_request_ends_once_and_in_time_while_sessions_are_cut(
    proxied: tuple[grid.Client, FaultProxy, Soak], capsys: pytest.CaptureFixture[str]
) -> None:
    client, proxy, soak = proxied
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    asked = 0
    until = time.monotonic() + SECONDS

    async def caller() -> None:
        nonlocal asked
        while time.monotonic() < until:
            asked += 1
            await _call(client, soak, asked, chance)

    stall = 0.0  # no deadline can be kept while other processes have the processor

    async def watch_for_stalls() -> None:
        nonlocal stall
        while True:
            due = time.monotonic() + STALL_TICK
            await asyncio.sleep(STALL_TICK)
            stall = max(stall, time.monotonic() - due)

    sizes: list[int] = []

    async def cutter() -> None:
        while time.monotonic() < until:
            await asyncio.sleep(CUT_EVERY * chance.uniform(0.5, 1.5))
            proxy.cut()
            await asyncio.sleep(0.1 * chance.random())
            proxy.heal()
            sizes.append(_resident())

    watch = asyncio.create_task(watch_for_stalls())
    await asyncio.gather(cutter(), *(caller() for _ in range(CALLERS)))
    watch.cancel()
    settled = sizes[len(sizes) // 3 :] or sizes
    growth = settled[-1] - settled[0]
    with capsys.disabled():
        if SECONDS > 10:
            print(
                f"\nseed {seed}: {asked} requests over {proxy.accepted} connections, "
                f"{dict(soak.ends)}, latest {soak.latest:+.3f} s after its deadline, "
                f"resident {settled[0] >> 20} to {settled[-1] >> 20} MiB"
            )
    assert soak.wrong == []
    assert sum(soak.ends.values()) == asked
    assert soak.ends["answered"] > asked / 2
    assert soak.ends["OutcomeUnknown"] > 0
    assert soak.latest < LATEST + stall
    assert growth < GROWTH
