"""Handlers that are attributes of an instance: they are called or refused, at any time."""

import asyncio
import copy
import pickle
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from machine import InvalidArgument, InvalidHandler, Machine, on


def no() -> bool:
    return False


class Before(Machine[object], schema="Closed; Opened"):
    def __init__(self) -> None:
        self.OpenedEnter = no
        super().__init__()


class After(Machine[object], schema="Closed; Opened"):
    def __init__(self) -> None:
        super().__init__()
        self.OpenedEnter = no


class Beside(Machine[object], schema="Closed; Opened"):
    """A machine with a handler of its class, too."""

    def ClosedState(self) -> None:
        self.closed = True

    def __init__(self) -> None:
        super().__init__()
        setattr(self, "Opened" + "Enter", no)


class Slotted(Machine[object], schema="Closed; Opened"):
    __slots__ = ("OpenedEnter",)

    def __init__(self) -> None:
        super().__init__()
        self.OpenedEnter = no


@pytest.mark.parametrize("kind", [Before, After, Beside])
def test_a_guard_on_the_instance_is_asked(kind: Any) -> None:
    door = kind()
    assert door.can_add("Opened").canceled
    assert door.add("Opened").canceled
    assert not door.is_("Opened")
    assert door.add("Closed").executed
    assert door.add("Opened").canceled


def test_a_guard_in_a_slot_is_refused() -> None:
    with pytest.raises(InvalidHandler, match="OpenedEnter has the name of a handler"):
        Slotted()


def test_a_guard_from_outside_before_the_first_mutation() -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        pass

    door = Door()
    door.OpenedEnter = no  # type: ignore[attr-defined]
    assert door.add("Opened").canceled
    assert door.handlers[0].names == ("OpenedEnter",)


def test_handlers_that_come_and_go_later() -> None:
    door = Beside()
    assert door.add("Closed").executed
    del door.OpenedEnter  # type: ignore[attr-defined]
    assert door.add("Opened").executed
    ended: list[str] = []
    door.OpenedEnd = lambda: ended.append("Opened")  # type: ignore[attr-defined]
    door.remove("Opened")
    assert ended == ["Opened"]


def test_an_instance_goes_before_its_class() -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        def OpenedEnter(self, event: object) -> bool:
            return True

        def ClosedEnter(self) -> bool:
            return False

    door = Door()
    assert door.add("Opened").executed
    assert door.remove("Opened").executed
    asked: list[int] = []

    def enter(limit: int) -> bool:
        asked.append(limit)
        return False

    door.OpenedEnter = enter  # type: ignore[assignment]
    assert door.add("Opened", args={"limit": 3}).canceled
    assert asked == [3]
    door.ClosedEnter = None  # type: ignore[assignment]
    assert door.add("Closed").executed


def test_spies_are_called_as_the_methods_that_they_hide() -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        def OpenedState(self) -> None:
            pass

    door = Door()
    with mock.patch.object(door, "OpenedState", wraps=door.OpenedState) as spy:
        door.add("Opened", args={"speed": 3})
        spy.assert_called_once_with()
    assert door.err is None
    with mock.patch.object(door, "ClosedState", create=True) as spy:
        door.add("Closed", args={"speed": 3})
        spy.assert_called_once_with(speed=3)
    door.remove("Closed")
    assert door.add("Closed").executed
    assert door.err is None


def test_attributes_of_listeners() -> None:
    heard: list[str] = []
    listener = SimpleNamespace(
        AState=lambda: heard.append("A"), second_BState=partial(heard.append, "B")
    )
    machine = Machine("A; B", handlers=listener)
    machine.bind(listener.__class__(**vars(listener)), prefix="second_")
    machine.add("A", "B")
    assert sorted(heard) == ["A", "B"]


def test_decorated_functions_on_an_instance() -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        def __init__(self) -> None:
            super().__init__()
            self.guard = on.enter("Opened")(lambda: False)
            self.alias = self.closed  # is no second handler

        @on.state("Closed")
        def closed(self) -> None:
            self.times = getattr(self, "times", 0) + 1

    door = Door()
    assert door.add("Opened").canceled
    door.add("Closed")
    assert door.times == 1


async def test_async_handlers_on_an_instance() -> None:
    class Door(Machine[object], schema="Opened; Done"):
        def __init__(self) -> None:
            super().__init__()

            async def opened() -> None:
                await asyncio.sleep(0)
                self.add("Done")

            self.OpenedState = opened

    door = Door()
    door.add("Opened")
    await door.when("Done")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("OpenedEnter", False, "OpenedEnter has the name of a handler and is bool"),
        ("OpenedEnter", int, "OpenedEnter has the name of a handler and is a class"),
        ("OpenedEntr", no, "missing states: OpenedEntr"),
        ("OpendEnter", no, "missing states: Opend"),
        ("OpenedEnter", asyncio.sleep, "cannot be async"),
    ],
)
def test_what_cannot_be_a_handler_is_refused(name: str, value: Any, text: str) -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        def ClosedState(self) -> None:
            pass

    door = Door()
    door.add("Closed")
    setattr(door, name, value)
    for _ in range(2):
        with pytest.raises(InvalidHandler, match=text):
            door.add("Opened")
    assert not door.is_("Opened")
    delattr(door, name)
    assert door.add("Opened").executed


def test_errors_are_not_lost_to_an_attribute_that_is_no_handler() -> None:
    seen: list[BaseException] = []

    class Door(Machine[object], schema="Closed; Opened"):
        def ClosedState(self) -> None:
            self.OpenedEnd = 3
            raise ValueError("stuck")

        def __init__(self) -> None:
            super().__init__()
            self.ExceptionState = lambda error: seen.append(error)

    door = Door()
    door.add_err(OSError("first"))
    assert isinstance(seen[0], OSError)
    door.remove("Exception")
    assert door.add("Closed").canceled
    assert isinstance(door.err, ValueError)
    with pytest.raises(InvalidHandler, match="OpenedEnd"):
        door.add("Opened")


def test_attributes_of_other_kinds_are_left_alone() -> None:
    class Proxy:
        """An object that must not be touched."""

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __call__(self) -> None:
            raise RuntimeError("called")

    class Door(Machine[object], schema="Closed; Opened"):
        def __init__(self) -> None:
            super().__init__()
            self.proxy = Proxy()
            self.factory = dict
            self.callback = print
            self.OpenedState = None
            self._hidden = self.__lines = [1]

    door = Door()
    assert door.add("Opened").executed
    assert door.handlers == ()


def test_a_group_that_was_detached_stays_so() -> None:
    class Door(Machine[object], schema="Closed; Opened"):
        def ClosedState(self) -> None:
            raise AssertionError("detached")

    door = Door()
    door.detach("Door")
    door.count = 1  # type: ignore[attr-defined]
    assert door.add("Closed").executed
    assert door.err is None


def test_other_schemas_and_copies_keep_them() -> None:
    door = After()
    door.set_schema("Closed; Opened; Broken")
    assert door.add("Opened").canceled
    again = pickle.loads(pickle.dumps(After()))
    assert again.add("Opened").canceled
    assert copy.deepcopy(Beside()).add("Opened").canceled


# -- attributes that hide those of a machine ---------------------------------------------


@pytest.mark.parametrize("name", ["time", "clock", "when", "dispose", "add_err"])
def test_a_value_that_hides_a_method_is_refused_by_the_next_mutation(name: str) -> None:
    door = Beside()
    setattr(door, name, 0.0)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=rf"Beside\.{name} hides Machine\.{name}"):
            door.add("Closed")
    delattr(door, name)
    assert door.add("Closed").executed
    setattr(door, name, 0.0)
    with pytest.raises(InvalidArgument, match=f"hides Machine.{name}"):
        door.add("Opened")


def test_methods_can_be_replaced_by_functions() -> None:
    door = Beside()
    with mock.patch.object(door, "time"):
        assert door.add("Closed").executed


READ_ONLY = sorted(
    name
    for name in dir(Machine)
    if not name.startswith("_")
    and isinstance(getattr(Machine, name), property)
    and name not in ("on_change", "on_error", "tags")
)


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_property_cannot_be_set_and_says_what_to_do(name: str) -> None:
    door = Beside()
    with pytest.raises(AttributeError, match=rf"Machine\.{name} is read-only"):
        setattr(door, name, 0.0)
    with pytest.raises(AttributeError, match="Machine"):
        delattr(door, name)


def test_there_are_properties() -> None:
    assert "queue" in READ_ONLY
    assert "active" in READ_ONLY
