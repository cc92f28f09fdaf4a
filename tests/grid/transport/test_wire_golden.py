"""The bytes on the wire and the keys in etcd are those of lytics/grid v3.

Nothing here goes through the code that it tests on the other side: envelopes are
put together and read by hand, and etcd is dumped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid import Ack, ActorContext, ActorStart, Client, Codec, EchoMsg, Server
from grid.embedded import Etcd
from grid.etcd import EtcdClient, EtcdConfig, KeyValue
from grid.registry.names import address_lock_key
from grid.registry.registration import encode_registration

GO = "github.com/lytics/grid/v3/"
HI = bytes.fromhex("0a02 6869")  # EchoMsg "hi"
START = bytes.fromhex("0a0174 12016e 1a020102")  # ActorStart type "t", name "n", data 01 02


def envelope(type_name: str, data: bytes, receiver: str = "") -> bytes:
    """A `Delivery` as Go encodes it: fields 2, 3, 4; ver is 0 and so absent."""
    fields = ((0x12, data), (0x1A, type_name.encode()), (0x22, receiver.encode()))
    assert all(len(one) < 128 for _, one in fields)
    return b"".join(bytes((tag, len(one))) + one for tag, one in fields if one)


@pytest.fixture
def codec() -> Codec:
    """Message types as Go peers name them."""
    codec = Codec()
    codec.register(EchoMsg, name=GO + "EchoMsg")
    return codec


@pytest.fixture
async def server(grid_servers: Callable[..., Server], codec: Codec) -> Server:
    """A peer with an actor type `t`, which echoes, and fails if told to."""
    server = grid_servers(codec=codec, annotations=["zone=b", "arch=x", "a<b"], unix_socket=False)

    @server.actor("t", mailbox=8)
    async def echo(ctx: ActorContext) -> None:
        async for request in ctx.mailbox:
            if request.message == EchoMsg(msg="data"):
                request.respond(EchoMsg(msg=ctx.data.hex()))
            elif request.message == EchoMsg(msg="fail"):
                request.fail("as told")
            else:
                request.respond(request.message)

    await server.start()
    return server


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the peer as any gRPC client makes one."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
async def etcd(grid_etcd: Etcd) -> AsyncIterator[EtcdClient]:
    """A client of etcd, to see what stands there."""
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        yield etcd


async def call(
    channel: grpc.aio.Channel, request: bytes, path: str = "/grid.wire/Process"
) -> bytes:
    """One unary call of plain bytes."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    answer: bytes = await method(request, timeout=10)
    return answer


async def refusal(channel: grpc.aio.Channel, request: bytes) -> tuple[grpc.StatusCode, str]:
    """The status code and text of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, request)
    return refused.value.code(), refused.value.details() or ""


async def start(channel: grpc.aio.Channel, server: Server, prefix: str = GO) -> bytes:
    """Start the actor `n` as a Go peer would; the raw answer."""
    receiver = f"{server.config.namespace}.mailbox.{server.name}"
    return await call(channel, envelope(prefix + "ActorStart", START, receiver))


def test_payloads_are_plain_protobuf(codec: Codec) -> None:
    assert codec.encode(EchoMsg(msg="hi"), limit=9) == (GO + "EchoMsg", HI)
    assert codec.encode(Ack(), limit=9) == (GO + "Ack", b"")
    start = ActorStart(type="t", name="n", data=b"\1\2")
    assert codec.encode(start, limit=99) == (GO + "ActorStart", START)


# -- a peer --------------------------------------------------------------------


async def test_a_start_and_a_request(server: Server, channel: grpc.aio.Channel) -> None:
    assert await start(channel, server) == envelope(GO + "Ack", b"")
    receiver = f"{server.config.namespace}.mailbox.n"
    answer = await call(channel, envelope(GO + "EchoMsg", HI, receiver))
    assert answer == envelope(GO + "EchoMsg", HI)
    answer = await call(channel, envelope(GO + "EchoMsg", b"\x0a\x04data", receiver))
    assert answer == envelope(GO + "EchoMsg", b"\x0a\x040102")
    # Who asks under the protobuf name is answered under it.
    answer = await call(channel, envelope("grid.EchoMsg", HI, receiver))
    assert answer == envelope("grid.EchoMsg", HI)


async def test_names_of_older_go_peers(server: Server, channel: grpc.aio.Channel) -> None:
    vendored = "github.com/lytics/lio/vendor/"
    receiver = f"{server.config.namespace}.mailbox.n"
    # Before v3.1.1 the import path had no /v3, and is answered in kind.
    answer = await start(channel, server, "github.com/lytics/grid/")
    assert answer == envelope("github.com/lytics/grid/Ack", b"")
    answer = await call(channel, envelope(vendored + GO + "EchoMsg", HI, receiver))
    assert answer == envelope(GO + "EchoMsg", HI)


async def test_only_the_lower_case_service_is_there(
    server: Server, channel: grpc.aio.Channel
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, envelope(GO + "EchoMsg", HI, "x"), "/grid.Wire/Process")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_refusals_hold_the_phrases_that_go_looks_for(
    server: Server, channel: grpc.aio.Channel
) -> None:
    await start(channel, server)
    mailboxes = f"{server.config.namespace}.mailbox."
    starts, actor = mailboxes + server.name, mailboxes + "n"
    cases = (
        (envelope(GO + "EchoMsg", HI, mailboxes + "nobody"), "grid: unknown mailbox"),
        (envelope(GO + "EchoMsg", HI, "n"), "grid: unknown mailbox"),
        (envelope(GO + "Nothing", HI, actor), "codec: unregistered message type"),
        (envelope("", HI, actor), "codec: unregistered message type"),
        (envelope(GO + "EchoMsg", b"\x0a\x63", actor), "proto: "),
        (b"\x12\x63", "proto: "),
        (envelope(GO + "EchoMsg", b"\x0a\x04fail", actor), "as told"),
        (
            envelope(GO + "ActorStart", START, starts),
            f'registering actor "{server.config.namespace}.actor.n": registry: already registered',
        ),
        (envelope(GO + "ActorStart", b"\x0a\x01u\x12\x01u", starts), "def not registered: type=u"),
        (envelope(GO + "ActorStart", b"\x0a\x01!\x12\x01u", starts), "grid: invalid actor type"),
        (envelope(GO + "ActorStart", b"\x0a\x01t\x12\x01!", starts), "grid: invalid name"),
        (envelope(GO + "ActorStart", b"\x0a\x01t", starts), "grid: invalid name"),
    )
    for request, phrase in cases:
        code, text = await refusal(channel, request)
        assert code is not grpc.StatusCode.OK
        assert phrase in text, request


async def test_health_is_that_of_the_whole_server(
    server: Server, channel: grpc.aio.Channel
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


# -- a client --------------------------------------------------------------------


class Recorder(grpc.GenericRpcHandler):
    """A server of another kind, which keeps what it is sent."""

    def __init__(self, answer: bytes) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self._answer = answer

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Take any method."""

        async def take(request: bytes, _: object) -> bytes:
            self.calls.append((details.method, request))
            return self._answer

        return grpc.unary_unary_rpc_method_handler(take)


async def test_what_a_client_sends(
    grid_etcd: Etcd, grid_namespace: str, etcd: EtcdClient, codec: Codec
) -> None:
    recorder = Recorder(envelope(GO + "EchoMsg", HI))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    key = f"{grid_namespace}.mailbox.m"
    await etcd.put(key, encode_registration(key, address, "other"))

    async with Client(grid_namespace, etcd=grid_etcd.endpoint, codec=codec) as client:
        assert await client.request("m", EchoMsg(msg="hi")) == EchoMsg(msg="hi")
    await server.stop(None)
    await etcd.delete(key)

    ((path, sent),) = recorder.calls
    assert path == "/grid.wire/Process"
    golden = envelope(GO + "EchoMsg", HI, key)
    assert sent.startswith(golden)
    # What follows is ours, which Go skips: fields from 16 up have tags of two bytes.
    assert sent[len(golden) :].startswith(b"\x80\x01")


# -- the registry ------------------------------------------------------------------


async def registry(etcd: EtcdClient, namespace: str, address: str) -> list[KeyValue]:
    """All that stands in etcd for a namespace with one peer."""
    stored = (await etcd.get_prefix(namespace + ".")).items
    lock = await etcd.get(address_lock_key(address))
    return [*stored, lock] if lock else list(stored)


async def test_what_stands_in_etcd(
    server: Server, channel: grpc.aio.Channel, etcd: EtcdClient
) -> None:
    await start(channel, server)
    space, address = server.config.namespace, server.address
    name = address.replace(".", "-").replace(":", "-")
    assert server.name == name

    stored = await registry(etcd, space, address)
    owner = f'"address":"{address}","registry":"{name}"'
    own = '"annotations":["a<b","arch=x","zone=b"],"session":1,"types":["t"]}'
    none = '"annotations":null,"session":1}'  # Go skips what comes after the annotations
    typed = '"annotations":null,"session":1,"type":"t"}'
    assert {one.key: one.value.decode() for one in stored} == {
        f"{space}.actor.n": f'{{"key":"{space}.actor.n",{owner},{typed}',
        f"{space}.mailbox.{name}": f'{{"key":"{space}.mailbox.{name}",{owner},{none}',
        f"{space}.mailbox.n": f'{{"key":"{space}.mailbox.n",{owner},{none}',
        f"{space}.peer.{name}": f'{{"key":"{space}.peer.{name}",{owner},{own}',
        f"registry.uniq-lock.{address}": "",
    }
    (lease,) = {one.lease for one in stored}
    assert lease

    await server.stop()
    assert not await registry(etcd, space, address)
