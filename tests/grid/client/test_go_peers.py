"""Requests to Go peers that would do harm, or nothing, are not sent."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

import grid
from grid.embedded import Etcd
from grid.errors import AlreadyRegistered, RequestFailed, UnknownActor
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.registration import encode_registration
from grid.wire_pb2 import Ack, ActorStart, Delivery

GO = "github.com/lytics/grid/v3/"


class GoPeer:
    """A peer that speaks as one in Go does: single calls, no sessions, no stops."""

    def __init__(self, etcd: EtcdClient, namespace: str, address: str) -> None:
        self._etcd = etcd
        self._namespace = namespace
        self._address = address
        self._keys: list[str] = []
        self.got: list[Delivery] = []

    async def register(self, kind: str, name: str) -> None:
        key = f"{self._namespace}.{kind}.{name}"
        self._keys.append(key)
        await self._etcd.put(key, encode_registration(key, self._address, "go"))

    async def leave(self) -> None:
        for key in self._keys:
            await self._etcd.delete(key)

    async def process(self, data: bytes, _: object) -> bytes:
        self.got.append(Delivery.FromString(data))
        return Delivery(typeName=GO + "Ack", data=Ack().SerializeToString()).SerializeToString()


@pytest.fixture
async def go(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[GoPeer]:
    server = grpc.aio.server()
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        port = server.add_insecure_port("127.0.0.1:0")
        peer = GoPeer(etcd, grid_namespace, f"127.0.0.1:{port}")
        handlers: Any = {"Process": grpc.unary_unary_rpc_method_handler(peer.process)}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grid.wire", handlers),)
        )
        await server.start()
        await peer.register("peer", "go")
        await peer.register("mailbox", "go")
        yield peer
        await server.stop(None)
        await peer.leave()


async def test_an_actor_on_a_go_peer_cannot_be_stopped_by_a_request(
    go: GoPeer, grid_client: grid.Client
) -> None:
    await go.register("actor", "a")
    with pytest.raises(RequestFailed, match="Go peer 'go'") as caught:
        await grid_client.stop_actor("a")
    assert caught.value.code == "UNIMPLEMENTED"
    with pytest.raises(UnknownActor):
        await grid_client.stop_actor("b")
    assert not go.got


@pytest.mark.parametrize("peer", ["go", None])
async def test_a_name_that_runs_is_not_started_on_a_go_peer(
    peer: str | None, go: GoPeer, grid_client: grid.Client
) -> None:
    assert await grid_client.start_actor("worker", name="a", peer=peer) == "go"
    (start,) = go.got
    assert start.typeName == GO + "ActorStart"
    assert ActorStart.FromString(start.data).name == "a"
    await go.register("actor", "a")
    with pytest.raises(AlreadyRegistered) as caught:
        await grid_client.start_actor("worker", name="a", peer=peer)
    assert caught.value.peer == "go"
    assert caught.value.epoch > 0
    assert len(go.got) == 1
