"""Messages without an answer: items of a stream, against bare gRPC's, and tells."""

from __future__ import annotations

from typing import Any

from bench.model import Progress, Row, Size, median
from bench.processes import Child, quietest
from bench.talk import notice
from grid import Client

__all__ = ["measure"]

_MAILBOX = 65_536
_STREAM_RATIO = 10.0
_SENDERS = 128
_AWAY = "to another process"
_WORDS = ("stream", "tell")
_Rates = list[tuple[float, float]]  # ours and theirs, a pair each round


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part; a word on stderr for what the grid does not have."""
    there = [word for word in _WORDS if hasattr(Client, word)]
    for word in _WORDS:
        if word in there:
            continue
        notice(f"client.{word} is not there yet; its rows are left out")
    rows: list[Row] = []
    if "stream" in there:
        rows.append(_stream_row(await _streams(etcd, size, progress)))
    if "tell" in there:
        rows += await _tells(etcd, size, progress)
    return rows


async def _streams(etcd: str, size: Size, progress: Progress) -> _Rates:
    rates: _Rates = []
    given: dict[str, Any] = {"namespace": "streams", "etcd": etcd, "mailbox": _MAILBOX}
    async with (
        Child("sinks.peer", **given),
        Child("sinks.bare_server") as server,
        Child("sinks.ours", **given) as ours,
        Child("sinks.bare", address=server.told["address"]) as bare,
    ):
        for number in range(size.rounds):
            progress(f"transport: streams, round {number + 1} of {size.rounds}")
            rates.append(await _pair(ours, bare, f"stream 1 {size.seconds}", number % 2 == 1))
    return rates


async def _tells(etcd: str, size: Size, progress: Progress) -> list[Row]:
    rates: dict[tuple[str, int], _Rates] = {}
    given: dict[str, Any] = {"namespace": "tells", "etcd": etcd, "mailbox": _MAILBOX}
    async with (
        Child("sinks.peer", **given),
        Child("sinks.ours", **given) as away,
        Child("sinks.at_home", **{**given, "namespace": "home"}) as home,
        Child("sinks.queue") as queue,
    ):
        cases = [(_AWAY, 1, away), (_AWAY, _SENDERS, away), ("inside one process", 1, home)]
        for number in range(size.rounds):
            progress(f"transport: tells, round {number + 1} of {size.rounds}")
            for case, senders, side in cases:
                order = f"tell {senders} {size.seconds}"
                pair = await _pair(side, queue, order, number % 2 == 1)
                rates.setdefault((case, senders), []).append(pair)
    return [_tell_row(case, senders, of) for (case, senders), of in rates.items()]


async def _pair(ours: Child, theirs: Child, order: str, theirs_first: bool) -> tuple[float, float]:
    async def both() -> tuple[float, float]:
        sides = [theirs, ours] if theirs_first else [ours, theirs]
        told = [await side.ask(order) for side in sides]
        for one in told:
            if one["lost"]:
                notice(f"{one['lost']} of {one['sent']} did not arrive ({order})")
        rates = [float(one["rate"]) for one in told]
        return (rates[1], rates[0]) if theirs_first else (rates[0], rates[1])

    return await quietest(both)


def _stream_row(rates: _Rates) -> Row:
    return _row("1 stream", "items one way", "bare grpc.aio stream", rates, _STREAM_RATIO)


def _tell_row(case: str, senders: int, rates: _Rates) -> Row:
    figure = f"tells of {senders} sender" + ("s" if senders > 1 else "")
    return _row(case, figure, "an asyncio.Queue, put and get", rates, None)


def _row(case: str, figure: str, against: str, rates: _Rates, least: float | None) -> Row:
    ours, theirs = zip(*rates, strict=True)
    return Row(
        subject="transport",
        case=case,
        figure=figure,
        unit="/s",
        ours=median(ours),
        yardstick=median(theirs),
        against=against,
        least_ratio=least,
        ratios=tuple(one / other for one, other in rates),
    )
