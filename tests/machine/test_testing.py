"""The assertions for users' tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from machine import InvalidArgument, Machine, UnknownState, testing

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, id="tested", **options)


def test_what_holds_says_nothing() -> None:
    machine = make()
    result = machine.add("A")
    testing.assert_is(machine, "A")
    testing.assert_not(machine, "B", "C")
    testing.assert_any(machine, "A", "B")
    testing.assert_only(machine, "A")
    testing.assert_ticks(machine, {"A": 1}, B=0)
    testing.assert_no_error(machine)
    testing.assert_executed(machine, result)
    testing.assert_canceled(make("A ?B; B"), make("A ?B; B").add("A"))
    error = ValueError("broken")
    machine.add_err(error)
    assert testing.assert_error(machine, ValueError, "broke") is error


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (lambda m: testing.assert_is(m, "A", "B", "C"), "not active: B, C"),
        (lambda m: testing.assert_not(m, "A", "B"), "active: A"),
        (lambda m: testing.assert_any(m, "B", "C"), "none is active of: B, C"),
        (lambda m: testing.assert_only(m), "also active: A"),
        (lambda m: testing.assert_ticks(m, A=2, B=0), "ticks: A is 1, not 2"),
        (lambda m: testing.assert_error(m, ValueError), "no error, not ValueError"),
        (lambda m: testing.assert_executed(m, m.add("C")), "canceled, not executed"),
        (lambda m: testing.assert_canceled(m, m.add("A")), "executed, not canceled"),
    ],
)
def test_failures_say_how_the_machine_is(check: Callable[[AnyMachine], object], text: str) -> None:
    machine = make("A; B; C ?B")
    machine.add("A")
    with pytest.raises(AssertionError) as caught:
        check(machine)
    assert text in str(caught.value).splitlines()[0]
    assert "machine tested: (A:1) [B:0 C:0 Exception:0]" in str(caught.value)


def test_failures_tell_the_story_of_the_error() -> None:
    def fail() -> None:
        raise ValueError("broken")

    machine = make(handlers={"BState": fail, "AState": lambda machine: machine.add("B")})
    machine.add("A")
    with pytest.raises(AssertionError) as caught:
        testing.assert_no_error(machine)
    text = str(caught.value)
    assert "error: ValueError: broken" in text
    assert "in BState of the machine 'tested'" in text
    assert caught.value.__cause__ is machine.err
    with pytest.raises(AssertionError, match="is not KeyError"):
        testing.assert_error(machine, KeyError)
    with pytest.raises(AssertionError, match="does not say 'other'"):
        testing.assert_error(machine, ValueError, "other")
    machine.remove("Exception")
    testing.assert_no_error(machine)
    assert "got over" in testing.told(machine)


def test_failures_in_handlers_tell_of_transition_and_queue() -> None:
    found: list[str] = []

    def state(machine: AnyMachine) -> None:
        machine.add("B")
        found.append(testing.told(machine))

    machine = make(handlers={"AState": state})
    machine.add("A")
    assert "queue: [add] B" in found[0]
    assert "AState" in found[0]


def test_unknown_states_are_no_failed_assertion() -> None:
    for check in (testing.assert_is, testing.assert_not, testing.assert_any, testing.assert_only):
        with pytest.raises(UnknownState):
            check(make(), "Z")
    with pytest.raises(UnknownState):
        testing.assert_ticks(make(), Z=0)


def test_errors_that_went_away_are_noticed() -> None:
    machine = make()
    with testing.never_an_error(machine):
        machine.add("A")

    def for_a_moment() -> None:
        with testing.never_an_error(machine):
            machine.add_err(ValueError("broken"))
            machine.remove("Exception")

    with pytest.raises(AssertionError, match="got an error meanwhile"):
        for_a_moment()
    with pytest.raises(KeyError), testing.never_an_error(machine):
        raise KeyError


async def test_waiting_in_tests() -> None:
    machine = make()
    loop = asyncio.get_running_loop()
    loop.call_soon(machine.add, "A")
    await testing.wait_until_is(machine, "A")
    loop.call_soon(machine.remove, "A")
    await testing.wait_until_not(machine, "A")
    loop.call_soon(machine.add, "B")
    await testing.wait_until(machine, lambda: machine.is_("B"))

    async def now() -> bool:
        return machine.is_("B")

    await testing.wait_until(machine, now, timeout=0)
    loop.call_soon(machine.add_err, ValueError("broken"))
    assert str(await testing.wait_until_error(machine, ValueError)) == "broken"


async def test_waiting_in_vain() -> None:
    machine = make()
    short = 0.005
    for wait, text in (
        (testing.wait_until_is(machine, "A", timeout=short), "not within 0.005 s active: A"),
        (testing.wait_until_not(machine, "B", timeout=short), "not within 0.005 s inactive: B"),
        (testing.wait_until_error(machine, OSError, timeout=short), "an error, OSError"),
        (testing.wait_until(machine, lambda: False, "luck", timeout=short), "s: luck"),
    ):
        machine.add("B")
        with pytest.raises(AssertionError, match=text) as caught:
            await wait
        assert "machine tested" in str(caught.value)
    asyncio.get_running_loop().call_soon(machine.dispose)
    with pytest.raises(AssertionError, match="ended before"):
        await testing.wait_until_is(machine, "A")


def test_waiting_in_threads() -> None:
    machine = make()
    timer = threading.Timer(0.01, machine.add, ("A",))
    timer.start()
    testing.wait_until_is_blocking(machine, "A")
    testing.wait_until_not_blocking(machine, "B")
    testing.wait_until_blocking(machine, lambda: machine.is_("A"))
    timer.join()
    checks: list[Callable[[], None]] = [
        lambda: testing.wait_until_is_blocking(machine, "B", timeout=0.005),
        lambda: testing.wait_until_not_blocking(machine, "A", timeout=0.005),
        lambda: testing.wait_until_blocking(machine, lambda: False, timeout=0.005),
    ]
    for check in checks:
        with pytest.raises(AssertionError, match="not within"):
            check()


async def test_blocking_ones_do_not_stop_the_loop() -> None:
    with pytest.raises(InvalidArgument):
        testing.wait_until_is_blocking(make(), "A")
