from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass

import pytest

from machine.errors import InvalidArgument, MissingExtra, SchemaError
from machine.schema.schema import Schema, State


@dataclass
class OpenArgs:
    who: str


FULL = "A*! ?B,C +D -E >F #tag,key:v; B!; C; D; E; F"


def test_every_sign_is_read() -> None:
    assert Schema.parse(FULL)["A"] == State(
        auto=True,
        multi=True,
        require=["B", "C"],
        add="D",
        remove="E",
        after="F",
        tags=["tag", "key:v"],
    )


@pytest.mark.parametrize(
    "text", [FULL, "A", "A; B", "Exception; A", "A; Exception -A", "A* -Exception; B !", ""]
)
def test_text_round_trip(text: str) -> None:
    schema = Schema.parse(text)
    assert Schema.parse(str(schema)) == schema
    assert eval(repr(schema), {"Schema": Schema}) == schema  # noqa: S307


def test_the_text_comes_back_as_written() -> None:
    assert str(Schema.parse(FULL)) == FULL
    assert str(Schema.parse(" A * !  ? B , C ;\n B;C; ")) == "A*! ?B,C; B; C"
    assert str(Schema.parse("A +B +C; B; C")) == "A +B,C; B; C"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A; B ?", r"state 2 \('B \?'\): cannot read '\?'"),
        ("A; *B", r"state 2 \('\*B'\): has no name"),
        ("A %B", r"cannot read '%B'"),
        ("A +B,; B", "cannot read ','"),
        ("A; A", "'A' is defined twice"),
    ],
)
def test_errors_name_the_place(text: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        Schema.parse(text)


def test_only_text_is_parsed() -> None:
    with pytest.raises(InvalidArgument, match="parse takes a str"):
        Schema.parse(3)  # type: ignore[arg-type]


@pytest.fixture
def schema() -> Schema:
    states = {"B": State(auto=True, add="A", args=OpenArgs, tags="x y"), "A": State(remove="B")}
    return Schema(states, groups={"Both": ["A", "B"]})


def test_data_round_trip_keeps_order_groups_and_args(schema: Schema) -> None:
    for again in (Schema.from_dict(schema.to_dict()), Schema.from_json(schema.to_json())):
        assert again == schema
        assert again.names == ("B", "A", "Exception")
        assert again["B"].args is OpenArgs


def test_args_are_looked_up_and_never_imported(schema: Schema) -> None:
    data = {"states": {"A": {"args": "idlelib:nothing.There"}}}
    assert Schema.from_dict(data)["A"].args is None
    assert "idlelib" not in sys.modules
    ours = Schema.from_dict({"states": {"A": {"args": "my:Type"}}}, types={"my:Type": OpenArgs})
    assert ours["A"].args is OpenArgs
    with pytest.raises(SchemaError, match=r"states\.A: args 'my:Typ' is not among types="):
        Schema.from_dict({"states": {"A": {"args": "my:Typ"}}}, types={"my:Type": OpenArgs})


def test_order_in_data() -> None:
    data = {"states": {"A": None, "B": {}}, "order": ["B", "A"]}
    assert Schema.from_dict(data).names == ("B", "A", "Exception")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "in door.json: the top is a mapping, not list"),
        ({}, "states is a mapping, not NoneType"),
        ({"states": {}, "state": {}}, "the top has 'state'"),
        ({"states": {"A": 3}}, "states.A: a State, a mapping or None, not int 3"),
        ({"states": {"A": {"add": 3}}}, "states.A: add takes a name or names, not int 3"),
        ({"states": {"A": {"ad": "A"}}}, "states.A: a state has no 'ad'; did you mean 'add'"),
        ({"states": {1: {}}}, "states has the key 1, which is no text"),
        ({"states": {"A": {1: 2}}}, "states.A"),
        ({"states": {"A": {}}, "order": "A"}, "order is an iterable of names"),
        ({"states": {"A": {}}, "groups": {"G": 3}}, "groups.G takes a name or names"),
        ({"states": {"A": {"require": "B"}}}, "'A' has require='B', which is no state"),
    ],
)
def test_bad_data_names_the_place(data: dict[str, object], said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema.from_dict(data, place="door.json")
    assert said in str(caught.value)
    assert "door.json" in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"states": {"A": {}, "A": {}}}', "[1]"])
def test_bad_json(text: str) -> None:
    with pytest.raises(SchemaError, match="in JSON"):
        Schema.from_json(text)


def test_yaml_round_trip(schema: Schema) -> None:
    pytest.importorskip("yaml")
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert Schema.from_yaml("states: {A: , B: {require: A}}")["B"].require == ("A",)
    with pytest.raises(SchemaError, match=r"in door\.yaml: cannot be read"):
        Schema.from_yaml("states: [", place="door.yaml")
    with pytest.raises(SchemaError, match="cannot be read"):
        Schema.from_yaml("states: !!python/object/apply:os.getcwd []")


def test_without_yaml_the_extra_is_named(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def refuse(name: str, *args: object, **named: object) -> object:
        if name == "yaml":
            raise ImportError(name)
        return genuine(name, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"actor-grid\[yaml\]") as caught:
        schema.to_yaml()
    assert caught.value.extra == "yaml"
    with pytest.raises(MissingExtra):
        Schema.from_yaml("states: {}")
