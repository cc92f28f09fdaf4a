"""Arguments that states declare: their classes, in both forms, their defaults and their names."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from dataclasses import InitVar, dataclass, field
from typing import Any, NamedTuple, Optional, Protocol, TypedDict, runtime_checkable

import pytest

from machine import InvalidArgument, Machine, State, States, state
from machine.helpers import args_from, args_to_dict


class Talks(Protocol):
    def talk(self) -> str: ...


@runtime_checkable
class Walks(Protocol):
    def walk(self) -> str: ...


class Odd(type):
    def __instancecheck__(cls, value: object) -> bool:
        raise RuntimeError("cannot tell")


class Untold(metaclass=Odd):
    pass


@dataclass
class Loose:
    a: Any
    b: Optional[Any] = None  # noqa: UP045 - the form is what is tried
    c: Talks | None = None
    d: typing.Literal["x", "y"] = "x"
    e: list[int] = field(default_factory=list)
    f: Untold | None = None
    g: Walks | None = None


def seen_by(kind: type, args: object) -> dict[str, Any]:
    """The arguments that a handler gets."""
    found: dict[str, Any] = {}
    machine: Machine[Any] = Machine({"A": State(args=kind)})
    machine.bind({"AState": lambda **given: found.update(given)})
    assert machine.add("A", args=args).executed  # type: ignore[call-overload]
    return found


class Walker:
    def walk(self) -> str:
        return "steps"


@pytest.mark.parametrize("value", [1, None, "text", [], object()])
def test_types_that_cannot_be_checked_take_anything(value: object) -> None:
    given = {"a": value, "b": value, "c": value, "d": "z", "e": value, "f": value}
    assert seen_by(Loose, given) == {**given, "g": None}
    assert seen_by(Loose, Loose(value))["a"] is value


def test_types_that_can_be_checked_still_are() -> None:
    walker = Walker()
    assert seen_by(Loose, {"a": 1, "g": walker})["g"] is walker
    machine: Machine[Any] = Machine({"A": State(args=Loose)})
    with pytest.raises(InvalidArgument, match="A takes g as Walks or NoneType, not int"):
        machine.add("A", args={"a": 1, "g": 5})


# -- classes of several libraries ---------------------------------------------------------


class Tuple(NamedTuple):
    n: int
    note: str = "none"


class Typed(TypedDict, total=False):
    n: typing.Required[int]
    note: str


@dataclass(frozen=True, slots=True)
class Frozen:
    n: int
    note: str = "none"


def kinds() -> list[type]:
    """A class of each library that is installed, with the fields `n: int` and `note="none"`."""
    found: list[type] = [Tuple, Frozen]
    for library, make in (("pydantic", pydantic), ("attrs", attrs), ("msgspec", msgspec)):
        try:
            importlib.import_module(library)
        except ImportError:
            continue
        found += make()
    return found


def pydantic() -> list[type]:
    from pydantic import BaseModel
    from pydantic.dataclasses import dataclass as checked

    class Model(BaseModel):
        n: int
        note: str = "none"

    @checked
    class Checked:
        n: int
        note: str = "none"

    return [Model, Checked]


def attrs() -> list[type]:
    import attrs as library

    @library.define
    class Defined:
        n: int
        note: str = "none"

    return [Defined]


def msgspec() -> list[type]:
    import msgspec as library

    class Packed(library.Struct):
        n: int
        note: str = "none"

    return [Packed]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_classes_of_many_libraries_in_both_forms(kind: type) -> None:
    wanted = {"n": 3, "note": "none"}
    assert seen_by(kind, kind(n=3)) == wanted
    assert seen_by(kind, {"n": 3}) == wanted
    assert seen_by(kind, {"n": 3, "note": "some"}) == {"n": 3, "note": "some"}
    assert args_to_dict(kind(n=3)) == wanted
    machine: Machine[Any] = Machine({"A": State(args=kind)})
    wrongs: list[Any] = [{}, {"m": 3}, {"n": 3, "m": 4}, {"n": "three"}, None, 5, kind]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            machine.add("A", args=wrong)
    with pytest.raises(InvalidArgument, match=f"A takes {kind.__name__}, not Loose"):
        machine.add("A", args=Loose(1))  # type: ignore[call-overload]
    assert machine.tick("A") == 0


def test_typed_dicts_have_no_defaults() -> None:
    assert seen_by(Typed, {"n": 3}) == {"n": 3}
    assert seen_by(Typed, Typed(n=3, note="x")) == {"n": 3, "note": "x"}


def test_handlers_of_a_class_get_them() -> None:
    class Orders(States):
        Paid = state(args=Tuple)

    class Shop(Machine[Orders]):
        def PaidEnter(self, n: int, note: str) -> bool:
            return n > 0 and note == "none"

    shop = Shop()
    assert shop.add(Orders.Paid, args=Tuple(1)).executed
    assert shop.add(Orders.Paid, args={"n": 1}).executed
    shop.remove(Orders.Paid)
    assert shop.add(Orders.Paid, args={"n": 0}).canceled


# -- defaults -----------------------------------------------------------------------------


@dataclass
class Plain:
    by: str = "me"
    note: str = ""
    tags: list[str] = field(default_factory=list)
    kept: int = field(init=False, default=7)


@dataclass
class Derived:
    price: int
    count: InitVar[int] = 2
    total: int = field(init=False)

    def __post_init__(self, count: int) -> None:
        if self.price < 0:
            raise ValueError("a price below 0")
        self.total = self.price * count


@pytest.mark.parametrize(
    ("kind", "args", "wanted"),
    [
        (Plain, {}, {"by": "me", "note": "", "tags": [], "kept": 7}),
        (Plain, None, {"by": "me", "note": "", "tags": [], "kept": 7}),
        (Plain, {"note": "x"}, {"by": "me", "note": "x", "tags": [], "kept": 7}),
        (Plain, Plain(note="x"), {"by": "me", "note": "x", "tags": [], "kept": 7}),
        (Derived, {"price": 3}, {"price": 3, "count": 2, "total": 6}),
        (Derived, {"price": 3, "count": 5}, {"price": 3, "count": 5, "total": 15}),
    ],
)
def test_declared_defaults_are_given(kind: type, args: object, wanted: dict[str, Any]) -> None:
    assert seen_by(kind, args) == wanted


def test_defaults_are_not_shared() -> None:
    seen_by(Plain, {})["tags"].append("x")
    assert seen_by(Plain, {})["tags"] == []


def test_a_class_that_refuses_is_an_error_of_the_caller() -> None:
    machine: Machine[Any] = Machine({"A": State(args=Derived)})
    with pytest.raises(InvalidArgument, match=r"Derived refuses the arguments of A: a price"):
        machine.add("A", args={"price": -1})
    assert machine.err is None


def test_defaults_count_for_waits() -> None:
    machine: Machine[Any] = Machine({"A": State(args=Plain)})
    wait = machine.when_args("A", {"by": "me"})
    machine.add("A", args={"note": "x"})
    assert wait.done


def test_arguments_that_are_given_are_not_changed() -> None:
    given = {"note": "x"}
    machine: Machine[Any] = Machine({"A": State(args=Plain)})
    seen: list[object] = []
    machine.bind({"AState": lambda event: seen.append(event.mutation.args)})
    machine.add("A", args=given)
    assert given == {"note": "x"}
    assert seen == [given]


# -- names --------------------------------------------------------------------------------

RESERVED = ("event", "machine", "args", "ctx", "mutation", "transition", "self")


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_handlers_get_otherwise_are_refused(name: str) -> None:
    machine: Machine[Any] = Machine("A; B")
    for mutate in (machine.add, machine.set, machine.remove, machine.can_add, machine.toggle):
        with pytest.raises(InvalidArgument, match=f"{name!r}"):
            mutate("A", args={name: 1})
    with pytest.raises(InvalidArgument, match=f"{name!r}"):
        machine.prepend("add", "A", args={name: 1})
    with pytest.raises(InvalidArgument, match=f"{name!r}"):
        machine.add_err(ValueError(), args={name: 1})
    if name != "self":  # a field of a dataclass cannot be called self
        with pytest.raises(InvalidArgument, match=f"{name!r}"):
            State(args=dataclasses.make_dataclass("Wrong", [(name, int)]))
    with pytest.raises(InvalidArgument, match=f"{name!r}"):
        State(args=TypedDict("Wrong", {name: int}))  # type: ignore[operator]
    assert machine.time().sum() == 0


def test_args_from_takes_all_kinds() -> None:
    assert args_from(Plain, Tuple(1, "x")) == Plain(note="x")
