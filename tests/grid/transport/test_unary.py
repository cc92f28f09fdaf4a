"""Single calls: the limits of a peer hold for clients without sessions, too."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

import grid
from grid.deadline import Deadline
from grid.errors import PeerUnreachable
from grid.transport._credentials import DialCredentials
from grid.transport.unary import UnaryTransport
from grid.wire_pb2 import Delivery, EchoMsg

MIB = 1024 * 1024


async def call(server: grid.Server, key: str, size: int, agent: str = "") -> Delivery:
    """The answer to one unary call with a message of a size."""
    options = [("grpc.primary_user_agent", agent), ("grpc.max_receive_message_length", -1)]
    data = EchoMsg(msg="x" * size).SerializeToString()
    delivery = Delivery(receiver=key, typeName="grid.EchoMsg", data=data)
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        process: Any = channel.unary_unary(
            "/grid.wire/Process",
            request_serializer=Delivery.SerializeToString,
            response_deserializer=Delivery.FromString,
        )
        answer: Delivery = await process(delivery, timeout=5)
        return answer


async def test_a_message_over_the_limit_of_a_peer_is_refused(
    grid_servers: Callable[..., grid.Server],
) -> None:
    server = grid_servers(max_message_bytes=1000)
    await server.start()
    async with server.open_mailbox("m", size=4) as mailbox:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(server, mailbox.key, 2000)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "message too large" in (caught.value.details() or "")
        assert len(mailbox) == 0


@pytest.mark.parametrize(("agent", "fits"), [("grpc-go/1.66.0", False), ("", True)])
async def test_an_answer_that_a_go_client_cannot_take_is_not_sent_and_said(
    grid_server: grid.Server, agent: str, fits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(mailbox: grid.Mailbox) -> None:
        async for request in mailbox:
            request.respond(request.message)  # a caller's limit is no error of the owner

    async with grid_server.open_mailbox("m", size=4) as mailbox:
        serving = asyncio.create_task(serve(mailbox))
        assert len((await call(grid_server, mailbox.key, 4_000_000, agent)).data) > 4_000_000
        if fits:
            assert len((await call(grid_server, mailbox.key, 5 * MIB, agent)).data) > 5 * MIB
        else:
            with pytest.raises(grpc.aio.AioRpcError, match="received message larger than max"):
                await call(grid_server, mailbox.key, 5 * MIB, agent)
    await serving
    assert ("Go clients take 4194304" in caplog.text) is not fits


async def test_a_call_looks_for_the_reason_of_a_failed_handshake_within_its_deadline() -> None:
    """A connection is cut, as by a peer that stops; further ones are never answered."""
    taken: list[socket.socket] = []

    def take() -> None:
        taken.append(listener.accept()[0])
        if len(taken) == 1:
            taken[0].close()

    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, take)
        transport = UnaryTransport(limit=MIB, credentials=DialCredentials(grid.TLS()))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        began = loop.time()
        try:
            with pytest.raises(PeerUnreachable):
                await transport.health(address, Deadline.after(1.0), secure=True)
            assert loop.time() - began < 4.0
            assert len(taken) > 1
        finally:
            await transport.close()
            loop.remove_reader(listener)
            for one in taken:
                one.close()
