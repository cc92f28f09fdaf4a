"""A session on a real gRPC stream: cancels, deadlines, goodbye, liveness, bad frames."""

import asyncio
import logging
import math
import time

import grpc.aio
import pytest

from grid.deadline import Deadline
from grid.errors import (
    DeadlineExceeded,
    MessageTooLarge,
    OutcomeUnknown,
    PeerUnreachable,
    StreamsUnsupported,
)
from grid.testing import FaultProxy, wait_until
from grid.transport.answer import Reply
from grid.transport.service import SERVICE
from grid.transport.transport import Destination
from grid.wire_pb2 import Delivery, Frame, Hello
from tests.grid.transport.link_kit import (
    Gatekeeper,
    ask,
    ask_many,
    hold,
    link_of,
    outgoing,
    serving,
    transport,
)


async def test_answers_come_to_those_who_asked() -> None:
    datas = [b"%d" % number for number in range(2000)]
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        assert await ask_many(way, address, datas) == datas
    assert gate.seen == datas


async def test_a_cancelled_request_is_taken_back_and_its_answer_dropped() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, service), transport() as way:
        asking = await hold(way, gate, address)
        link = link_of(way)
        asking.cancel()
        await wait_until(lambda: gate.held[b"hold"].cancelled, "the receiver sees it")
        gate.held[b"hold"].resolve("grid.EchoMsg", b"nobody waits")
        assert await ask(way, address) == b"x"
        assert asking.cancelled()
        assert link.session.in_flight == 0
        assert [one.session.in_flight for one in service._links] == [0]


async def test_a_late_answer_is_counted_and_dropped() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        asking = await hold(way, gate, address)
        # The answer leaves before the cancel arrives.
        gate.held[b"hold"].resolve("grid.EchoMsg", b"late")
        asking.cancel()
        link = link_of(way)
        await wait_until(lambda: link.session.late == 1, "the late answer came")
        assert await ask(way, address) == b"x"


async def test_a_deadline_is_the_callers_and_the_receiver_sees_it() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        asking = await hold(way, gate, address, timeout=1.5)
        left = gate.held[b"hold"].at - Deadline.after(0).at
        assert 0 < left <= 1.5
        with pytest.raises(DeadlineExceeded) as caught:
            await asking
        assert "1.5 s" in str(caught.value)
        await wait_until(lambda: gate.held[b"hold"].cancelled, "the receiver sees it")


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_a_deadline_that_has_passed_harms_nobody_else(timeout: float) -> None:
    async with serving(Gatekeeper()) as (address, _), transport() as way:
        await ask(way, address)
        link = link_of(way)
        with pytest.raises(DeadlineExceeded):
            await ask(way, address, receiver="later", timeout=timeout)
        assert await ask(way, address) == b"x"
        assert link_of(way) is link


@pytest.mark.parametrize("timeout", [1e9, math.inf])
async def test_an_endless_timeout_is_one(timeout: float) -> None:
    async with serving(Gatekeeper()) as (address, _), transport() as way:
        assert await ask(way, address, timeout=timeout) == b"x"
        assert await ask(way, address, timeout=timeout) == b"x"


async def test_ten_thousand_deadlines_end_in_time() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        await ask(way, address)
        began, worked = asyncio.get_running_loop().time(), time.process_time()
        datas = [b"%d" % number for number in range(10_000)]
        ends = await ask_many(way, address, datas, receiver="later", timeout=1.5)
        took = asyncio.get_running_loop().time() - began
        assert {type(end) for end in ends} == {DeadlineExceeded}
        assert took >= 1.5
        assert time.process_time() - worked < 3  # other processes' load does not count
        await wait_until(lambda: all(one.cancelled for one in gate.held.values()), "all are seen")


async def test_answers_that_a_lost_lease_catches_in_the_queue_do_not_leave() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        asking = await hold(way, gate, address)
        gate.held[b"hold"].resolve("grid.EchoMsg", b"too late")
        gate.valid = False  # before the writer has had its turn
        with pytest.raises(OutcomeUnknown, match="the lease is lost"):
            await asking


async def test_goodbye_lets_answers_come_and_sends_what_is_new_elsewhere() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, service), transport() as way:
        asking = await hold(way, gate, address)
        parting = link_of(way)
        for link in service._links:
            link.say_goodbye("it stops")
        await wait_until(lambda: parting.parting, "the goodbye came")
        assert await ask(way, address) == b"x"  # on a session of its own
        assert len(way.pools[0].links) == 2
        gate.held[b"hold"].resolve("grid.EchoMsg", b"whole")
        assert await asking == b"whole"
        await wait_until(lambda: parting not in way.pools[0].links, "the old one ends")
        assert link_of(way) is not parting


async def test_a_service_that_stops_with_idle_sessions_stops_at_once() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, service), transport() as way:
        await ask(way, address)
        began = time.monotonic()
        await service.stop(5)
        assert time.monotonic() - began < 4
        await wait_until(lambda: not way.pools[0].links, "the session ends")
        with pytest.raises(PeerUnreachable):
            await ask(way, address, timeout=3)


async def test_nothing_is_written_while_nothing_is_asked() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        await ask(way, address)
        link = link_of(way)
        frames = link.session.sent.frames
        began = time.monotonic()
        await wait_until(lambda: time.monotonic() - began > 2.2, "two looks at the clock")
        assert link.session.sent.frames == frames
        asking = await hold(way, gate, address)
        await wait_until(lambda: link.round_trip > 0, "a ping came back", timeout=5)
        assert link.round_trip < 1
        gate.held[b"hold"].resolve("grid.EchoMsg", b"")
        await asking


async def test_a_cut_is_no_defect_and_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gatekeeper()
    async with (
        serving(gate) as (address, service),
        FaultProxy(address) as proxy,
        transport() as way,
    ):
        for _ in range(5):
            assert await ask(way, proxy.endpoint) == b"x"
            asking = [
                asyncio.create_task(ask(way, proxy.endpoint, b"%d" % n, receiver="later"))
                for n in range(5)
            ]
            await wait_until(lambda: len(gate.held) == 5, "they arrived")
            proxy.cut()
            ends = await asyncio.gather(*asking, return_exceptions=True)
            assert {type(end) for end in ends} == {OutcomeUnknown}
            await wait_until(lambda: not service._links, "the service sees the end")
            assert all(answer.cancelled for answer in gate.held.values())
            gate.held.clear()
            proxy.heal()
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xff\xff"],
        [b""],
        [Frame(number=2, hello=Hello(version=1)).SerializeToString()],
        [Frame(number=1).SerializeToString()],
        [Frame(number=1, exchange=[1], kind=[Frame.REQUEST]).SerializeToString()],
    ],
)
async def test_a_side_that_breaks_the_protocol_loses_its_session_only(frames: list[bytes]) -> None:
    async with serving(Gatekeeper()) as (address, service), transport() as way:
        await ask(way, address)
        async with grpc.aio.insecure_channel(address) as channel:
            opening: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
            opening = channel.stream_stream(f"/{SERVICE}/Session")
            call = opening()
            for frame in frames:
                await call.write(frame)
            await asyncio.wait_for(_drain(call), 5)
        assert await ask(way, address) == b"x"
        assert len(service._links) == 1


async def _drain(call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
    try:
        while isinstance(await call.read(), bytes):
            pass
    except grpc.aio.AioRpcError:
        pass


async def test_a_message_over_the_other_sides_limit_is_not_sent() -> None:
    async with serving(Gatekeeper(), max_message_bytes=1000) as (address, _), transport() as way:
        with pytest.raises(MessageTooLarge) as caught:
            await ask(way, address, bytes(1001))
        assert (caught.value.size, caught.value.limit) == (1001, 1000)
        assert await ask(way, address, bytes(1000)) == bytes(1000)


async def test_a_peer_without_sessions_is_asked_by_single_calls() -> None:
    gate = Gatekeeper()

    async def process(data: bytes, _: object) -> bytes:
        reply: Reply = await gate.deliver(Delivery.FromString(data), None)
        return Delivery(typeName=reply[0], data=reply[1]).SerializeToString()

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Process": grpc.unary_unary_rpc_method_handler(process)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with transport() as way:
        datas = [b"%d" % number for number in range(20)]
        assert await ask_many(way, address, datas) == datas
        to = Destination(address, "", True)
        with pytest.raises(StreamsUnsupported):
            await way.stream(to, outgoing(), Deadline.after(5))
        before = len(gate.seen)
        await way.tell(to, outgoing(), Deadline.after(5))
        assert len(gate.seen) == before + 1
    await server.stop(0)
