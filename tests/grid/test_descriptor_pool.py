"""A program's own `.proto` files beside the grid's: the same paths, packages and names."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from grid import EchoMsg
from grid.wire_pb2 import Delivery, Frame

# Files that exclude the grid's (and etcd's own) if they share a descriptor pool.
_OTHERS = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

def add(path, package, *messages):
    file = descriptor_pb2.FileDescriptorProto(name=path, package=package, syntax="proto3")
    for name in messages:
        field = file.message_type.add(name=name).field.add()
        field.name, field.number, field.type, field.label = "mine", 1, 9, 1
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

def theirs():
    add("auth.proto", "shop.auth", "User")
    add("kv.proto", "mvccpb", "KeyValue", "Event")
    add("rpc.proto", "etcdserverpb", "RangeRequest", "TxnRequest")
    add("wire.proto", "grid", "Delivery", "EchoMsg", "ActorStart", "Frame")
    add("grid.proto", "", "grid_")
    add("grid/wire.proto", "grid.shop", "Order")
    add("grid/etcd/api.proto", "actor_grid.etcd", "RangeRequest")

def ours():
    import grid, grid.etcd.api_pb2, grid.wire_pb2, grid.server.server, grid.client.client
    assert grid.EchoMsg(msg="x").SerializeToString() == b"\\n\\x01x"
    from grid.codec import default_codec
    name, data = default_codec.encode(grid.EchoMsg(msg="x"), limit=99)
    assert (name, data) == ("grid.EchoMsg", b"\\n\\x01x"), name
    assert type(default_codec.decode(name, data)) is grid.EchoMsg
    assert grid.etcd.api_pb2.RangeRequest(key=b"k").SerializeToString() == b"\\n\\x01k"

def check():
    for name in ("grid.EchoMsg", "grid.Delivery", "etcdserverpb.RangeRequest"):
        found = descriptor_pool.Default().FindMessageTypeByName(name)
        assert [field.name for field in found.fields] == ["mine"], name
        message_factory.GetMessageClass(found)(mine="x")
"""


@pytest.mark.parametrize("order", ["theirs(); ours()", "ours(); theirs(); ours()"])
@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_a_program_may_have_files_and_messages_of_the_same_names(
    order: str, implementation: str
) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{_OTHERS}\n{order}; check()"],
        check=True,
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
    )


def test_importing_the_grid_adds_no_file_to_the_default_pool() -> None:
    code = """
from google.protobuf import descriptor_pool
import grid.etcd.api_pb2, grid.wire_pb2, grid.server.server, grid.client.client
for name in ("grid/wire.proto", "grid/etcd/api.proto", "rpc.proto", "kv.proto", "auth.proto"):
    try:
        descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        continue
    raise SystemExit(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_messages_of_the_grid_are_pickled() -> None:
    for message in (EchoMsg(msg="x"), Delivery(ver=Delivery.V1), Frame(kind=[Frame.TELL])):
        assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301


def test_the_full_names_are_those_of_the_go_library() -> None:
    assert EchoMsg.DESCRIPTOR.full_name == "grid.EchoMsg"
    assert Delivery.DESCRIPTOR.full_name == "grid.Delivery"
