"""Dataclasses and models of pydantic and msgspec as messages."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

import pytest

import grid
from grid.codec import Codec
from grid.errors import (
    InvalidArgument,
    MessageTooLarge,
    RequestFailed,
    UndecodableMessage,
    UnexpectedReply,
    UnsupportedMessage,
)
from grid.plain import adapter_of
from grid.wire_pb2 import EchoMsg, Plain

pydantic = pytest.importorskip("pydantic")
msgspec = pytest.importorskip("msgspec")


class Colour(enum.Enum):
    RED = "red"


Sku = NewType("Sku", str)


@dataclass(frozen=True)
class Line:
    sku: Sku
    amount: int = 1


@dataclass
class Amount:
    value: float | int


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    total: float = 0.0
    note: str | None = None
    paid: bool = False
    colour: Colour = Colour.RED
    kind: Literal["web", "shop"] = "web"
    photo: bytes = b""
    tags: frozenset[str] = frozenset()
    at: dt.datetime | None = None
    took: dt.timedelta = dt.timedelta()
    key: uuid.UUID | None = None
    price: decimal.Decimal = decimal.Decimal(0)
    by_day: dict[int, tuple[str, int]] = field(default_factory=dict)
    parent: Order | None = None
    extra: Any = None


FULL = Order(
    7,
    [Line(Sku("a")), Line(Sku("ß"), 3)],
    1.5,
    "hello",
    paid=True,
    kind="shop",
    photo=b"\x00\xff",
    tags=frozenset({"x", "y"}),
    at=dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    took=dt.timedelta(seconds=1.5),
    key=uuid.UUID(int=5),
    price=decimal.Decimal("1.10"),
    by_day={3: ("c", 4)},
    parent=Order(1),
    extra={"any": [1, None]},
)


class Reading(pydantic.BaseModel):  # type: ignore[name-defined, misc]
    sensor: str
    value: float = pydantic.Field(ge=0)


class Point(msgspec.Struct):  # type: ignore[name-defined, misc]
    x: int
    y: int = 0


@pytest.fixture
def codec() -> Codec:
    codec = Codec()
    codec.register(Order, name="shop.Order")
    codec.register(Reading)
    codec.register(Point, name="geo.Point")
    return codec


@pytest.mark.parametrize("message", [FULL, Order(1), Reading(sensor="a", value=1), Point(3)])
def test_a_plain_message_comes_back_equal(codec: Codec, message: Any) -> None:
    name, data = codec.encode(message, limit=10_000)
    assert name == "grid.Plain"
    assert codec.decode(name, data) == message


def test_the_envelope_can_be_read_without_the_class(codec: Codec) -> None:
    name, data = codec.encode(Order(7, [Line(Sku("a"))]), limit=10_000)
    envelope = Codec().decode(name, data)
    assert isinstance(envelope, Plain)
    assert envelope.type == "shop.Order"
    read = json.loads(envelope.json)
    assert (read["id"], read["lines"], read["colour"]) == (7, [{"sku": "a", "amount": 1}], "red")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "Order lacks id"),
        ("[]", "Order is an object"),
        ('{"id": "7"}', "id: '7' is no whole number"),
        ('{"id": true}', "id: True is no whole number"),
        ('{"id": 1.5}', "id: 1.5 is no whole number"),
        ('{"id": 1, "lines": [{"sku": "a", "amount": null}]}', "lines: amount: None"),
        ('{"id": 1, "colour": "blue"}', "colour: 'blue' is no Colour"),
        ('{"id": 1, "kind": "fax"}', "kind: 'fax' is none of 'web', 'shop'"),
        ('{"id": 1, "photo": "?"}', r"photo: '\?' is no bytes"),
        ('{"id": 1, "total": NaN}', "NaN is no JSON"),
        ('{"id": 1, "total": 1e999}', "total: inf is too large a number"),
        ('{"id": 1, "total": ' + "9" * 400 + "}", r"total: 9+\.\.\. is too large a number"),
        ('{"id": 1, "by_day": {"x": ["a", 1]}}', "by_day: 'x' is no int"),
        ('{"id": 1, "by_day": {"1": ["a"]}}', "no list of 2"),
        ("nonsense", "Expecting value"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_order_is_refused_with_the_field(codec: Codec, text: str, reason: str) -> None:
    envelope = Plain(type="shop.Order", json=text.encode())
    with pytest.raises(UndecodableMessage, match=reason) as raised:
        codec.decode("grid.Plain", envelope.SerializeToString())
    assert len(str(raised.value)) < 600


def test_a_number_that_is_no_float_may_be_the_other_type_of_a_field() -> None:
    adapter = adapter_of(Amount)
    for value in (10**400, 1.5):
        assert adapter.decode(adapter.encode(Amount(value))) == Amount(value)


def test_checks_of_models_refuse_too(codec: Codec) -> None:
    for name, text in (("Reading", '{"sensor": "a", "value": -1}'), ("geo.Point", '{"x": "a"}')):
        envelope = Plain(type=name, json=text.encode())
        with pytest.raises(UndecodableMessage, match=name):
            codec.decode("grid.Plain", envelope.SerializeToString())


def test_fields_may_be_added_and_left_out(codec: Codec) -> None:
    envelope = Plain(type="shop.Order", json=b'{"id": 1, "new": [1]}')
    assert codec.decode("grid.Plain", envelope.SerializeToString()) == Order(1)


def test_what_cannot_be_sent_is_refused_before_it_is(codec: Codec) -> None:
    with pytest.raises(UnsupportedMessage, match="Out of range float"):
        codec.encode(Order(1, total=float("nan")), limit=1000)
    with pytest.raises(UnsupportedMessage, match="JSON cannot carry a object"):
        codec.encode(Order(1, extra=object()), limit=1000)
    with pytest.raises(UnsupportedMessage, match=r"register it: grid\.register\(Line\)"):
        codec.encode(Line(Sku("a")), limit=1000)
    with pytest.raises(UnsupportedMessage, match="dict is not a protobuf message"):
        codec.encode({}, limit=1000)  # type: ignore[arg-type]
    with pytest.raises(MessageTooLarge):
        codec.encode(FULL, limit=100)
    loop = Order(1)
    loop.parent = loop
    with pytest.raises(UnsupportedMessage):
        codec.encode(loop, limit=1000)


def test_wrong_registrations_are_refused(codec: Codec) -> None:
    @dataclass
    class Odd:
        value: complex

    @dataclass
    class Other:
        id: int

    with pytest.raises(UnsupportedMessage, match=r"Odd\.value: .*complex"):
        codec.register(Odd)
    with pytest.raises(ValueError, match=r"is registered for .*Order"):
        codec.register(Other, name="shop.Order")
    with pytest.raises(InvalidArgument, match="printable"):
        codec.register(Other, name="a\n")
    assert codec.register(Other, accept=["shop.Other"]) is Other
    codec.learn(Order)  # it is known by another name
    under_its_own_name = Plain(type="Order", json=b"{}").SerializeToString()
    assert isinstance(codec.decode("grid.Plain", under_its_own_name), Plain)


# -- in a grid --------------------------------------------------------------------


@dataclass
class Bid:
    amount: int


@dataclass
class Won:
    by: str
    amount: int


class Auction:
    """Serves dataclasses, and a protobuf message beside them."""

    def __init__(self) -> None:
        self.best = 0

    @grid.handler
    async def bid(self, bid: Bid, request: grid.Request[Bid]) -> Won:
        self.best = max(self.best, bid.amount)
        return Won(request.metadata.get("user", ""), self.best)

    @grid.handler
    async def echo(self, message: EchoMsg) -> EchoMsg:
        return message

    @grid.handler
    async def count(self, upto: Won) -> AsyncIterator[Bid]:
        for number in range(upto.amount):
            yield Bid(number)


async def test_dataclasses_go_through_handlers_and_references(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.actor("auction")(Auction)
    await grid_client.start_actor("auction")
    auction = grid_client.actor(Auction, "auction")
    assert await auction.bid(Bid(5), metadata={"user": "kim"}) == Won("kim", 5)
    assert (await auction.echo(EchoMsg(msg="x"))).msg == "x"
    assert [item async for item in auction.count(Won("", 3))] == [Bid(0), Bid(1), Bid(2)]
    won = await grid_client.request("auction", Bid(3), reply=Won)
    assert won.amount == 5
    with pytest.raises(UnexpectedReply, match=r"Bid.*Won"):
        await grid_client.request("auction", Bid(3), reply=Bid)
    with pytest.raises(UnsupportedMessage):
        await grid_client.request("auction", Line(Sku("a")))
    unknown = Plain(type="nowhere.Type", json=b"{}")
    with pytest.raises(RequestFailed, match=r"no handler .*nowhere\.Type"):
        await grid_client.request("auction", unknown)


async def test_the_loop_style_takes_them_as_well(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("loop", mailbox=4)
    async def loop(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            bid: Any = request.message
            bid.amount += 1  # its own copy
            request.respond(bid)

    grid.register(Bid)
    await grid_client.start_actor("loop")
    mine = Bid(1)
    assert await grid_client.request("loop", mine, reply=Bid) == Bid(2)
    assert mine == Bid(1)
