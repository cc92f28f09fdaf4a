"""Requests end in exactly one of a reply, a typed error, or the deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import pytest

import grid
from grid.deadline import Deadline
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    InvalidName,
    MailboxClosed,
    MessageTooLarge,
    PeerNotServing,
    PeerUnreachable,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    StaleEpoch,
    UndecodableMessage,
    UnexpectedReply,
    UnknownMailbox,
    UnknownMessageType,
    UnregisteredMailbox,
    UnsupportedMessage,
)
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from grid.transport.transport import Destination, Outgoing
from grid.wire_pb2 import EchoMsg

AnyRequest = grid.Request[Any]
Answer = Callable[[AnyRequest], None]
Serve = Callable[..., Awaitable[grid.Mailbox]]


def ways(server: grid.Server) -> tuple[Destination, Destination]:
    """A peer as one with sessions, and as one without."""
    return Destination(server.address, "", True), Destination(server.address, "", False)


async def take(mailbox: grid.Mailbox) -> AnyRequest:
    request = await mailbox.receive()
    assert request is not None
    return request


async def _serve(mailbox: grid.Mailbox, answer: Answer) -> None:
    async for request in mailbox:
        answer(request)
        del request


@pytest.fixture
async def serve(
    grid_server: grid.Server,
) -> AsyncIterator[Serve]:
    """Opens a mailbox and answers its requests by a function."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(name: str, answer: Answer, size: int = 16) -> grid.Mailbox:
        mailbox = await grid_server.open_mailbox(name, size=size)
        tasks.append(asyncio.create_task(_serve(mailbox, answer)))
        return mailbox

    yield serve
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_reply_is_of_the_type_asked_for(client: grid.Client, serve: Serve) -> None:
    await serve("echo", lambda r: r.respond(r.message))
    reply = await client.request("echo", EchoMsg(msg="hi"), reply=EchoMsg)
    assert reply.msg == "hi"
    with pytest.raises(UnexpectedReply, match=r"grid\.Ack.*grid\.EchoMsg"):
        await client.request("echo", EchoMsg(msg="hi"), reply=grid.Ack)


@pytest.mark.parametrize("client", ["session", "local"], indirect=True)  # single calls race
async def test_what_is_under_way_together_arrives_in_order(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=100) as mailbox:
        first = asyncio.create_task(client.request("m", EchoMsg(msg="first")))
        (await take(mailbox)).ack()
        await first
        waiting: list[asyncio.Future[Any]] = []
        for number in range(0, 60, 3):
            waiting.append(client.send("m", EchoMsg(msg=str(number))))
            waiting.append(asyncio.ensure_future(client.request("m", EchoMsg(msg=str(number + 1)))))
            await asyncio.sleep(0)
            await client.tell("m", EchoMsg(msg=str(number + 2)))
        for number in range(60):
            taken = await take(mailbox)
            assert taken.message.msg == str(number)
            taken.ack()
        await asyncio.gather(*waiting)


async def test_the_receiver_has_its_own_copy(client: grid.Client, serve: Serve) -> None:
    def change(request: AnyRequest) -> None:
        request.message.msg += "!"
        request.respond(request.message)

    await serve("m", change)
    sent = EchoMsg(msg="hi")
    reply = await client.request("m", sent, reply=EchoMsg)
    assert (sent.msg, reply.msg) == ("hi", "hi!")
    assert reply is not sent


async def test_metadata_and_deadline_travel(client: grid.Client, serve: Serve) -> None:
    seen = []

    def note(request: AnyRequest) -> None:
        assert request.deadline is not None
        seen.append((dict(request.metadata), request.deadline.remaining()))
        request.ack()

    await serve("m", note)
    await client.request("m", EchoMsg(), metadata={"user": "bob"}, timeout=5)
    (metadata, remaining) = seen[0]
    assert metadata == {"user": "bob"}
    assert 3 < remaining <= 5


async def test_one_sender_is_served_in_order(client: grid.Client, serve: Serve) -> None:
    seen: list[str] = []

    def note(request: AnyRequest) -> None:
        seen.append(request.message.msg)
        request.ack()

    await serve("m", note)
    for i in range(50):
        await client.request("m", EchoMsg(msg=str(i)))
    assert seen == [str(i) for i in range(50)]


async def test_an_unregistered_name_is_told_at_once(client: grid.Client) -> None:
    with pytest.raises(UnregisteredMailbox, match="'nobody'") as caught:
        await client.request("nobody", EchoMsg())
    assert caught.value.name == "nobody"


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a\n"])
async def test_a_bad_name_is_refused_before_any_io(name: str) -> None:
    async with grid.Client("ns", etcd="127.0.0.1:1") as client:
        with pytest.raises(InvalidName):
            await client.request(name, EchoMsg())


async def test_bad_messages_are_refused_before_any_io() -> None:
    async with grid.Client("ns", etcd="127.0.0.1:1", max_message_bytes=1000) as client:
        with pytest.raises(MessageTooLarge) as caught:
            await client.request("m", EchoMsg(msg="x" * 1000))
        with pytest.raises(UnsupportedMessage):
            await client.request("m", "text")  # type: ignore[call-overload]
    assert caught.value.size == 1003


async def test_a_message_just_under_the_limit_arrives(client: grid.Client, serve: Serve) -> None:
    await serve("m", lambda r: r.respond(r.message))
    big = EchoMsg(msg="x" * (4 * 1024 * 1024 - 400))
    assert await client.request("m", big, reply=EchoMsg) == big


async def test_a_full_mailbox_is_told_after_some_tries(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=0):
        with pytest.raises(ReceiverBusy):
            await client.request("m", EchoMsg(), timeout=5)


async def test_a_full_mailbox_is_waited_for_if_asked(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=0) as mailbox:
        asking = asyncio.create_task(client.request("m", EchoMsg(), wait=True, timeout=10))
        with pytest.raises(ReceiverBusy):  # enough for a look-up on a busy machine
            await client.request("m", EchoMsg(), wait=True, timeout=2)
        request = await take(mailbox)
        request.ack()
        await asking


async def test_the_receivers_error_is_the_callers(client: grid.Client, serve: Serve) -> None:
    await serve("m", lambda r: r.fail("out of stock", code="FAILED_PRECONDITION"))
    with pytest.raises(RequestFailed, match="out of stock") as caught:
        await client.request("m", EchoMsg())
    assert caught.value.code == "FAILED_PRECONDITION"


async def test_an_error_is_delivered_once(client: grid.Client, serve: Serve) -> None:
    seen = []

    def refuse(request: AnyRequest) -> None:
        seen.append(request.message)
        request.fail("no")

    await serve("m", refuse)
    with pytest.raises(RequestFailed):
        await client.request("m", EchoMsg())
    assert len(seen) == 1


async def test_a_dropped_request_fails_at_once(client: grid.Client, serve: Serve) -> None:
    await serve("m", lambda r: None)
    with pytest.raises(RequestDropped):
        await asyncio.wait_for(client.request("m", EchoMsg(), timeout=30), 5)


async def test_closing_a_mailbox_answers_what_it_holds(
    client: grid.Client, grid_server: grid.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router._BETWEEN_OWNERS", 0.3)  # there will be no other one
    mailbox = await grid_server.open_mailbox("m")
    asking = [asyncio.create_task(client.request("m", EchoMsg(), timeout=30)) for _ in range(2)]
    await wait_until(lambda: len(mailbox) == 2, "both requests arrived")
    held = await take(mailbox)
    await mailbox.close()
    errors = await asyncio.gather(*asking, return_exceptions=True)
    # The one that was read is not sent again; the other is, and finds no name.
    assert {type(error) for error in errors} == {RequestDropped, UnregisteredMailbox}
    assert held.done


async def test_the_deadline_ends_a_request(client: grid.Client, grid_server: grid.Server) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        reading = asyncio.create_task(take(mailbox))
        with pytest.raises(DeadlineExceeded) as caught:
            await client.request("m", EchoMsg(), timeout=0.2)
        assert isinstance(caught.value, TimeoutError)
        request = await reading
        await wait_until(lambda: request.done, "the receiver sees that nobody waits")


async def test_a_cancelled_caller_is_seen_by_the_receiver(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        asking = asyncio.create_task(client.request("m", EchoMsg()))
        request = await take(mailbox)
        working = [asyncio.create_task(request.until_cancelled()) for _ in range(2)]
        asking.cancel()
        assert await asyncio.wait_for(asyncio.gather(*working), 5) == [True, True]
        request.ack()
    assert asking.cancelled()


async def test_an_unknown_type_is_told_to_the_sender(
    grid_server: grid.Server, grid_client: grid.Client, grid_namespace: str
) -> None:
    async with grid_server.open_mailbox("m"):
        to = f"{grid_namespace}.mailbox.m"
        for type_name, data, expected in (
            ("no.such.Type", b"", "codec: unregistered message type: 'no.such.Type'"),
            ("grid.EchoMsg", b"\xff", "proto: cannot parse"),
        ):
            outgoing = Outgoing(to, 0, type_name, data, None)
            for there in ways(grid_server):
                with pytest.raises((UnknownMessageType, UndecodableMessage), match=expected):
                    await grid_client._transport.ask(there, outgoing, Deadline.after(5))


async def test_garbage_instead_of_an_envelope_is_refused(grid_server: grid.Server) -> None:
    async with grpc.aio.insecure_channel(grid_server.address) as channel:
        process: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        process = channel.unary_unary("/grid.wire/Process")
        for garbage in (b"\xff\xff\xff", b"", b"\x0a"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await process(garbage, timeout=5)
            assert caught.value.code() in {
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.NOT_FOUND,
            }


async def test_a_stale_epoch_is_refused_and_resolved_anew(
    client: grid.Client, grid_server: grid.Server, serve: Serve
) -> None:
    first = await serve("m", lambda r: r.respond(EchoMsg(msg="first")))
    assert (await client.request("m", EchoMsg(), reply=EchoMsg)).msg == "first"
    route = client._mailboxes.find(first.key)
    assert route is not None
    await first.close()
    second = await serve("m", lambda r: r.respond(EchoMsg(msg="second")))
    assert second.epoch > first.epoch
    stale = Outgoing(first.key, first.epoch, "grid.EchoMsg", b"", None)
    for there in ways(grid_server):
        with pytest.raises(StaleEpoch) as caught:
            await client._transport.ask(there, stale, Deadline.after(5))
        assert (caught.value.sent, caught.value.current) == (first.epoch, second.epoch)
    client._mailboxes._view._known[first.key] = route
    assert (await client.request("m", EchoMsg(), reply=EchoMsg)).msg == "second"


async def test_a_name_that_its_peer_does_not_have_is_told(
    client: grid.Client, grid_server: grid.Server, grid_namespace: str
) -> None:
    key = f"{grid_namespace}.mailbox.ghost"
    value = encode_registration(key, grid_server.address, grid_server.name)
    await client._etcd.put(key, value)
    with pytest.raises(UnknownMailbox, match="grid: unknown mailbox") as caught:
        await client.request("ghost", EchoMsg())
    assert not isinstance(caught.value, UnregisteredMailbox)
    await client._etcd.delete(key)


async def test_a_dead_address_is_told_together_by_all_callers(
    grid_client: grid.Client, grid_namespace: str
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    key = f"{grid_namespace}.mailbox.dead"
    await grid_client._etcd.put(key, encode_registration(key, address, "p"))
    began = asyncio.get_running_loop().time()
    ends = await asyncio.gather(
        *(grid_client.request("dead", EchoMsg(), timeout=8) for _ in range(27)),
        return_exceptions=True,
    )
    assert {type(end) for end in ends} == {PeerUnreachable}
    assert asyncio.get_running_loop().time() - began < 6
    await grid_client._etcd.delete(key)


async def test_a_closed_client_refuses(grid_client: grid.Client) -> None:
    await grid_client.close()
    for call in (
        grid_client.request("m", EchoMsg()),
        grid_client.query("peer"),
        grid_client.start_actor("t"),
        grid_client.stop_actor("t"),
        grid_client.check("p"),
        grid_client.broadcast(grid.Group("m"), EchoMsg()),
    ):
        with pytest.raises(ClientClosed):
            await call
    with pytest.raises(ClientClosed):
        grid_client.watch("peer")
    await grid_client.close()


async def test_closing_a_client_ends_its_requests(
    grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    client = grid.Client(grid_namespace, etcd=grid_etcd.endpoint)
    async with grid_server.open_mailbox("m") as mailbox:
        asking = asyncio.create_task(client.request("m", EchoMsg(), timeout=30))
        await wait_until(lambda: len(mailbox) == 1, "the request arrived")
        await client.close()
        with pytest.raises(grid.GridError, match="closed"):
            await asyncio.wait_for(asking, 5)


async def test_a_client_goes_on_with_its_view_while_etcd_is_away(
    grid_namespace: str,
) -> None:
    with Etcd() as etcd:
        server = grid.Server(grid_namespace, etcd=etcd.endpoint, lease=60)
        async with server, grid.Client(grid_namespace, etcd=etcd.endpoint) as client:
            async with server.open_mailbox("m") as mailbox:
                serving = asyncio.create_task(_serve(mailbox, lambda r: r.respond(r.message)))
                assert await client.request("m", EchoMsg(msg="1"))
                etcd.kill()
                assert await client.request("m", EchoMsg(msg="2"), timeout=2)
                etcd.start()
            await serving


async def test_a_draining_peer_takes_no_requests(
    client: grid.Client, grid_server: grid.Server
) -> None:
    refused = asyncio.Event()

    async def hold(ctx: grid.ActorContext) -> None:
        await refused.wait()

    grid_server.define("slow", lambda _: hold, mailbox=4)
    await client.start_actor("slow", name="s")
    key = f"{client.namespace}.mailbox.s"
    await wait_until(lambda: client._mailboxes.find(key) or client._mailboxes.read(key), "known")
    stopping = asyncio.create_task(grid_server.stop())
    await wait_until(lambda: str(grid_server.state) == "draining", "draining")
    with pytest.raises((PeerNotServing, MailboxClosed, UnregisteredMailbox, PeerUnreachable)):
        await client.request("s", EchoMsg(), timeout=1)
    refused.set()
    await stopping
