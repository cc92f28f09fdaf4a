"""An actor's words stay its own: only the gate before a mailbox can say "not delivered"."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

import grid
from grid import errors
from grid.embedded import Etcd
from grid.errors import GridError
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from grid.wire_pb2 import Delivery, EchoMsg

Outcome = Callable[[grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]

# Errors that an actor can meet downstream, each of which would be a reason to send again
# if it came from the gate, or says something of the caller's own side.
FORWARDED = [
    errors.ReceiverBusy("elsewhere", 4),
    errors.UnknownMailbox("elsewhere"),
    errors.StaleEpoch("elsewhere", 1, 2),
    errors.MailboxClosed("elsewhere"),
    errors.PeerNotServing("p", "draining"),
    errors.PeerUnreachable("h:1", "connection refused"),
    errors.UnregisteredMailbox("elsewhere"),
    errors.BreakerOpen("h:1", "open", 5),
    errors.OutcomeUnknown("the connection broke"),
    errors.DeadlineExceeded("request to 'elsewhere'", 1),
    errors.EtcdUnavailable("no endpoint answers"),
    errors.AlreadyRegistered("ns.actor.a"),
    errors.LeaseLost(),
    errors.ClientClosed(),
    errors.MessageTooLarge(5, 4),
]


@pytest.mark.parametrize("error", FORWARDED, ids=lambda error: type(error).__name__)
async def test_an_actors_error_is_its_own_and_it_acts_once(
    client: grid.Client, grid_server: grid.Server, error: GridError
) -> None:
    acted = 0

    async def serve(mailbox: grid.Mailbox) -> None:
        nonlocal acted
        async for request in mailbox:
            acted += 1
            request.fail(error)

    mailbox = await grid_server.open_mailbox("m", size=4)
    serving = asyncio.create_task(serve(mailbox))
    for ask in (client.request, client.send):
        acted = 0
        with pytest.raises(errors.RequestFailed) as caught:
            await ask("m", EchoMsg())
        assert type(caught.value) is errors.RequestFailed
        assert caught.value.text == str(error)
        assert not caught.value.retryable
        assert acted == 1
    await mailbox.close()
    await serving


async def test_what_the_gate_refuses_is_still_known_as_not_delivered(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=1) as mailbox:
        first = client.send("m", EchoMsg(), timeout=5)
        await wait_until(lambda: len(mailbox) == 1, "the first one is there")
        with pytest.raises(errors.ReceiverBusy) as caught:
            await client.request("m", EchoMsg(), timeout=2)
        assert caught.value.retryable
        assert caught.value.size == 1
        first.cancel()


# -- peers of the Go library, which say all in a code and a text ------------------------------


class GoPeer:
    """A peer without sessions and trailers, whose answers are set by each test."""

    def __init__(self) -> None:
        self.calls = 0
        self.outcome: Outcome | None = None
        self.address = ""

    async def process(self, _: bytes, context: Any) -> bytes:
        self.calls += 1
        assert self.outcome is not None
        return await self.outcome(context)


@pytest.fixture
async def go_peer(grid_namespace: str, grid_etcd: Etcd) -> AsyncIterator[GoPeer]:
    peer = GoPeer()
    server = grpc.aio.server()
    handlers: Any = {"Process": grpc.unary_unary_rpc_method_handler(peer.process)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grid.wire", handlers),))
    peer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    key = f"{grid_namespace}.mailbox.go"
    async with EtcdClient(EtcdConfig((grid_etcd.endpoint,))) as etcd:
        await etcd.put(key, encode_registration(key, peer.address, "other"))
        yield peer
        await etcd.delete(key)
    await server.stop(None)


@pytest.fixture
async def go_client(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[grid.Client]:
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        yield client


def status(code: str, text: str) -> Outcome:
    async def outcome(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(grpc.StatusCode[code], text)

    return outcome


@pytest.mark.parametrize("code", ["UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"])
@pytest.mark.parametrize(
    "text",
    [
        "user bob already registered",
        "upload: received message larger than max (5 vs. 4)",
        "downstream: grid: receiver busy",
        "failed to connect to all addresses; last error: connection refused",
        "dial tcp: connect: connection refused",
        "context deadline exceeded",
        "grid: context finished",
        "",
    ],
)
async def test_a_go_actors_status_is_its_own_and_it_acts_once(
    go_client: grid.Client, go_peer: GoPeer, code: str, text: str
) -> None:
    go_peer.outcome = status(code, text)
    with pytest.raises(errors.RequestFailed) as caught:
        await go_client.request("go", EchoMsg(), timeout=5)
    assert type(caught.value) is errors.RequestFailed
    assert (caught.value.text, caught.value.code) == (text, code)
    assert go_peer.calls == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grid: receiver busy", errors.ReceiverBusy),
        ("grid: unknown mailbox", errors.UnknownMailbox),
    ],
)
async def test_a_text_that_a_go_actor_can_forward_is_not_sent_again_unasked(
    go_client: grid.Client,
    go_peer: GoPeer,
    text: str,
    expected: type[GridError],
) -> None:
    go_peer.outcome = status("UNKNOWN", text)
    with pytest.raises(expected) as caught:
        await go_client.request("go", EchoMsg(), timeout=5)
    assert not caught.value.retryable
    assert go_peer.calls == 1
    with pytest.raises(expected):
        await go_client.request("go", EchoMsg(), timeout=5, idempotent=True)
    assert go_peer.calls > 2


async def test_a_full_go_mailbox_is_tried_again_by_who_waits(
    go_client: grid.Client, go_peer: GoPeer
) -> None:
    async def outcome(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if go_peer.calls < 3:
            await context.abort(grpc.StatusCode.UNKNOWN, "grid: receiver busy")
        message = EchoMsg(msg="in the end").SerializeToString()
        return Delivery(typeName="grid.EchoMsg", data=message).SerializeToString()

    go_peer.outcome = outcome
    assert await go_client.request("go", EchoMsg(), wait=True) == EchoMsg(msg="in the end")


async def test_a_go_peers_silence_is_the_callers_deadline(
    go_client: grid.Client, go_peer: GoPeer
) -> None:
    async def outcome(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.sleep(10)
        return b""

    go_peer.outcome = outcome
    with pytest.raises(errors.DeadlineExceeded):
        await go_client.request("go", EchoMsg(), timeout=1.5)
    assert go_peer.calls == 1
