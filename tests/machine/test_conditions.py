"""Conditions, negotiation by them, and arguments."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    UnknownState,
    helpers,
)
from machine.helpers import Condition

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


# -- conditions --------------------------------------------------------------------------


def test_conditions() -> None:
    machine = make()
    machine.add("A")
    assert Condition().check(machine)
    assert Condition(is_="A", any_=["A", "B"], not_="C", clock={"A": 1}).check(machine)
    for wrong in ({"is_": "B"}, {"any_": ["B", "C"]}, {"not_": "A"}, {"clock": {"A": 2}}):
        assert not Condition(**wrong).check(machine)
    with pytest.raises(UnknownState):
        Condition(is_="Z").check(machine)
    machine.dispose()
    assert not Condition(is_="A").check(machine)


async def test_a_condition_can_be_waited_for() -> None:
    machine = make()
    wait = Condition(is_="A", any_=["B", "C"], not_="Exception", clock={"A": 3}).when(machine)
    machine.add("A", "B")
    machine.remove("A")
    assert not wait.done
    machine.add("A")
    await wait
    with pytest.raises(UnknownState):
        Condition(clock={"Z": 1}).when(machine)


def test_conditions_are_values() -> None:
    condition = Condition(is_=["A", "B"], any_="C", not_="D", clock={"A": 1})
    data = json.loads(json.dumps(condition.to_dict()))
    assert data == {"is_": ["A", "B"], "any_": ["C"], "not_": ["D"], "clock": {"A": 1}}
    assert Condition.from_dict(data) == condition == pickle.loads(pickle.dumps(condition))
    assert hash(condition) == hash(Condition.from_dict(data))
    assert Condition().to_dict() == {}
    assert condition.states == ("A", "B", "C", "D")
    wrong: list[Any] = [{"other": 1}, {"clock": 3}, {"clock": {"A": "x"}}, {"is_": 5}, []]
    for one in wrong:
        with pytest.raises(InvalidArgument):
            Condition.from_dict(one)


def test_negotiation_by_conditions() -> None:
    class Rules:
        BEnter = helpers.accept_if(Condition(is_="A"))
        AExit = helpers.reject_if(lambda machine: machine.is_("B"))
        CEnter = helpers.needs_args("who", count=int)

    machine = make(handlers=Rules())
    assert machine.add("B").canceled
    assert machine.add("A").executed
    assert machine.add("B").executed
    assert machine.remove("A").canceled
    assert machine.add("C").canceled
    assert machine.add("C", args={"who": "me", "count": "many"}).canceled
    assert machine.add("C", args={"who": None, "count": 1}).canceled
    assert machine.add("C", args={"who": "me", "count": 1}).executed


# -- arguments ---------------------------------------------------------------------------


@dataclass
class Login:
    user: str = helpers.loggable()
    password: str = ""
    groups: list[str] = field(default_factory=list)
    note: str = helpers.loggable(default="-", how=str.upper, metadata={"more": 1})


def test_arguments_there_and_back() -> None:
    login = Login("ann", "secret")
    whole = {"user": "ann", "password": "secret", "groups": [], "note": "-"}
    assert helpers.args_to_dict(login) == whole
    assert helpers.args_to_dict(login, defaults=False) == {"user": "ann", "password": "secret"}
    assert helpers.args_to_dict(None) == {}
    assert helpers.args_to_dict({"x": 1}, defaults=False) == {"x": 1}
    assert helpers.args_from(Login, whole) == login
    assert helpers.args_from(Login, {"user": "ann", "other": 1}) == Login("ann")
    assert helpers.args_from(Login, login) is login
    with pytest.raises(InvalidArgument, match="did you mean 'user'"):
        helpers.args_from(Login, {"user": "ann", "usr": 1}, strict=True)
    with pytest.raises(InvalidArgument, match="needs 'user'"):
        helpers.args_from(Login, {})
    with pytest.raises(InvalidArgument, match="no dataclass"):
        helpers.args_from(dict, {})


def test_logs_show_what_they_may() -> None:
    login = Login("ann", "secret", note="hi")
    assert helpers.args_for_log(login) == {"user": "ann", "note": "HI"}
    assert helpers.args_for_log({"a": 1, "b": 2}, "b", "c") == {"b": "2"}
    assert helpers.args_for_log({"a": "x" * 200}, "a", longest=10) == {"a": "xxxxxxx..."}
    assert helpers.args_for_log(None) == {}


def test_arguments_match() -> None:
    assert helpers.args_match({"a": 1, "b": 2}, {"a": 1})
    assert not helpers.args_match({"a": 1}, {"a": 2})
    assert not helpers.args_match(None, {"a": None})
    assert helpers.args_match(Login("ann"), {"user": "ann"})
