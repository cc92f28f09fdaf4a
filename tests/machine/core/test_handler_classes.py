"""Handlers of classes: read from the class as it is when a machine is made."""

import gc
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

from machine import Machine


class Door(Machine[object], schema="Opened; Closed"):
    def OpenedState(self) -> None:
        seen.append("own")


class Bell:
    def OpenedState(self) -> None:
        seen.append("bell")


seen: list[str] = []


def says(word: str) -> Callable[[object], None]:
    def handler(self: object) -> None:
        seen.append(word)

    return handler


def opened(*machines: Machine[Any]) -> list[str]:
    seen.clear()
    for machine in machines:
        machine.add("Opened")
    return seen[:]


def test_a_patch_before_the_first_machine_ends_with_the_patch() -> None:
    class Gate(Door):
        pass

    with mock.patch.object(Gate, "OpenedState", says("patched")):
        assert opened(Gate()) == ["patched"]
    assert opened(Gate()) == ["own"]


def test_a_patch_after_the_first_machine_reaches_all() -> None:
    first = Door()
    with mock.patch.object(Door, "OpenedState", says("patched")):
        assert opened(first, Door()) == ["patched", "patched"]
    first.remove("Opened")
    assert opened(first, Door()) == ["own", "own"]


def test_a_patch_of_a_base_and_of_a_bound_class_is_seen() -> None:
    class Gate(Door):
        pass

    assert opened(Gate()) == ["own"]
    with mock.patch.object(Door, "OpenedState", says("base")):
        assert opened(Gate()) == ["base"]
    assert opened(Machine("Opened", handlers=Bell())) == ["bell"]
    with mock.patch.object(Bell, "OpenedState", says("patched")):
        assert opened(Machine("Opened", handlers=Bell())) == ["patched"]


def test_a_handler_that_is_added_to_a_class_is_seen() -> None:
    class Gate(Machine[object], schema="Opened"):
        pass

    assert opened(Gate()) == []
    Gate.OpenedState = lambda self: seen.append("added")  # type: ignore[attr-defined]
    assert opened(Gate()) == ["added"]
    del Gate.OpenedState  # type: ignore[attr-defined]
    assert opened(Gate()) == []


def test_another_order_of_bases_is_seen() -> None:
    class One:
        def OpenedState(self) -> None:
            seen.append("one")

    class Two(One):
        def OpenedState(self) -> None:
            seen.append("two")

    class Bound(One):
        pass

    assert opened(Machine("Opened", handlers=Bound())) == ["one"]
    Bound.__bases__ = (Two,)
    assert opened(Machine("Opened", handlers=Bound())) == ["two"]


def test_classes_that_are_made_at_run_time_are_collected() -> None:
    def made() -> weakref.ref[type]:
        class Local(Machine[object], schema="A; B"):
            def AState(self) -> None:
                pass

        class Other:
            def BState(self) -> None:
                pass

        machine = Local(handlers=Other())
        assert machine.add("A", "B").executed
        return weakref.ref(Local)

    found = [made() for _ in range(3)]
    gc.collect()
    assert [one() for one in found] == [None] * 3


def test_machines_of_one_class_share_their_handlers() -> None:
    assert Door().handlers[0].handlers is Door().handlers[0].handlers
