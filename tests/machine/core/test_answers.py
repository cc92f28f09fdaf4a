"""Answers of negotiation handlers: True, False and None; `-> bool` makes None an error."""

from __future__ import annotations

from typing import Any

import pytest

from machine import InvalidHandler, Machine, on
from machine.lint import lint


class Invoice:
    settled: Any = None


class Shop(Machine[Any], schema="Paid; Shipped; Sent; Open"):
    invoice: Any = None

    def PaidEnter(self) -> bool:
        return self.invoice and self.invoice.settled  # type: ignore[no-any-return]

    @on.enter("Shipped")
    def may_ship(self) -> bool:
        return None  # type: ignore[return-value]

    def SentEnter(self):  # type: ignore[no-untyped-def]
        return self.invoice and self.invoice.settled

    def OpenExit(self) -> bool | None:
        return None


@pytest.mark.parametrize("state", ["Paid", "Shipped"])
@pytest.mark.parametrize("traced", [False, True])
def test_none_is_an_error_where_bool_is_declared(state: str, traced: bool) -> None:
    from machine.story import StoryTracer

    shop = Shop(tracers=[StoryTracer()] if traced else [])
    assert shop.add(state).canceled
    assert shop.not_(state)
    assert isinstance(shop.err, InvalidHandler)
    assert "returned None and is declared '-> bool'" in str(shop.err)
    assert "bool(...)" in str(shop.err)


def test_none_accepts_elsewhere() -> None:
    shop = Shop()
    assert shop.add("Sent", "Open").executed
    assert shop.remove("Open").executed
    shop.invoice = Invoice()
    assert shop.err is None


def test_true_and_false_are_answers() -> None:
    shop = Shop()
    shop.invoice = Invoice()
    shop.invoice.settled = False
    assert shop.add("Paid").canceled
    assert shop.err is None
    shop.invoice.settled = True
    assert shop.add("Paid").executed


def test_functions_of_mappings_too() -> None:
    def enter() -> bool:
        return None  # type: ignore[return-value]

    machine: Machine[Any] = Machine("A; B", handlers={"AEnter": enter, "BEnter": lambda: None})
    assert machine.add("A").canceled
    assert machine.add("B").executed


class Odd:
    """As numpy.bool_: equal to a bool, and none."""

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return other is True

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize("answer", [0, 1, "", "yes", [], Odd()])
def test_other_values_are_errors_that_say_what_to_do(answer: object) -> None:
    machine: Machine[Any] = Machine("A", handlers={"AEnter": lambda: answer})
    assert machine.add("A").canceled
    assert isinstance(machine.err, InvalidHandler)
    assert "True, False or None" in str(machine.err)
    assert "bool(...)" in str(machine.err)


def test_lint_finds_answers_that_may_be_no_bool() -> None:
    found = [one for one in lint(Shop) if one.code == "answer-no-bool"]
    assert [one.other for one in found] == ["SentEnter"]
    assert "None accepts" in found[0].text
    assert not [one for one in lint(Shop, ignore="answer-no-bool") if one.other == "SentEnter"]

    class Fine(Machine[Any], schema="A; B"):
        def AEnter(self):  # type: ignore[no-untyped-def]
            return self.is_("B") or self.tick("B") > 3

    class Needy(Machine[Any], schema="A; B"):
        def __init__(self, wanted: int) -> None:
            super().__init__()

    assert not [one for kind in (Fine, Needy) for one in lint(kind) if "answer" in one.code]
