"""Messages from what users type, without a grid."""

from __future__ import annotations

import base64
import io
import math
import sys
import types

import pytest
from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from grid.cli._exits import BadInput, Code, code_of
from grid.cli._messages import build_message, message_type, to_json
from grid.cli._requests import key_values
from grid.errors import (
    DeadlineExceeded,
    EtcdUnavailable,
    InvalidNamespace,
    LeaseTooShort,
    RequestFailed,
    StaleEpoch,
    UnknownActor,
    UnregisteredMailbox,
    UnspecifiedAddress,
)
from grid.wire_pb2 import Ack, ActorStart, ActorStop, EchoMsg


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("EchoMsg", EchoMsg),
        ("grid.EchoMsg", EchoMsg),
        ("github.com/lytics/grid/v3/Ack", Ack),
        ("google.protobuf.Api", api_pb2.Api),
    ],
)
def test_types_by_their_names(name: str, cls: type[Message]) -> None:
    assert message_type(name) is cls


def test_short_names_of_imported_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    _import_module_with(monkeypatch, "tests.cli.a", "Order", "Bill")
    assert message_type("Bill").DESCRIPTOR.full_name == "tests.cli.a.Bill"
    _import_module_with(monkeypatch, "tests.cli.b", "Order")
    with pytest.raises(
        BadInput, match=r"called 'Order': .*tests\.cli\.a\.Order, tests\.cli\.b\.Order"
    ):
        message_type("Order")
    assert message_type("b.Order").DESCRIPTOR.full_name == "tests.cli.b.Order"


def _import_module_with(monkeypatch: pytest.MonkeyPatch, package: str, *names: str) -> None:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    for name in names:
        file.message_type.add(name=name)
    pool = DescriptorPool()
    pool.Add(file)
    module = types.ModuleType(f"{package}_pb2")
    module.__dict__["DESCRIPTOR"] = pool.FindFileByName(file.name)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EchoMgs", r"no type 'EchoMgs'; did you mean grid\.EchoMsg\?"),
        ("Zyxwvu", r"no type 'Zyxwvu'; name the module it is in with --proto-module or --app"),
    ],
)
def test_unknown_types(name: str, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        message_type(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"msg": "a"}', EchoMsg(msg="a")),
        ('{"msg": null}', EchoMsg()),
        ('{"data": "_-8"}', ActorStart(data=b"\xff\xef")),
        ('{"type": "t", "data": "aGk="}', ActorStart(type="t", data=b"hi")),
        ('{"graceMs": "18446744073709551615"}', ActorStop(grace_ms=2**64 - 1)),
        ('{"grace_ms": 3.0}', ActorStop(grace_ms=3)),
        ('{"a": [1, {"b": null}]}', None),
        ('{"kind": "TYPE_BOOL", "packed": true, "number": -1}', None),
        ('{"kind": 8}', type_pb2.Field(kind=type_pb2.Field.TYPE_BOOL)),
        ('"NaN"', None),
        ('{"methods": [{"name": "m"}], "version": "1"}', None),
    ],
)
def test_json_that_fits(text: str, expected: Message | None) -> None:
    classes: dict[str, type[Message]] = {
        '{"a"': struct_pb2.Struct,
        '{"ki': type_pb2.Field,
        '"NaN': wrappers_pb2.DoubleValue,
        '{"me': api_pb2.Api,
    }
    cls = type(expected) if expected is not None else classes[text[:4]]
    built = build_message(cls, text)
    if expected is not None:
        assert built == expected
    if isinstance(built, wrappers_pb2.DoubleValue):
        assert math.isnan(built.value)


@pytest.mark.parametrize(
    ("cls", "text", "error"),
    [
        (EchoMsg, "{msg: 1}", r"^not JSON: Expecting property name.*: '\{msg: 1\}'$"),
        (EchoMsg, "x" * 100, r"'x{57}\.\.\.'$"),
        (EchoMsg, "[]", r"^grid\.EchoMsg must be an object with msg, not \[\]$"),
        (EchoMsg, '{"mgs": 1}', r"^grid\.EchoMsg has no field 'mgs'; did you mean 'msg'\? its"),
        (EchoMsg, '{"zzz": 1}', r"^grid\.EchoMsg has no field 'zzz'; its fields: msg$"),
        (EchoMsg, '{"msg": 1}', r"^msg must be a string, not 1$"),
        (Ack, '{"a": 1}', r"^grid\.Ack has no field 'a'; its fields: none$"),
        (ActorStop, '{"graceMs": -3}', r"^graceMs must be an integer of 0 or more, not -3$"),
        (ActorStop, '{"grace_ms": true}', r"^grace_ms must be an integer of 0 or more, not True$"),
        (ActorStart, '{"data": {}}', r"^data must be a base64 string, not \{\}$"),
        (ActorStart, '{"data": "$"}', r"^data must be a base64 string, not '\$'$"),
        (type_pb2.Field, '{"number": "a"}', r"^number must be an integer, not 'a'$"),
        (type_pb2.Field, '{"number": 9999999999}', r"^not a google\.protobuf\.Field: .*number"),
        (type_pb2.Field, '{"packed": 1}', r"^packed must be true or false, not 1$"),
        (type_pb2.Field, '{"kind": "X"}', r"^kind must be one of TYPE_UNKNOWN, TYPE_DOUBLE, "),
        (api_pb2.Api, '{"methods": {}}', r"^methods must be a list, not \{\}$"),
        (api_pb2.Api, '{"methods": [{}, 1]}', r"^methods\[1\] must be an object with name, "),
        (
            api_pb2.Api,
            '{"methods": [{"options": [{"nme": 1}]}]}',
            r"^google\.protobuf\.Option has no field 'nme' at 'methods\[0\]\.options\[0\]'; did",
        ),
    ],
)
def test_json_that_does_not_fit(cls: type[Message], text: str, error: str) -> None:
    with pytest.raises(BadInput, match=error):
        build_message(cls, text)


def test_json_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"msg": "in"}'))
    assert build_message(EchoMsg, "-") == EchoMsg(msg="in")


def test_replies_show_zeroes_under_the_names_of_the_proto() -> None:
    assert to_json(type_pb2.Field(name="a"))["oneof_index"] == 0
    assert to_json(Ack()) == {}


def test_metadata_is_pairs() -> None:
    assert key_values(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    assert key_values(None) == {}
    for text in ("a", "=a"):
        with pytest.raises(BadInput, match=f"metadata must be key=value, not '{text}'"):
            key_values([text])


def test_exit_codes() -> None:
    assert code_of(InvalidNamespace("a.b")) is Code.USAGE
    assert code_of(UnspecifiedAddress("0.0.0.0:1")) is Code.USAGE
    assert code_of(LeaseTooShort(1, 2)) is Code.USAGE
    assert code_of(UnregisteredMailbox("a")) is Code.NOT_FOUND
    assert code_of(UnknownActor("a")) is Code.NOT_FOUND
    assert code_of(DeadlineExceeded("a", 1)) is Code.TIMED_OUT
    assert code_of(RequestFailed("no")) is Code.FAILED
    assert code_of(StaleEpoch("a", 1, 2)) is Code.FAILED
    assert code_of(EtcdUnavailable("gone")) is Code.FAILED


# -- replies that JSON cannot say ---------------------------------------------


def _decoded(part: dict[str, str]) -> bytes:
    return base64.b64decode(part["@base64"])


def test_a_reply_with_an_unknown_any_keeps_its_bytes() -> None:
    unknown = any_pb2.Any(type_url="type.googleapis.com/no.such.Type", value=b"\x08\x01")
    option = type_pb2.Option(name="a", value=unknown)
    shown = to_json(type_pb2.Type(name="t", options=[option], oneofs=["x"]))
    assert shown["name"] == "t"
    assert shown["oneofs"] == ["x"]
    (part,) = shown["options"]
    assert part["name"] == "a"
    assert part["value"]["@type"] == "google.protobuf.Any"
    assert any_pb2.Any.FromString(_decoded(part["value"])) == unknown


def test_a_reply_with_a_time_out_of_range_keeps_its_bytes() -> None:
    late = timestamp_pb2.Timestamp(seconds=2**60)
    assert timestamp_pb2.Timestamp.FromString(_decoded(to_json(late))) == late


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    for text in ("[" * 100_000, '{"a":' * 1_000 + "1" + "}" * 1_000):
        with pytest.raises(BadInput, match=r"nested too deeply|too deep"):
            build_message(struct_pb2.Struct, text)
