"""Errors of a server's interceptors after the owner has acted: none makes a client send again."""

from typing import Any

import pytest

import grid
import grid.testing
from grid.errors import (
    EtcdUnavailable,
    GridError,
    MailboxClosed,
    PeerUnreachable,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    StoreUnavailable,
)
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid

In = grid.IncomingCall
ProceedIn = grid.Proceed[grid.IncomingCall]

# Of a request that the interceptor makes elsewhere, or of its store.
SAFE = [
    ReceiverBusy("audit", 3),
    MailboxClosed("audit"),
    PeerUnreachable("127.0.0.1:1", "refused"),
    EtcdUnavailable("away"),
    StoreUnavailable("away"),
]


@pytest.mark.parametrize("error", SAFE, ids=[type(one).__name__ for one in SAFE])
async def test_an_error_after_the_owner_has_answered_is_not_sent_again(
    peer: EchoGrid, way: str, error: GridError
) -> None:
    async def audit(call: In, proceed: ProceedIn) -> Any:
        reply = await proceed(call)
        if call.name == "echo":
            raise error
        return reply

    await peer.start(way, interceptors=[audit])
    with pytest.raises(RequestFailed) as caught:
        await peer.client().request("echo", EchoMsg(msg="once"), wait=True)
    assert type(caught.value.cause) is type(error)
    assert not caught.value.retryable
    assert peer.seen == [("once", {})]


async def test_a_second_delivery_that_is_refused_is_not_sent_again(
    peer: EchoGrid, way: str
) -> None:
    async def twice(call: In, proceed: ProceedIn) -> Any:
        try:
            return await proceed(call)
        except RequestDropped:
            raise ReceiverBusy("m", 1) from None

    await peer.start(way, interceptors=[twice])
    async with peer.server.open_mailbox("m") as mailbox:
        sent = peer.client().send("m", EchoMsg())
        await anext(mailbox)  # and lets go of it
        with pytest.raises(RequestFailed):
            await sent
        assert not len(mailbox)


async def test_an_error_before_the_owner_has_the_message_is_sent_again(
    peer: EchoGrid, way: str
) -> None:
    asked: list[str] = []

    async def busy_at_first(call: In, proceed: ProceedIn) -> Any:
        if call.name == "echo":
            asked.append(call.name)
            if len(asked) == 1:
                raise ReceiverBusy("guard", 3)
        return await proceed(call)

    await peer.start(way, interceptors=[busy_at_first])
    assert await peer.client().request("echo", EchoMsg(msg="hi")) == EchoMsg(msg="hi")
    assert len(asked) == 2


async def test_what_a_closed_mailbox_says_of_an_unread_message_is_sent_again(
    peer: EchoGrid, way: str
) -> None:
    ends: list[str] = []

    async def note(call: In, proceed: ProceedIn) -> Any:
        try:
            return await proceed(call)
        except GridError as error:
            ends.append(type(error).__name__)
            raise

    await peer.start(way, interceptors=[note])
    mailbox = await peer.server.open_mailbox("m")
    sent = peer.client().send("m", EchoMsg())
    await grid.testing.wait_until(lambda: len(mailbox) == 1, "a message that is not read")
    await mailbox.close()
    async with peer.server.open_mailbox("m") as mailbox:
        (await anext(mailbox)).ack()
        assert await sent == grid.Ack()
    assert ends[0] == "MailboxClosed"
