from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from machine.errors import (
    HandlerTimeout,
    InvalidArgument,
    MachineError,
    SchemaError,
    UnknownState,
    WaitTimeout,
)
from machine.schema.schema import EXCEPTION, Relation, Schema, State, as_schema
from machine.schema.states import States, state


@dataclass
class OpenArgs:
    who: str


def codes(make: Callable[[], object]) -> list[str]:
    with pytest.raises(SchemaError) as caught:
        make()
    assert all(problem.text in str(caught.value) for problem in caught.value.problems)
    return [problem.code for problem in caught.value.problems]


class TestState:
    def test_relations_are_read_from_any_nesting(self) -> None:
        made = State(require="A", add=["B", ("C", iter(["D", "B"]))], remove={"Y", "X"})
        assert made.require == ("A",)
        assert made.add == ("B", "C", "D")
        assert made.remove == ("X", "Y")
        assert State(after={"Z": 1, "Q": 2}.keys()).after == ("Z", "Q")

    def test_a_misspelt_keyword_is_named(self) -> None:
        with pytest.raises(InvalidArgument, match="no 'requier'; did you mean 'require'"):
            State(requier="A")  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("require", 3),
            ("add", ["A", 3]),
            ("add", None),
            ("remove", b"A"),
            ("after", {"A": 1}),
            ("auto", "yes"),
            ("multi", 1),
            ("args", OpenArgs("me")),
        ],
    )
    def test_a_wrong_type_names_the_field(self, field: str, value: object) -> None:
        with pytest.raises(InvalidArgument, match=f"^{field} ") as caught:
            State(**{field: value})  # type: ignore[arg-type]
        assert caught.value.argument == field

    def test_the_builtin_exception_is_told_from_the_state(self) -> None:
        with pytest.raises(InvalidArgument, match=r"machine\.EXCEPTION"):
            State(add=[Exception])  # type: ignore[list-item]

    def test_extend_and_replace(self) -> None:
        base = State(auto=True, remove="A", add="B")
        overlay = State(multi=True, remove="C", tags="t", args=OpenArgs)
        extended = base.extend(overlay)
        assert extended == State(
            auto=True, multi=True, add="B", remove=["A", "C"], tags="t", args=OpenArgs
        )
        assert extended.replace(auto=False, remove="C", args=None) == State(
            multi=True, add="B", remove="C", tags="t"
        )
        assert extended.replace(add=()).add == ()
        with pytest.raises(InvalidArgument, match="did you mean 'remove'"):
            base.replace(remov="A")  # type: ignore[call-arg]

    def test_tags_with_a_key(self) -> None:
        made = State(tags=["net", "team:core"])
        assert made.has_tag("net")
        assert made.has_tag("team")
        assert made.has_tag("team:core")
        assert not made.has_tag("team:ui")

    def test_is_immutable_and_can_be_pickled(self) -> None:
        made = State(add="A", args=OpenArgs)
        with pytest.raises(AttributeError):
            made.auto = True  # type: ignore[misc]
        assert pickle.loads(pickle.dumps(made)) == made
        assert hash(made) == hash(State(add=["A"], args=OpenArgs))


class TestNormalisation:
    def test_the_reference_vector(self) -> None:
        schema = Schema.parse("A -A,B,C +C >A; B; C")
        assert schema["A"] == State(remove="B", add="C")
        assert schema.overruled == (("A", "C"),)

    def test_exception_is_last_and_multi(self) -> None:
        assert Schema.parse("A; B").names == ("A", "B", EXCEPTION)
        assert Schema({})[EXCEPTION] == State(multi=True)
        assert Schema.parse("Exception; A").names == (EXCEPTION, "A")
        assert Schema.parse("A -Exception")["A"].remove == (EXCEPTION,)

    def test_order(self) -> None:
        states = {"A": None, "B": None}
        assert Schema(states, order=["B", "A"]).names == ("B", "A", EXCEPTION)
        assert Schema(states, order=[EXCEPTION, "B", "A"]).names == (EXCEPTION, "B", "A")
        with pytest.raises(SchemaError) as caught:
            Schema({**states, "Cat": None}, order=["A", "A", "Cta"])
        assert {problem.code: problem.state for problem in caught.value.problems} == {
            "order-duplicate": "A",
            "order-unknown": "Cta",
            "order-missing": "Cat",
        }


class TestRules:
    def test_all_problems_are_told_at_once(self) -> None:
        assert codes(lambda: Schema.parse("A ?Bx +Cx; Bar; Any; C ?A -A")) == [
            "reserved-name",
            "unknown-state",
            "unknown-state",
            "require-and-remove",
        ]

    def test_unknown_names_come_with_near_ones(self) -> None:
        with pytest.raises(SchemaError) as caught:
            Schema.parse("Opened -closed; Closed")
        (problem,) = caught.value.problems
        assert (problem.state, problem.relation, problem.other) == ("Opened", "remove", "closed")
        assert "did you mean 'Closed'" in problem.text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("A ?A", "'A' requires itself"),
            ("A ?B; B ?C; C ?A", "A -> B -> C -> A"),
            ("X ?B; B ?C; C ?B", "B -> C -> B"),
        ],
    )
    def test_require_cycles_are_named(self, text: str, shown: str) -> None:
        with pytest.raises(SchemaError, match=shown):
            Schema.parse(text)

    def test_add_wins_before_require_and_remove_are_compared(self) -> None:
        assert Schema.parse("A ?B +B -B; B")["A"].remove == ()

    @pytest.mark.parametrize("name", ["", "A B", "1A", "A-B", "class", "A.B"])
    def test_bad_names(self, name: str) -> None:
        assert codes(lambda: Schema({name: None})) == ["bad-name"]

    @pytest.mark.parametrize(
        ("names", "handler"),
        [
            (["A", "BB", "AB", "B"], "ABB"),
            (["Foo", "FooFoo"], "FooFooFoo"),
            (["A", "AB", "BEnter"], "ABEnter"),
            (["Foo", "End"], "FooEnd"),
            (["AnySta", "te"], "AnyState"),
            (["Ready", "ReadyEnd"], None),
            (["Connected", "ConnectedFully", "Disconnected"], None),
        ],
    )
    def test_ambiguous_handler_names(self, names: list[str], handler: str | None) -> None:
        states = dict.fromkeys(names)
        if handler is None:
            assert set(names) < set(Schema(states).names)
            return
        with pytest.raises(SchemaError, match=handler) as caught:
            Schema(states)
        assert {problem.code for problem in caught.value.problems} == {"ambiguous-handler"}

    def test_ambiguity_is_what_comparing_all_pairs_finds(self) -> None:
        import itertools
        import random

        for seed in range(300):
            rng = random.Random(seed)
            words = ["".join(rng.choices("AB", k=rng.randint(1, 3))) for _ in range(4)]
            names = list(dict.fromkeys(words))
            tails = [*names, EXCEPTION, "Enter", "Exit", "State", "End"]
            made = [a + b for a, b in itertools.product([*names, EXCEPTION], tails)]
            ambiguous = len(set(made)) < len(made)
            try:
                Schema(dict.fromkeys(names))
            except SchemaError:
                assert ambiguous, names
            else:
                assert not ambiguous, names

    def test_a_large_schema_is_checked_quickly(self) -> None:
        states = {f"State{number}x": State(require=f"State{number + 1}x") for number in range(3000)}
        assert len(Schema({**states, "State3000x": None})) == 3002

    def test_groups_with_unknown_states(self) -> None:
        with pytest.raises(
            SchemaError, match="group 'G' has 'Bb', which is no state; did you mean"
        ):
            Schema({"B": None, "Bbb": None}, groups={"G": ["B", "Bb"]})

    @pytest.mark.parametrize("value", [3, "A", [1]])
    def test_a_state_that_is_none(self, value: object) -> None:
        with pytest.raises(SchemaError, match=r"states\.A: a State, a mapping or None"):
            Schema({"A": value})  # type: ignore[dict-item]

    def test_a_state_given_as_mapping(self) -> None:
        assert Schema({"A": {"auto": True}})["A"].auto
        with pytest.raises(SchemaError, match=r"states\.A: a state has no 'aut'"):
            Schema({"A": {"aut": True}})

    @pytest.mark.parametrize("value", [None, ["A"], {1: None}])
    def test_states_that_are_no_mapping(self, value: object) -> None:
        with pytest.raises(InvalidArgument, match=r"^states "):
            Schema(value)  # type: ignore[arg-type]


class TestMapping:
    def test_reads_like_a_mapping(self) -> None:
        schema = Schema.parse("B; A")
        assert list(schema) == ["B", "A", EXCEPTION]
        assert "A" in schema
        assert 3 not in schema  # type: ignore[comparison-overlap]
        assert schema.get("Zed") is None
        assert schema.index("A") == 1
        with pytest.raises(UnknownState, match=r"unknown state 'b'; did you mean 'B'\?"):
            schema["b"]

    def test_equality_and_hash(self) -> None:
        one, other = Schema.parse("A +B; B"), Schema({"A": State(add="B"), "B": None})
        assert one == other
        assert hash(one) == hash(other)
        assert len({one, other, Schema.parse("B; A +B")}) == 2
        assert one != Schema({"A": State(add="B"), "B": None}, groups={"G": ["A"]})
        assert one != {"A": State(add="B")}

    def test_copies(self) -> None:
        schema = Schema({"A": State(args=OpenArgs)}, groups={"G": ["A"]})
        assert copy.deepcopy(schema) is schema
        again = pickle.loads(pickle.dumps(schema))
        assert again == schema
        assert again.groups == {"G": ("A",)}

    def test_relations(self) -> None:
        schema = Schema.parse("A +B,C >B; B -C +A; C >D; D ?A")
        assert schema.relations_of("A") == (Relation.ADD, Relation.AFTER)
        assert schema.relations_between("A", "B") == (Relation.ADD, Relation.AFTER)
        assert schema.relations_between("B", "C") == (Relation.REMOVE,)
        assert schema.relations_between("D", "A") == (Relation.REQUIRE,)
        assert schema.relations_between("A", "D") == ()
        assert schema.inbound_relations_of("A") == {
            "B": (Relation.ADD,),
            "D": (Relation.REQUIRE,),
        }
        assert Schema.parse("A* +B ?B; B").relations_of("A") == (Relation.ADD, Relation.REQUIRE)
        for pair in [("Zed", "A"), ("A", "Zed")]:
            with pytest.raises(UnknownState, match="'Zed'"):
                schema.relations_between(*pair)
        with pytest.raises(UnknownState):
            schema.inbound_relations_of("Zed")

    def test_as_schema(self) -> None:
        class Door(States):
            Open = state()

        schema = Schema.parse("Open")
        for value in (schema, Door, "Open", {"Open": None}):
            assert as_schema(value) == schema
        assert as_schema(None).names == (EXCEPTION,)
        with pytest.raises(InvalidArgument, match="schema is a mapping"):
            as_schema(3)


class TestOthersMadeOfIt:
    def test_merge_replaces_whole_states(self) -> None:
        merged = Schema.parse("A +B; B") | Schema.parse("A -C; C")
        assert str(merged) == "A -C; B; C"
        assert merged.names[-1] == EXCEPTION
        assert Schema.parse("A").merge("B", {"C": None}).names == ("A", "B", "C", EXCEPTION)

    def test_merge_keeps_a_special_exception(self) -> None:
        special = Schema.parse("Exception -A; A")
        assert special.merge("B")[EXCEPTION] == State(remove="A")
        assert special.merge(Schema.parse("Exception!; B"))[EXCEPTION] == State(remove="A")

    def test_merge_takes_groups(self) -> None:
        one = Schema({"A": None}, groups={"G": ["A"], "H": ["A"]})
        other = Schema({"B": None}, groups={"G": ["B"]})
        assert one.merge(other).groups == {"G": ("B",), "H": ("A",)}

    def test_extend_and_replace(self) -> None:
        schema = Schema.parse("A* -B +C; B; C")
        assert schema.extend("A", State(multi=True, remove="C"))["A"] == State(
            auto=True, multi=True, remove="B", add="C"
        )
        assert schema.replace("A", remove="C", add=())["A"] == State(auto=True, remove="C")
        assert schema.replace("A", State(multi=True))["A"] == State(multi=True)
        assert schema["A"] == State(auto=True, remove="B", add="C")
        with pytest.raises(UnknownState):
            schema.extend("Zed", State())

    def test_with_states_is_checked(self) -> None:
        schema = Schema.parse("A")
        assert schema.with_states("B ?A").names == ("A", "B", EXCEPTION)
        assert codes(lambda: schema.with_states("B ?Zed")) == ["unknown-state"]

    def test_prefix(self) -> None:
        schema = Schema({"A": State(add="B", remove=EXCEPTION), "B": None}, groups={"G": ["A"]})
        prefixed = schema.prefix("Db")
        assert str(prefixed) == "DbA +DbB -Exception; DbB"
        assert prefixed.groups == {"DbG": ("DbA",)}

    def test_only_and_without(self) -> None:
        schema = Schema(Schema.parse("A ?B -C; B ?D; C; D"), groups={"G": ["A", "C"], "H": ["C"]})
        assert str(schema.only("A", require="follow")) == "A ?B; B ?D; D"
        assert str(schema.only("A", "C", require="drop")) == "A -C; C"
        assert schema.without("C").groups == {"G": ("A",)}
        assert codes(lambda: schema.without("D")) == ["require-left-out"]
        with pytest.raises(UnknownState):
            schema.only("Zed")

    def test_filter_by_tag(self) -> None:
        schema = Schema.parse("A #net; B #ui,team:x; C")
        assert schema.tagged("net") == ("A",)
        assert schema.filter("net", "team").names == ("A", "B", EXCEPTION)


class TestFingerprint:
    def test_is_the_same_in_another_process(self) -> None:
        text = "A*! ?B +C >D #t; B; C -D; D"
        code = f"from machine.schema import Schema; print(Schema.parse({text!r}).fingerprint())"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == Schema.parse(text).fingerprint()

    def test_tells_schemas_apart(self) -> None:
        texts = ["A; B", "B; A", "A +B; B", "A -B; B", "A!; B", "A #t; B"]
        assert len({Schema.parse(text).fingerprint() for text in texts}) == len(texts)
        args = Schema({"A": State(args=OpenArgs), "B": None})
        assert args.fingerprint() == Schema.parse("A; B").fingerprint()


class TestErrors:
    def test_all_can_be_pickled(self) -> None:
        errors: list[MachineError] = [
            UnknownState("Opn", "door", known=["Open"]),
            WaitTimeout("Open", 2, machine="door"),
            HandlerTimeout("OpenState", 0.5, state="Open"),
        ]
        for error in errors:
            again = pickle.loads(pickle.dumps(error))
            assert str(again) == str(error)
            assert again.__dict__.keys() == error.__dict__.keys()

    def test_texts(self) -> None:
        assert str(UnknownState("Opn", "door", known=["Open"])) == (
            "[door] unknown state 'Opn'; did you mean 'Open'?"
        )
        assert isinstance(UnknownState("X"), KeyError)
        assert isinstance(WaitTimeout("X", 1), TimeoutError)
        late = HandlerTimeout("XState", 0.5, machine="m")
        assert isinstance(late, TimeoutError)
        assert str(late).startswith("[m] handler XState took longer than 0.5 s.")


def test_json_is_readable() -> None:
    data = json.loads(Schema.parse("A* +B; B").to_json())
    assert data == {
        "states": {"A": {"auto": True, "add": ["B"]}, "B": {}, "Exception": {"multi": True}}
    }
