"""Bytes on the wire of one request and its reply, in the steady state.

What TCP carries, both directions together, without the headers of TCP and IP: a
relay between client and server counts it. A peer that advertises an address
of its own choice is reached by that, so its clients come through the relay.
"""

from __future__ import annotations

from typing import Any

from bench.calls import BARE, load
from bench.model import Progress, Row, Size, callers_case, median
from bench.processes import Child
from grid.embedded.ports import free_ports

__all__ = ["measure"]

_CALLERS = (1, 128)
_WARM = 0.2
_Bytes = dict[tuple[str, int], list[float]]


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part."""
    found: _Bytes = {}
    listens, relays, bare_listens, bare_relays = free_ports(4)
    given: dict[str, Any] = {"namespace": "bytes", "etcd": etcd}
    addresses: dict[str, Any] = {
        "listen": f"127.0.0.1:{listens}",
        "advertise": f"127.0.0.1:{relays}",
    }
    async with (
        Child("relay.serve", port=relays, target=listens) as relay,
        Child("relay.serve", port=bare_relays, target=bare_listens) as bare_relay,
        Child("bare_echo", port=bare_listens),
        Child("echo_peer", **given, **addresses),
        Child("drivers.ours", **given) as ours,
        Child("drivers.bare", address=f"127.0.0.1:{bare_relays}") as bare,
    ):
        for number in range(min(3, size.rounds)):
            progress(f"transport: bytes on the wire, round {number + 1}")
            for callers in _CALLERS:
                for side, driver, counter in (("ours", ours, relay), ("bare", bare, bare_relay)):
                    passed = await _per_call(driver, counter, callers, size.seconds / 2)
                    found.setdefault((side, callers), []).append(passed)
    return [_row(found, callers) for callers in _CALLERS]


async def _per_call(driver: Child, relay: Child, callers: int, seconds: float) -> float:
    await load(driver, callers, min(_WARM, seconds))
    before = (await relay.ask("count"))["bytes"]
    calls = (await load(driver, callers, seconds)).calls
    passed: int = (await relay.ask("count"))["bytes"] - before
    assert passed > 0, "the client did not come through the relay"
    return passed / calls


def _row(found: _Bytes, callers: int) -> Row:
    ours, bare = found["ours", callers], found["bare", callers]
    return Row(
        subject="transport",
        case=callers_case(callers),
        figure="bytes on the wire of a request and its reply",
        unit="bytes",
        ours=median(ours),
        yardstick=median(bare),
        against=BARE,
        most_ratio=1.0,
        ratios=tuple(one / other for one, other in zip(ours, bare, strict=True)),
    )
