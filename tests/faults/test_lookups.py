"""Names that cannot be looked up, and addresses that lead nowhere."""

import asyncio
import gc
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import EtcdUnavailable, UnregisteredMailbox
from grid.etcd import EtcdClient, EtcdConfig, KeyValue
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

_Use = Callable[[grid.Client], Awaitable[object]]

USES: dict[str, _Use] = {
    "request": lambda client: client.request("m", EchoMsg(), timeout=0.5),
    "send": lambda client: client.send("m", EchoMsg(), timeout=0.5),
    "tell": lambda client: client.tell("m", EchoMsg(), timeout=0.5),
    "stream": lambda client: _opened(client),
    "check": lambda client: client.check("p", timeout=0.5),
    "start": lambda client: client.start_actor("a", timeout=0.5),
    "start on": lambda client: client.start_actor("a", peer="p", timeout=0.5),
    "stop": lambda client: client.stop_actor("a", timeout=0.5),
    "query": lambda client: client.query("peer", timeout=0.5),
    "serving": lambda client: client.wait_until_serving("p", timeout=0.5),
}


async def _opened(client: grid.Client) -> None:
    await client.stream("m", EchoMsg(), timeout=0.5)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are made and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("etcd", ["refuses", "silent"])
async def test_without_etcd_a_look_up_fails_as_such(
    use: _Use, etcd: str, silent_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = "127.0.0.1:1" if etcd == "refuses" else f"127.0.0.1:{silent_port}"
    with caplog.at_level(logging.ERROR):
        async with grid.Client("n", etcd=endpoint) as client:
            began = time.monotonic()
            with pytest.raises(EtcdUnavailable) as caught:
                await use(client)
            assert time.monotonic() - began < 5
            assert caught.value.retryable  # nothing was sent
        gc.collect()
        await asyncio.sleep(0)
    assert not caplog.records  # such as "Task exception was never retrieved"


async def test_a_broadcast_without_etcd_says_so_for_each_member() -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(grid.errors.IncompleteBroadcast) as caught:
            await client.broadcast(grid.Group("a", "b"), EchoMsg(), timeout=0.5)
    assert {type(error) for error in caught.value.result.errors.values()} == {EtcdUnavailable}


async def test_the_text_names_what_was_looked_up() -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(EtcdUnavailable, match=r"resolving 'bob' in etcd: .* within 0\.05 s"):
            await client.request("bob", EchoMsg(), timeout=0.05)


async def test_a_look_up_that_is_cut_short_names_etcd_and_the_cause() -> None:
    async with grid.Client("n", etcd=EtcdConfig.parse("127.0.0.1:1", timeout=5)) as client:
        with pytest.raises(EtcdUnavailable, match=r"127\.0\.0\.1:1 .*refused"):
            await client.request("bob", EchoMsg(), timeout=0.5)


async def test_a_name_that_is_nowhere_says_in_which_namespace(grid_client: grid.Client) -> None:
    with pytest.raises(UnregisteredMailbox) as caught:
        await grid_client.request("bob", EchoMsg())
    assert str(caught.value).endswith(f"'bob' in namespace '{grid_client.namespace}'")
    assert caught.value.namespace == grid_client.namespace


@pytest.fixture
async def etcd(grid_etcd: Etcd) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as client:
        yield client


async def test_what_waits_for_a_dial_into_a_hole_moves_with_its_name(
    silent_port: int, grid_server: grid.Server, grid_client: grid.Client
) -> None:
    key = f"{grid_client.namespace}.mailbox.m"
    assert await grid_client._mailboxes.read(key) is None
    await wait_until(lambda: grid_client._mailboxes._view.loaded, "the watch")
    hole = encode_registration(key, f"127.0.0.1:{silent_port}", "gone", session=1)
    grid_client._mailboxes._view.put(KeyValue(key, hole, 1, 1, 1))  # its peer vanished just now
    asking = [grid_client.send("m", EchoMsg(msg=str(number)), timeout=30) for number in range(3)]
    telling = asyncio.create_task(grid_client.tell("m", EchoMsg(msg="told"), timeout=30))
    opening = asyncio.ensure_future(grid_client.stream("m", EchoMsg(msg="stream"), timeout=30))
    pools = grid_client._transport._pools
    await wait_until(lambda: any(one._dialling for one in pools.values()), "the dial")
    began = time.monotonic()
    async with grid_server.open_mailbox("m") as mailbox:
        for _ in range(5):
            request = await asyncio.wait_for(anext(mailbox), 10)
            if request.opens_stream:
                await request.accept().close()
            else:
                request.ack()
        await asyncio.gather(*asking, telling)
        await (await opening).close()
    assert time.monotonic() - began < 4  # a dial into the hole takes longer


async def test_names_that_come_and_go_leave_the_dial_to_their_peer_alone(
    etcd: EtcdClient, silent_port: int, grid_client: grid.Client
) -> None:
    address = f"127.0.0.1:{silent_port}"
    space = f"{grid_client.namespace}.mailbox"
    for name in ("slow", "m", "n"):  # the peer's own, and two on it
        value = encode_registration(f"{space}.{name}", address, "slow", session=1)
        await etcd.put(f"{space}.{name}", value)
    await grid_client._mailboxes.read(f"{space}.m")
    await wait_until(lambda: grid_client._mailboxes._view.loaded, "the watch")
    asking = grid_client.send("m", EchoMsg(), timeout=30)
    await wait_until(lambda: bool(grid_client._transport._pools), "the dial")
    (dial,) = grid_client._transport._pools.values()
    await etcd.delete(f"{space}.n")
    await wait_until(lambda: grid_client._mailboxes.find(f"{space}.n") is None, "it left")
    assert list(grid_client._transport._pools.values()) == [dial]
    assert dial._dialling
    await etcd.delete(f"{space}.slow")  # the peer itself
    await wait_until(lambda: grid_client._mailboxes.find(f"{space}.slow") is None, "it left")
    await etcd.delete(f"{space}.m")
    with pytest.raises(UnregisteredMailbox):
        await asyncio.wait_for(asking, 10)


async def test_a_dial_that_was_given_up_leaves_nothing(
    etcd: EtcdClient, silent_port: int, grid_client: grid.Client
) -> None:
    address = f"127.0.0.1:{silent_port}"
    key = f"{grid_client.namespace}.mailbox.m"
    await etcd.put(key, encode_registration(key, address, "gone", session=1))
    await grid_client._mailboxes.read(key)
    asking = grid_client.send("m", EchoMsg(), timeout=30)
    await wait_until(lambda: bool(grid_client._transport._pools), "the dial")
    await etcd.delete(key)
    with pytest.raises(UnregisteredMailbox):
        await asyncio.wait_for(asking, 10)
    await wait_until(lambda: not grid_client._transport.pools, "the end of the dial")
