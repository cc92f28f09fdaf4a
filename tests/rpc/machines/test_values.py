"""Arguments and results as messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.wire_pb2 import EchoMsg
from rpc.machine_pb2 import Mutation, Packed, Scalar, ToSource
from rpc.machines.errors import NotPlainData
from rpc.machines.values import from_scalar, from_values, to_scalar, to_values

text = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    sent = Scalar.FromString(to_scalar(value).SerializeToString())
    assert from_scalar(sent) == value


def test_messages_and_dataclasses_travel() -> None:
    @dataclasses.dataclass
    class Args:
        who: str
        echo: EchoMsg

    values = to_values({"args": Args("kim", EchoMsg(msg="hello")), "pair": (1, 2)})
    assert from_values(values) == {
        "args": {"who": "kim", "echo": EchoMsg(msg="hello")},
        "pair": [1, 2],
    }


def nested(depth: int, around: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = around(value)
    return value


@pytest.mark.parametrize(
    ("deepest", "around"),
    [(45, lambda one: [one]), (30, lambda one: {"a": one}), (18, lambda one: {"a": [one]})],
)
def test_what_is_sent_is_no_deeper_than_a_receiver_reads(
    deepest: int, around: Callable[[Any], Any]
) -> None:
    value = nested(deepest, around)
    mutation = ToSource(mutation=Mutation(args=to_values({"x": value})))
    found = ToSource.FromString(mutation.SerializeToString())
    assert from_values(found.mutation.args) == {"x": value}
    with pytest.raises(NotPlainData, match="nested deeper than 30 mappings or 45 lists"):
        to_scalar(nested(deepest + 1, around))


def looped() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "args.x is of type object"),
        ({"a": [1, object()]}, r"args\.x\.a\[1\]"),
        ({1: 2}, "the key 1 of args.x"),
        ("\ud800", "UTF-8"),
        (looped(), "contains itself"),
    ],
)
def test_other_values_are_refused_and_say_where(value: Any, said: str) -> None:
    with pytest.raises(NotPlainData, match=said):
        to_values({"args": {"x": value}})


@pytest.mark.parametrize(
    "scalar",
    [
        Scalar(message=Packed(type_name="no.Such")),
        Scalar(large="12a"),
        Scalar(large="1" * 5000),
    ],
)
def test_what_makes_no_value_here_is_refused(scalar: Scalar) -> None:
    with pytest.raises(NotPlainData):
        from_scalar(scalar)
