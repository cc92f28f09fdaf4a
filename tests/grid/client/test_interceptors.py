"""A client's filters and interceptors see each message that it sends, in all ways."""

import asyncio
import contextlib
from typing import Any

import pytest

import grid
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    Filtered,
    IncompleteBroadcast,
    InvalidArgument,
    MessageTooLarge,
    RequestFailed,
    UnexpectedReply,
)
from grid.stream import Stream
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid

Out = grid.OutgoingCall
In = grid.IncomingCall
ProceedOut = grid.Proceed[grid.OutgoingCall]
ProceedIn = grid.Proceed[grid.IncomingCall]


async def test_the_first_is_outermost_and_all_see_the_reply(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    told: list[str] = []

    def noting(name: str) -> grid.Interceptor[Out]:
        async def note(call: Out, proceed: ProceedOut) -> Any:
            told.append(f"{name} {call.kind} {call.name} {call.timeout:g}")
            reply = await proceed(call)
            told.append(f"{name} {reply.msg}")
            return reply

        return note

    client = peer.client(noting("a"), noting("b"), timeout=5)
    assert (await client.request("echo", EchoMsg(msg="hi"), reply=EchoMsg)).msg == "hi"
    assert told == ["a request echo 5", "b request echo 5", "b hi", "a hi"]


async def test_a_call_may_be_changed(peer: EchoGrid, way: str) -> None:
    await peer.start(way)

    async def change(call: Out, proceed: ProceedOut) -> Any:
        call.name = "echo"
        call.message = EchoMsg(msg=f"{call.message.msg}!")  # type: ignore[attr-defined]
        call.metadata["shop"] = "7"
        return await proceed(call)

    client = peer.client(change)
    given = {"user": "bob"}
    reply = await client.request("elsewhere", EchoMsg(msg="hi"), metadata=given, reply=EchoMsg)
    assert reply.msg == "hi!"
    assert peer.seen == [("hi!", {"user": "bob", "shop": "7"})]
    assert given == {"user": "bob"}


async def test_it_may_answer_itself_without_any_io() -> None:
    async def cached(call: Out, proceed: ProceedOut) -> Any:
        return EchoMsg(msg="cached")

    async with grid.Client("ns", etcd="127.0.0.1:1", interceptors=[cached]) as client:
        assert (await client.request("m", EchoMsg(), reply=EchoMsg)).msg == "cached"
        assert await client.send("m", EchoMsg()) == EchoMsg(msg="cached")
        await client.tell("m", EchoMsg())
        with pytest.raises(UnexpectedReply):
            await client.request("m", EchoMsg(), reply=grid.Ack)
        with pytest.raises(InvalidArgument, match="an interceptor returned"):
            await client.stream("m", EchoMsg())


async def test_one_that_returns_nothing_is_told() -> None:
    async def forgets(call: Out, proceed: ProceedOut) -> Any:
        return None

    async with grid.Client("ns", etcd="127.0.0.1:1", interceptors=[forgets]) as client:
        with pytest.raises(InvalidArgument, match="an interceptor returned"):
            await client.request("m", EchoMsg())


async def test_what_it_raises_is_the_callers() -> None:
    async def refuse(call: Out, proceed: ProceedOut) -> Any:
        raise PermissionError("not you")

    async with grid.Client("ns", etcd="127.0.0.1:1", interceptors=[refuse]) as client:
        for sending in (
            client.request("m", EchoMsg()),
            client.send("m", EchoMsg()),
            client.tell("m", EchoMsg()),
            client.stream("m", EchoMsg()),
            client.broadcast(grid.Group("m", "n"), EchoMsg()),
        ):
            with pytest.raises(PermissionError, match="not you"):
                await sending


async def test_it_may_send_again(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    failing = await peer.server.open_mailbox("failing")

    async def fail_twice() -> None:
        for _ in range(2):
            request = await anext(failing)
            request.fail("not yet", code="ABORTED")
        (await anext(failing)).ack()

    async def persist(call: Out, proceed: ProceedOut) -> Any:
        while True:
            try:
                return await proceed(call)
            except RequestFailed:
                continue

    task = asyncio.create_task(fail_twice())
    await peer.client(persist).request("failing", EchoMsg(), reply=grid.Ack)
    await task
    await failing.close()


async def test_it_covers_sent_ones_and_members_of_a_broadcast(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    await peer.serve("echo2")

    async def mark(call: Out, proceed: ProceedOut) -> Any:
        call.metadata["to"] = call.name
        if call.message == EchoMsg(msg="bad") and call.name == "echo2":
            raise RequestFailed("no")
        return await proceed(call)

    client = peer.client(mark)
    assert await client.send("echo", EchoMsg(msg="1")) == EchoMsg(msg="1")
    group = grid.Group("echo", "echo2")
    result = await client.broadcast(group, EchoMsg(msg="2"))
    assert set(result.successes) == {"echo", "echo2"}
    assert all(metadata["to"] in {"echo", "echo2"} for _, metadata in peer.seen)
    with pytest.raises(IncompleteBroadcast) as caught:
        await client.broadcast(group, EchoMsg(msg="bad"))
    assert set(caught.value.result.errors) == {"echo2"}


async def test_it_covers_starts_of_actors(peer: EchoGrid) -> None:
    await peer.start()
    seen: list[str] = []

    async def note(call: Out, proceed: ProceedOut) -> Any:
        seen.append(call.message.DESCRIPTOR.name)
        return await proceed(call)

    client = peer.client(note)
    with pytest.raises(grid.errors.UnknownActorType):
        await client.start_actor("nothing")
    assert seen == ["ActorStart"]


async def test_tells_and_openings_of_streams_are_seen(peer: EchoGrid, stream_way: str) -> None:
    await peer.start(stream_way)
    came: list[object] = []

    async def note(call: Out, proceed: ProceedOut) -> Any:
        call.metadata["kind"] = call.kind
        came.append(await proceed(call))
        return came[-1]

    client = peer.client(note)
    await client.tell("echo", EchoMsg(msg="told"))
    async with client.stream("echo", EchoMsg(msg="opened")) as stream:
        await stream.send(EchoMsg(msg="item"))
        assert await stream.receive() == EchoMsg(msg="item")
    assert came[0] is None
    assert isinstance(came[1], Stream)
    assert peer.seen == [("told", {"kind": "tell"}), ("opened", {"kind": "stream"})]
    came.clear()


async def test_the_callers_time_is_for_all_of_it(peer: EchoGrid, way: str) -> None:
    mailbox = await peer.start(way)
    silent = await peer.server.open_mailbox("silent")

    async def hang(call: Out, proceed: ProceedOut) -> Any:
        await asyncio.sleep(30)

    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(peer.client(hang).request("echo", EchoMsg(), timeout=0.2), 5)

    async def late(call: Out, proceed: ProceedOut) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return await proceed(call)

    client = peer.client(late)
    for name in ("echo", "nobody"):
        for call in (client.request, client.tell, client.stream):
            with pytest.raises(DeadlineExceeded, match=r"to '\w+': no answer within 0.2 s"):
                await asyncio.wait_for(call(name, EchoMsg(), timeout=0.2), 5)

    seen: list[type[BaseException]] = []

    async def hurry(call: Out, proceed: ProceedOut) -> Any:
        call.timeout = 1.0  # etcd is asked for the name meanwhile
        try:
            return await proceed(call)
        except BaseException as error:
            seen.append(type(error))
            raise

    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(peer.client(hurry).request("silent", EchoMsg(), timeout=30), 5)
    # It is cancelled if the clock of the chain is read first.
    assert seen in ([DeadlineExceeded], [asyncio.CancelledError])

    async def allow(call: Out, proceed: ProceedOut) -> Any:
        call.timeout = 30
        reply = await proceed(call)
        await asyncio.sleep(0.5)  # longer than the caller's own timeout, and what is added to it
        return reply

    await peer.client(allow).request("echo", EchoMsg(), timeout=0.3)
    await silent.close()
    await mailbox.close()


async def test_a_time_that_is_none_is_refused() -> None:
    async def spoil(call: Out, proceed: ProceedOut) -> Any:
        call.timeout = float("nan")
        return await proceed(call)

    async with grid.Client("ns", etcd="127.0.0.1:1", interceptors=[spoil]) as client:
        with pytest.raises(InvalidArgument, match="timeout"):
            await client.request("m", EchoMsg())


async def test_an_endless_time_is_endless(peer: EchoGrid) -> None:
    await peer.start()

    async def allow(call: Out, proceed: ProceedOut) -> Any:
        call.timeout = float("inf")
        return await proceed(call)

    await peer.client(allow).request("echo", EchoMsg(), timeout=0.5)


async def test_what_is_wrong_is_told_where_it_is_sent() -> None:
    async def swell(call: Out, proceed: ProceedOut) -> Any:
        call.message = EchoMsg(msg="x" * 2000)
        return await proceed(call)

    client = grid.Client("ns", etcd="127.0.0.1:1", interceptors=[swell], max_message_bytes=1000)
    async with client:
        with pytest.raises(MessageTooLarge):
            await client.send("m", EchoMsg())


async def test_a_cancelled_caller_is_seen_by_the_receiver(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    mailbox = await peer.server.open_mailbox("m")

    async def through(call: Out, proceed: ProceedOut) -> Any:
        return await proceed(call)

    client = peer.client(through)
    for send in (client.send, lambda *a: asyncio.create_task(client.request(*a))):
        sent = send("m", EchoMsg())
        request = await anext(mailbox)
        sent.cancel()
        assert await asyncio.wait_for(request.until_cancelled(), 5)
        assert sent.cancelled() or ((await asyncio.wait([sent])) and sent.cancelled())
    await mailbox.close()


async def test_closing_a_client_ends_what_its_interceptors_hold(peer: EchoGrid) -> None:
    await peer.start()
    began, go_on = asyncio.Event(), asyncio.Event()

    async def hold(call: Out, proceed: ProceedOut) -> Any:
        began.set()
        await go_on.wait()
        return await proceed(call)

    client = peer.client(hold)
    sent = client.send("echo", EchoMsg())
    asking = asyncio.create_task(client.request("echo", EchoMsg()))
    await began.wait()
    await client.close()
    assert sent.cancelled()
    go_on.set()
    with pytest.raises(ClientClosed):
        await asking


@pytest.mark.parametrize("wrong", [[None], 5, "text"])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="interceptors"):
        grid.Client("ns", interceptors=wrong)
    with pytest.raises(InvalidArgument, match="filters"):
        grid.Server("ns", filters=wrong)


async def test_a_filter_of_the_sender_skips(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    asked: list[str] = []

    async def short(call: Out) -> bool:
        asked.append(call.message.msg)  # type: ignore[attr-defined]
        return len(call.message.msg) < 3  # type: ignore[attr-defined]

    async def shorten(call: Out, proceed: ProceedOut) -> Any:
        try:
            return await proceed(call)
        except Filtered:
            call.message = EchoMsg(msg="-")
            return await proceed(call)

    client = peer.client(filters=[short])
    assert await client.request("echo", EchoMsg(msg="ab"))
    for sending in (
        client.request("echo", EchoMsg(msg="abc"), idempotent=True),
        client.send("echo", EchoMsg(msg="abc")),
        client.tell("echo", EchoMsg(msg="abc")),
        client.stream("echo", EchoMsg(msg="abc")),
    ):
        with pytest.raises(Filtered, match=r"filter of the sender.*'echo'") as caught:
            await sending
    assert (caught.value.name, caught.value.side) == ("echo", "sender")
    assert asked == ["ab"] + 4 * ["abc"]
    # The filter stands behind the interceptors and sees what they made of it.
    reply = await peer.client(shorten, filters=[short]).request("echo", EchoMsg(msg="abc"))
    assert reply == EchoMsg(msg="-")
