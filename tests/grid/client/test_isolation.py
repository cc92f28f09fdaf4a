"""A message and its metadata are snapshots: neither side sees what the other does with its own."""

import asyncio
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(params=["session", "unary", "local", "intercepted"])
async def client(
    request: pytest.FixtureRequest,
    grid_server: grid.Server,
    grid_client: grid.Client,
    grid_etcd: Etcd,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A client on each of the ways that a message can take."""
    if request.param == "intercepted":

        async def passes(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
            await asyncio.sleep(0)
            return await proceed(call)

        namespace = grid_client.namespace
        async with grid.Client(namespace, etcd=grid_etcd.endpoint, interceptors=[passes]) as other:
            yield other
        return
    if request.param != "local":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    if request.param == "unary":
        grid_client._transport._without_sessions.add(grid_server.address)
    yield grid_client


async def _taken(mailbox: grid.Mailbox, count: int) -> list[grid.Request[Any]]:
    await wait_until(lambda: len(mailbox) == count, f"{count} requests in the mailbox")
    taken = [request async for request, _ in _numbered(mailbox, count)]
    return sorted(taken, key=lambda request: str(request.message.msg))


async def _numbered(mailbox: grid.Mailbox, count: int) -> Any:
    for number in range(count):
        yield await anext(mailbox), number


def _writable(request: grid.Request[Any]) -> dict[str, str]:
    assert isinstance(request.metadata, dict)
    return request.metadata


async def test_one_dict_and_one_message_are_changed_between_sends(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        message, metadata = EchoMsg(), {"n": ""}
        answers = []
        for number in "123":
            message.msg = metadata["n"] = number
            answers.append(client.send("m", message, metadata=metadata))
        message.msg = metadata["n"] = "later"
        requests = await _taken(mailbox, 3)
        assert [(r.message.msg, r.metadata["n"]) for r in requests] == [(n, n) for n in "123"]
        for request in requests:
            request.ack()
        await asyncio.gather(*answers)


async def test_a_receiver_writes_into_its_own_copy(
    client: grid.Client, grid_server: grid.Server
) -> None:
    metadata = {"traceparent": PARENT, "of": "sender"}
    async with grid_server.open_mailbox("m") as mailbox:
        for send in (
            lambda: client.request("m", EchoMsg(msg="a"), metadata=metadata),
            lambda: client.tell("m", EchoMsg(msg="a"), metadata=metadata),
            lambda: client.broadcast(grid.Group("m"), EchoMsg(msg="a"), metadata=metadata),
        ):
            sending = asyncio.create_task(send())
            (request,) = await _taken(mailbox, 1)
            _writable(request)["of"] = "receiver"
            _writable(request).clear()
            request.ack()
            await sending
            assert metadata == {"traceparent": PARENT, "of": "sender"}


async def test_a_trace_that_goes_on_is_each_receivers_own(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("first") as first, grid_server.open_mailbox("m") as mailbox:
        starting = asyncio.create_task(
            client.request("first", EchoMsg(), metadata={"traceparent": PARENT})
        )
        request = await anext(first)  # its trace is this task's from now on
        for _ in range(2):
            asking = client.send("m", EchoMsg())
            (onward,) = await _taken(mailbox, 1)
            assert onward.metadata["traceparent"] == PARENT
            _writable(onward)["traceparent"] = "changed"
            onward.ack()
            await asking
        request.ack()
        await starting


async def test_a_blocking_client_takes_a_snapshot_too(
    grid_server: grid.Server, grid_etcd: Etcd
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:

        def send() -> list[Any]:
            message, metadata = EchoMsg(), {"n": ""}
            with grid.sync.Client(grid_server.config.namespace, etcd=grid_etcd.endpoint) as client:
                futures = []
                for number in "123":
                    message.msg = metadata["n"] = number
                    futures.append(client.send("m", message, metadata=metadata))
                message.msg = metadata["n"] = "later"
                return [future.result(10) for future in futures]

        sending = asyncio.create_task(asyncio.to_thread(send))
        requests = await _taken(mailbox, 3)
        assert [(r.message.msg, r.metadata["n"]) for r in requests] == [(n, n) for n in "123"]
        for request in requests:
            request.ack()
        await sending
