"""Message types travel under names that Go and Python peers agree on."""

import subprocess
import sys

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_pb2 import UninterpretedOption
from google.protobuf.wrappers_pb2 import StringValue

from grid.codec import Codec
from grid.errors import (
    InvalidArgument,
    MessageTooLarge,
    UndecodableMessage,
    UnknownMessageType,
    UnsupportedMessage,
)
from grid.wire_pb2 import Ack, ActorStart, EchoMsg

GO = "github.com/lytics/grid/v3/"
LIMIT = 1 << 20


def test_a_message_travels_under_its_full_name_by_default() -> None:
    codec = Codec()
    assert codec.encode(EchoMsg(msg="hi"), limit=LIMIT) == ("grid.EchoMsg", b"\x0a\x02hi")
    assert codec.decode("grid.EchoMsg", b"\x0a\x02hi") == EchoMsg(msg="hi")


def test_built_in_messages_travel_under_their_go_names() -> None:
    codec = Codec()
    assert codec.encode(Ack(), limit=LIMIT) == (GO + "Ack", b"")
    assert codec.name_of(ActorStart) == GO + "ActorStart"


@pytest.mark.parametrize(
    "name",
    [
        GO + "ActorStart",
        "github.com/lytics/lio/vendor/" + GO + "ActorStart",
        "github.com/lytics/grid/ActorStart",
        "grid.ActorStart",
    ],
)
def test_all_names_of_a_built_in_are_understood(name: str) -> None:
    assert Codec().type_of(name) is ActorStart


@pytest.mark.parametrize(
    ("request_name", "reply_name"),
    [
        (GO + "ActorStart", GO + "Ack"),
        ("github.com/lytics/lio/vendor/" + GO + "ActorStart", GO + "Ack"),
        ("github.com/lytics/grid/ActorStart", "github.com/lytics/grid/Ack"),
        ("grid.ActorStart", "grid.Ack"),
        ("main/Event", GO + "Ack"),
    ],
)
def test_a_reply_goes_out_in_the_style_of_its_request(request_name: str, reply_name: str) -> None:
    assert Codec().name_of(Ack, like=request_name) == reply_name


def test_a_given_name_is_sent_and_the_full_name_still_understood() -> None:
    codec = Codec()
    codec.register(EchoMsg, name="main/Event", accept=["old/Event"])
    assert codec.name_of(EchoMsg) == "main/Event"
    assert codec.name_of(EchoMsg, like="grid.ActorStart") == "grid.EchoMsg"
    for name in ("main/Event", "old/Event", "grid.EchoMsg"):
        assert codec.type_of(name) is EchoMsg


def test_a_name_means_one_type() -> None:
    codec = Codec()
    codec.register(EchoMsg, name="main/Event")
    with pytest.raises(ValueError, match="main/Event"):
        codec.register(StringValue, name="main/Event")
    assert codec.type_of("main/Event") is EchoMsg


def test_an_imported_type_needs_no_registration() -> None:
    assert Codec().type_of("google.protobuf.Any") is Any


@pytest.mark.parametrize("name", ["", "no.such.Type", "github.com/x/Y", "grid.wire"])
def test_an_unknown_type_is_named_in_the_error(name: str) -> None:
    with pytest.raises(UnknownMessageType, match="codec: unregistered message type") as caught:
        Codec().decode(name, b"")
    assert caught.value.type_name == name


def test_garbage_is_undecodable() -> None:
    with pytest.raises(UndecodableMessage, match="proto:") as caught:
        Codec().decode("grid.EchoMsg", b"\xff\xff\xff")
    assert caught.value.type_name == "grid.EchoMsg"


@pytest.mark.parametrize("message", ["text", 7, None, EchoMsg, object()])
def test_what_is_no_message_is_refused(message: object) -> None:
    with pytest.raises(UnsupportedMessage):
        Codec().encode(message, limit=LIMIT)  # type: ignore[arg-type]


def test_only_message_classes_are_registered() -> None:
    for wrong in (EchoMsg(), str, "grid.EchoMsg"):
        with pytest.raises(UnsupportedMessage):
            Codec().register(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["half \ud800", "a\0b", "two\nlines", 5])
def test_only_printable_names_are_registered(name: object) -> None:
    codec = Codec()
    for given in ({"name": name}, {"accept": [name]}):
        with pytest.raises(InvalidArgument, match="printable text"):
            codec.register(StringValue, **given)
    assert codec.encode(StringValue(), limit=10)[0] == "google.protobuf.StringValue"


def test_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(MessageTooLarge) as caught:
        Codec().encode(EchoMsg(msg="x" * 1000), limit=1000)
    assert (caught.value.size, caught.value.limit) == (1003, 1000)
    assert Codec().encode(EchoMsg(msg="x" * 997), limit=1000)[1]


@pytest.mark.parametrize(
    "prefix", [GO, "github.com/lytics/grid/", "github.com/lytics/lio/vendor/" + GO]
)
def test_the_shipped_echo_is_known_under_its_go_names(prefix: str) -> None:
    codec = Codec()
    assert codec.decode(prefix + "EchoMsg", b"\x0a\x02hi") == EchoMsg(msg="hi")
    assert codec.name_of(EchoMsg) == "grid.EchoMsg"
    assert codec.name_of(EchoMsg, like="github.com/lytics/grid/v3/EchoMsg") == GO + "EchoMsg"


def test_a_missing_required_field_is_named() -> None:
    with pytest.raises(UnsupportedMessage, match="name_part") as caught:
        Codec().encode(UninterpretedOption.NamePart(), limit=LIMIT)
    assert "is not a protobuf message" not in str(caught.value)
    assert caught.value.type_name == "google.protobuf.UninterpretedOption.NamePart"


def test_well_known_types_need_no_import() -> None:
    """A receiver knows `Struct` and the like although nothing of its code imports them."""
    program = (
        "from grid.codec import default_codec as codec\n"
        "print(codec.decode('google.protobuf.StringValue', b'\\n\\x02hi').value)\n"
        "print(codec.type_of('google.protobuf.Struct').DESCRIPTOR.full_name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["hi", "google.protobuf.Struct"]
