"""A server's filters and interceptors see each message that comes to it, in all ways."""

import asyncio
import logging
from typing import Any

import pytest

import grid
from grid.errors import (
    Filtered,
    MessageTooLarge,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    StreamClosed,
)
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid

Out = grid.OutgoingCall
In = grid.IncomingCall
ProceedOut = grid.Proceed[grid.OutgoingCall]
ProceedIn = grid.Proceed[grid.IncomingCall]


async def test_a_filter_of_the_receiver_skips(peer: EchoGrid, way: str) -> None:
    asked: list[tuple[str, str]] = []

    async def for_bob(call: In) -> bool:
        asked.append((call.name, call.kind))
        return call.metadata.get("user") == "bob"

    await peer.start(way, filters=[for_bob])
    client = peer.client()
    assert await client.request("echo", EchoMsg(msg="hi"), metadata={"user": "bob"})
    with pytest.raises(Filtered, match=r"filter of the receiver.*'echo'") as caught:
        await client.request("echo", EchoMsg(), idempotent=True, wait=True)
    assert not caught.value.retryable
    assert isinstance(caught.value, grid.errors.NotDelivered)
    assert (caught.value.name, caught.value.side) == ("echo", "receiver")
    assert asked == [("echo", "request"), ("echo", "request")]
    assert peer.seen == [("hi", {"user": "bob"})]


async def test_a_server_sees_what_comes_and_what_goes(peer: EchoGrid, way: str) -> None:
    told: list[Any] = []

    async def outer(call: In, proceed: ProceedIn) -> Any:
        assert call.deadline is not None
        told.append((call.name, call.kind, dict(call.metadata), call.deadline.remaining() > 3))
        call.metadata["seen"] = "yes"
        return await proceed(call)

    async def inner(call: In, proceed: ProceedIn) -> Any:
        told.append(call.metadata["seen"])
        call.message = EchoMsg(msg=f"<{call.message.msg}>")  # type: ignore[attr-defined]
        reply = await proceed(call)
        told.append(reply.msg)
        reply.msg += "!"
        return reply

    await peer.start(way, interceptors=[outer, inner])
    client = peer.client()
    reply = await client.request(
        "echo", EchoMsg(msg="hi"), metadata={"user": "bob"}, reply=EchoMsg, timeout=5
    )
    assert reply.msg == "<hi>!"
    assert told == [("echo", "request", {"user": "bob"}, True), "yes", "<hi>"]
    assert peer.seen == [("<hi>", {"user": "bob", "seen": "yes"})]


async def test_a_server_may_refuse_or_answer_itself(
    peer: EchoGrid, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def guard(call: In, proceed: ProceedIn) -> Any:
        match call.metadata.get("want"):
            case "grid":
                raise RequestFailed("no token", "UNAUTHENTICATED")
            case "busy":
                raise ReceiverBusy(call.name, 3)
            case "other":
                raise PermissionError("not you")
            case "nothing":
                return None
            case "large":
                return EchoMsg(msg="x" * 2000)
        return EchoMsg(msg="from the guard")

    await peer.start(way, interceptors=[guard], max_message_bytes=1000)
    client = peer.client(retry=grid.Retry(attempts=1))

    async def ask(want: str) -> Any:
        return await client.request("echo", EchoMsg(), metadata={"want": want})

    assert await ask("answer") == EchoMsg(msg="from the guard")
    with pytest.raises(RequestFailed, match="no token") as caught:
        await ask("grid")
    assert caught.value.code == "UNAUTHENTICATED"
    with pytest.raises(ReceiverBusy) as busy:
        await ask("busy")
    assert busy.value.size == 3
    with pytest.raises(RequestFailed, match="not you"):
        await ask("other")
    assert "not you" in caplog.text
    with pytest.raises(RequestFailed, match="did not return a reply"):
        await ask("nothing")
    with pytest.raises(MessageTooLarge):
        await ask("large")
    assert not peer.seen


async def test_a_servers_interceptor_has_the_owners_error(peer: EchoGrid, way: str) -> None:
    seen: list[str] = []

    async def note(call: In, proceed: ProceedIn) -> Any:
        try:
            return await proceed(call)
        except grid.GridError as error:
            seen.append(type(error).__name__)
            raise

    await peer.start(way, interceptors=[note])
    async with peer.server.open_mailbox("m") as mailbox:
        client = peer.client()
        sent = client.send("m", EchoMsg())
        (await anext(mailbox)).fail("out of stock", code="FAILED_PRECONDITION")
        with pytest.raises(RequestFailed, match="out of stock"):
            await sent
        sent = client.send("m", EchoMsg())
        await anext(mailbox)  # and lets go of it
        with pytest.raises(RequestDropped):
            await sent
    assert seen == ["RequestFailed", "RequestDropped"]


async def test_a_callers_leave_cancels_a_servers_interceptor(peer: EchoGrid, way: str) -> None:
    ends: list[str] = []
    began = asyncio.Event()

    async def slow(call: In, proceed: ProceedIn) -> Any:
        try:
            if call.name == "before":
                began.set()
                await asyncio.sleep(30)
            return await proceed(call)
        except asyncio.CancelledError:
            ends.append(call.name)
            raise

    await peer.start(way, interceptors=[slow])
    client = peer.client()
    async with (
        peer.server.open_mailbox("before", size=1),
        peer.server.open_mailbox("after") as after,
    ):
        for _ in range(3):  # each makes room for the next
            sent = client.send("before", EchoMsg())
            await began.wait()
            began.clear()
            sent.cancel()
            await wait_until(lambda: len(ends) > 0, "the interceptor was cancelled")
            assert ends.pop() == "before"
        sent = client.send("after", EchoMsg())
        request = await anext(after)
        sent.cancel()
        assert await asyncio.wait_for(request.until_cancelled(), 5)
        await wait_until(lambda: ends == ["after"], "the interceptor was cancelled")


async def test_what_a_servers_interceptors_hold_is_bounded(peer: EchoGrid, way: str) -> None:
    go_on = asyncio.Event()

    async def wait(call: In, proceed: ProceedIn) -> Any:
        await go_on.wait()
        return await proceed(call)

    await peer.start(way, interceptors=[wait])
    await peer.serve("small", size=2)
    await asyncio.sleep(0)  # its reader waits, and is one more place
    client = peer.client(retry=grid.Retry(attempts=1))
    asking = [asyncio.ensure_future(client.send("small", EchoMsg())) for _ in range(10)]
    await wait_until(lambda: sum(one.done() for one in asking) == 7, "what is too much fails")
    go_on.set()
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert sum(isinstance(end, ReceiverBusy) for end in ends) == 7
    assert sum(isinstance(end, EchoMsg) for end in ends) == 3


async def test_one_sender_is_served_in_order(peer: EchoGrid, way: str) -> None:
    async def through(call: In, proceed: ProceedIn) -> Any:
        return await proceed(call)

    async def keep(call: In) -> bool:
        return True

    await peer.start(way, interceptors=[through, through], filters=[keep])
    client = peer.client()
    await client.request("echo", EchoMsg(msg="first"))
    peer.seen.clear()
    if way == "session":  # the other ways promise no order of what is under way together
        await asyncio.gather(*(client.send("echo", EchoMsg(msg=str(i))) for i in range(10)))
    else:
        for i in range(10):
            await client.request("echo", EchoMsg(msg=str(i)))
    assert [msg for msg, _ in peer.seen] == [str(i) for i in range(10)]


async def test_a_server_sees_tells_and_openings(peer: EchoGrid, stream_way: str) -> None:
    kinds: list[tuple[str, Any]] = []

    async def note(call: In, proceed: ProceedIn) -> Any:
        call.metadata["kind"] = call.kind
        outcome = await proceed(call)
        kinds.append((call.kind, outcome))
        return outcome

    await peer.start(stream_way, interceptors=[note])
    client = peer.client()
    await client.tell("echo", EchoMsg(msg="told"))
    async with client.stream("echo", EchoMsg(msg="opened")) as stream:
        await stream.send(EchoMsg(msg="item"))
        assert await stream.receive() == EchoMsg(msg="item")
    assert kinds == [("tell", None), ("stream", None)]
    assert peer.seen == [("told", {"kind": "tell"}), ("opened", {"kind": "stream"})]


async def test_a_server_may_refuse_streams_and_tells(
    peer: EchoGrid, stream_way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(call: In, proceed: ProceedIn) -> Any:
        if call.message == EchoMsg(msg="forgotten"):
            return None
        if call.message == EchoMsg(msg="late"):
            await proceed(call)
        raise RequestFailed(f"no {call.kind}s here")

    await peer.start(stream_way, interceptors=[refuse])
    client = peer.client()
    with pytest.raises(RequestFailed, match="no streams here"):
        await client.stream("echo", EchoMsg())
    with pytest.raises(RequestFailed, match="did not proceed"):
        await client.stream("echo", EchoMsg(msg="forgotten"))
    await client.tell("echo", EchoMsg(msg="refused"))
    await client.tell("echo", EchoMsg(msg="late"))
    await wait_until(lambda: len(peer.seen) > 0, "the tell that proceeded")
    assert peer.seen == [("late", {})]


async def test_a_stream_that_the_owner_refuses(peer: EchoGrid, stream_way: str) -> None:
    async def through(call: In, proceed: ProceedIn) -> Any:
        return await proceed(call)

    await peer.start(stream_way, interceptors=[through])
    client = peer.client()
    async with peer.server.open_mailbox("m") as mailbox:
        opening = asyncio.ensure_future(client.stream("m", EchoMsg()))
        (await anext(mailbox)).fail("no")
        with pytest.raises(RequestFailed, match="no"):
            await opening
        opening = asyncio.ensure_future(client.stream("m", EchoMsg()))
        request = await anext(mailbox)
        opening.cancel()
        assert await asyncio.wait_for(request.until_cancelled(), 5)
        with pytest.raises(StreamClosed):
            request.accept()


async def test_a_servers_interceptor_may_deliver_again(peer: EchoGrid, way: str) -> None:
    async def persist(call: In, proceed: ProceedIn) -> Any:
        while True:
            try:
                return await proceed(call)
            except RequestDropped:
                continue

    await peer.start(way, interceptors=[persist])
    async with peer.server.open_mailbox("m") as mailbox:
        sent = peer.client().send("m", EchoMsg())
        await anext(mailbox)  # and lets go of it
        (await anext(mailbox)).ack()
        assert await sent == grid.Ack()


async def test_a_server_that_stops_answers_what_its_interceptors_hold(
    peer: EchoGrid, way: str
) -> None:
    held: list[str] = []

    async def hold(call: In, proceed: ProceedIn) -> Any:
        if call.name == "before":
            held.append(call.name)
            await asyncio.sleep(30)
        reply = await proceed(call)
        if call.name == "after":
            held.append(call.name)
            await asyncio.sleep(30)
        return reply

    await peer.start(way, interceptors=[hold], drain_timeout=0.5)
    await peer.serve("before")
    await peer.serve("after")
    client = peer.client(retry=grid.Retry(attempts=1))
    before, after = (client.send(name, EchoMsg(), timeout=30) for name in ("before", "after"))
    await wait_until(lambda: sorted(held) == ["after", "before"], "both are held")
    await asyncio.wait_for(peer.server.stop(), 10)
    ends = await asyncio.gather(before, after, return_exceptions=True)
    assert isinstance(ends[0], grid.errors.NotDelivered | grid.errors.OutcomeUnknown)
    assert isinstance(ends[1], grid.errors.OutcomeUnknown)


async def test_a_reply_under_way_through_interceptors_is_waited_for_at_a_stop(
    peer: EchoGrid, way: str
) -> None:
    came, go_on = asyncio.Event(), asyncio.Event()

    async def linger(call: In, proceed: ProceedIn) -> Any:
        reply = await proceed(call)
        came.set()
        await go_on.wait()
        return reply

    await peer.start(way, interceptors=[linger], drain_timeout=30.0)
    sent = peer.client().send("echo", EchoMsg(msg="hi"))
    await came.wait()
    stopping = asyncio.create_task(peer.server.stop())
    await wait_until(lambda: str(peer.server.state) == "draining", "it drains")
    go_on.set()
    await stopping
    assert await sent == EchoMsg(msg="hi")


async def test_an_interceptors_time_on_a_tell_is_the_senders(
    peer: EchoGrid, stream_way: str, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    async def hang(call: In, proceed: ProceedIn) -> Any:
        try:
            await asyncio.sleep(30)
        finally:
            ends.append(call.kind)

    await peer.start(stream_way, interceptors=[hang])
    await peer.client().tell("echo", EchoMsg(), timeout=0.3)
    await wait_until(lambda: ends == ["tell"], "the interceptor was cancelled")
    assert logging.WARNING not in {record.levelno for record in caplog.records}


async def test_without_any_there_is_nothing_in_the_way(peer: EchoGrid) -> None:
    await peer.start()
    assert peer.client()._interception is None
    assert peer.server._started().peer.dispatcher.interception is None
