"""The subject `transport`: its pure parts, and all of it at a very small size."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from xml.dom import minidom

import pytest

from bench import calls, peers, raw_tcp
from bench.picture import transport_svg
from bench.processes import Child, descendants
from bench.running import Load
from bench.ticking import TICK, arrive, poisson
from grid import Client, EchoMsg
from tests.bench.kit import BUSY, rows_of

pytestmark = BUSY
TINY = ("--quick", "--rounds", "1", "--seconds", "0.05", "--mib", "1", "--actors", "200")


def load(rate: float) -> Load:
    return Load(rate, p50=1 / rate, p99=2 / rate, calls=round(rate))


def pairs(names: tuple[str, ...], ours: float = 9_000.0, theirs: float = 1_000.0) -> calls.Pairs:
    return {
        (name, callers): [(load(ours), load(theirs))] for name in names for callers in (1, 16, 128)
    }


# -- rows and pictures ---------------------------------------------------------------


def test_requests_are_held_against_every_yardstick_in_order() -> None:
    rows = calls.rows_of(pairs(("Redis lists", "Pyro5, marshal", calls.BARE)))
    assert [row.against for row in rows[::4]] == [calls.BARE, "Pyro5, marshal", "Redis lists"]
    bare = [(row.case, row.figure, row.required, row.met) for row in rows[:4]]
    assert bare == [
        ("1 caller", "request, p50", "ratio <= 0.4", True),
        ("1 caller", "requests", "", None),
        ("16 callers", "requests", "ratio >= 8", True),
        ("128 callers", "requests", "ratio >= 20", False),
    ]
    assert {row.required for row in rows[4:8]} == {"ratio <= 1.5", "", "ratio >= 1"}


def test_the_ratio_of_a_round_is_that_of_its_pair() -> None:
    measured = {(calls.BARE, 16): [(load(10), load(1)), (load(4), load(2)), (load(9), load(1))]}
    (row,) = calls.rows_of(measured)
    assert row.ratios == (10.0, 2.0, 9.0)
    assert row.met


def test_the_picture_has_a_lane_for_each_system() -> None:
    svg = transport_svg(calls.rows_of(pairs((calls.BARE, "NATS request"))))
    minidom.parseString(svg)  # noqa: S318 - made here
    assert svg.count("<circle") == 9
    for name in ("this grid", "bare grpc.aio unary", "NATS request", "1,000"):
        assert name in svg
    assert transport_svg([]) == ""


# -- other systems ---------------------------------------------------------------------


def test_a_system_that_is_not_installed_is_skipped_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = peers.Peer(name="Nothing", module="n", imports="no_such", get="pip install nothing")
    no_command = peers.Peer(name="No", module="c", imports="json", command="no-such", get="apt")
    there = peers.Peer(name="Json", module="j", imports="json", get="it is there")
    monkeypatch.setattr(calls, "PEERS", (absent, no_command, there))
    assert calls.installed(None) == [there]
    assert (
        "Nothing is skipped, for it is not installed: pip install nothing"
        in capsys.readouterr().err
    )
    assert calls.installed(()) == []
    assert capsys.readouterr().err == ""


def test_other_systems_keep_their_own_settings_of_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", "-something")
    assert "GRPC_EXPERIMENTS" not in peers.environment()


# -- raw TCP ---------------------------------------------------------------------------


def test_frames_are_found_however_they_are_cut() -> None:
    sent = [raw_tcp.Batch(id=[number] * number) for number in range(1, 6)]
    wire = b"".join(map(raw_tcp.frame, sent))
    for size in (1, 3, 7, len(wire)):
        frames = raw_tcp.Frames()
        parts = (wire[start : start + size] for start in range(0, len(wire), size))
        assert [batch for part in parts for batch in frames.feed(part)] == sent


async def test_the_raw_caller_gets_each_answer_once() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(raw_tcp.Echoer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, caller = await loop.create_connection(raw_tcp.Caller, "127.0.0.1", port)
    asked = [caller.call(EchoMsg(msg=str(number))) for number in range(1_000)]
    answers = await asyncio.gather(*asked)
    assert [answer.msg for answer in answers] == [str(number) for number in range(1_000)]
    transport.close()
    server.close()
    await server.wait_closed()


# -- the open loop -----------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.5, 5.0, 100.0])
def test_arrivals_have_the_mean_and_the_spread_of_poisson(mean: float) -> None:
    chance = random.Random(1)
    drawn = [poisson(chance, mean) for _ in range(4_000)]
    found = sum(drawn) / len(drawn)
    spread = sum((one - found) ** 2 for one in drawn) / len(drawn)
    assert found == pytest.approx(mean, rel=0.1)
    assert spread == pytest.approx(mean, rel=0.15)


@pytest.mark.parametrize("busy", [False, True])
async def test_latency_counts_from_the_moment_that_an_arrival_was_due(busy: bool) -> None:
    loop = asyncio.get_running_loop()
    sent = 0

    def send() -> asyncio.Future[object]:
        nonlocal sent
        sent += 1
        answer: asyncio.Future[object] = loop.create_future()
        loop.call_later(0.02, answer.set_result, None)
        return answer

    arrivals = await arrive(send, 2_000, 0.2, busy=busy, seed=3)
    assert sent == pytest.approx(arrivals.offered * 0.2)
    assert arrivals.failed == 0
    assert 0.02 - TICK < arrivals.p50 <= arrivals.p99


async def test_a_failed_request_counts_as_one_that_took_all_the_time() -> None:
    loop = asyncio.get_running_loop()

    def send() -> asyncio.Future[object]:
        answer: asyncio.Future[object] = loop.create_future()
        answer.set_exception(OSError("refused"))
        return answer

    arrivals = await arrive(send, 1_000, 0.05, busy=False, seed=4)
    assert arrivals.failed == round(arrivals.offered * 0.05)
    assert arrivals.p50 >= 0.05


# -- processes -----------------------------------------------------------------------------


async def test_the_processes_below_one_are_found_and_gone_when_they_failed() -> None:
    before = descendants(os.getpid())
    async with Child("relay.serve", port=0, target=0) as child:
        assert child.pid in descendants(os.getpid())
    with pytest.raises(RuntimeError, match="ended early"):
        await Child("relay.no_such_role").start()
    assert descendants(os.getpid()) == before


async def test_all_of_it(tmp_path: Path) -> None:
    rows = await rows_of(tmp_path, "transport", *TINY, "--peers", "")
    assert {row["subject"] for row in rows} == {"transport"}
    assert all(row["ours"] > 0 for row in rows)
    figures = {row["figure"] for row in rows}
    assert figures >= {
        "request, p50",
        "requests",
        "latency p50",
        "latency p99",
        "requests to a mailbox of the same process",
        "memory of one, with its mailbox",
        "one message, to its Ack",
        "broadcast, to the last answer",
        "bytes on the wire of a request and its reply",
    }
    assert ("items one way" in figures) == hasattr(Client, "stream")
    assert ("tells of 1 sender" in figures) == hasattr(Client, "tell")
    assert {row["against"] for row in rows if row["figure"] == "requests"} == {
        calls.BARE,
        calls.RAW_TCP,
    }
