"""Kinds of callables as handlers: each is called, or refused when the machine is made."""

import functools
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from machine import InvalidHandler, Machine, on

calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


class Refusing:
    """A callable object."""

    def __call__(self) -> bool:
        calls.append("object")
        return False


def refuse(self: object = None) -> bool:
    calls.append("function")
    return False


# -- names of any script -----------------------------------------------------------------


def test_states_may_begin_with_a_small_letter() -> None:
    class M(Machine[object], schema="idle; busy"):
        def busyEnter(self) -> bool:
            return False

        def idleState(self) -> None:
            calls.append("idle")

        def idlebusy(self) -> bool:
            calls.append("between")
            return True

        def setup(self) -> None:
            raise AssertionError("not a handler")

        def on_enter(self) -> None:
            raise AssertionError("not a handler")

        def getState(self) -> None:
            raise AssertionError("not a handler")

    machine = M()
    assert machine.add("busy").canceled
    assert machine.add("idle").executed
    assert machine.add("busy").canceled
    assert calls == ["idle"]


@pytest.mark.parametrize("state", ["忙", "état", "_hidden", "überlast", "x1"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_states_of_any_script_have_handlers(state: str, form: Any) -> None:
    name = unicodedata.normalize(form, state)
    methods = {unicodedata.normalize("NFKC", f"{state}Enter"): lambda self: False}
    kind = type("M", (Machine,), methods, schema=[name] if False else {name: {}})
    machine = kind()
    assert machine.add(name).canceled


# -- other callables than functions ------------------------------------------------------


@pytest.mark.parametrize(
    "handler",
    [
        Refusing(),
        pytest.param(
            functools.partial(refuse, None),
            marks=[
                pytest.mark.filterwarnings("ignore:functools.partial:FutureWarning"),  # of 3.13
                pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is a method there"),
            ],
        ),
        functools.cache(refuse),
        functools.partialmethod(refuse),
        staticmethod(lambda: False),
        classmethod(lambda cls: False),
        mock.Mock(return_value=False),
        mock.MagicMock(return_value=False),
        staticmethod(functools.partial(refuse, None)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_callable_of_a_class_is_called(handler: Any) -> None:
    kind = type("M", (Machine,), {"AEnter": handler}, schema="A; B")
    machine = kind()
    assert machine.add("A").canceled
    assert machine.err is None
    assert machine.handlers[0].names == ("AEnter",)


@pytest.mark.parametrize(
    "value",
    [3, property(refuse), functools.cached_property(refuse), type("AEnter", (), {}), [refuse]],
    ids=lambda one: type(one).__name__,
)
def test_what_cannot_be_called_is_refused(value: Any) -> None:
    kind = type("M", (Machine,), {"AEnter": value}, schema="A; B")
    with pytest.raises(InvalidHandler, match="AEnter has the name of a handler"):
        kind()


def test_none_leaves_a_handler_out() -> None:
    class Base(Machine[object], schema="A"):
        def AEnter(self) -> bool:
            return False

    class M(Base):
        AEnter = None  # type: ignore[assignment]

    assert M().add("A").executed


async def _numbers(self: object) -> AsyncIterator[int]:
    yield 1


def _count(self: object) -> Iterator[int]:
    yield 1


class _Counting:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize("function", [_numbers, _count, _Counting()])
@pytest.mark.parametrize("name", ["AEnter", "AState", "AEnd"])
def test_generators_are_refused(function: Any, name: str) -> None:
    kind = type("M", (Machine,), {name: function}, schema="A")
    with pytest.raises(InvalidHandler, match=f"{name} is a generator"):
        kind()
    with pytest.raises(InvalidHandler, match=f"{name} is a generator"):
        Machine("A", handlers={name: function})


async def test_an_async_callable_object_is_a_task() -> None:
    class Work:
        async def __call__(self) -> None:
            calls.append("work")

    class M(Machine[object], schema="A"):
        AState = Work()

    machine = M()
    machine.add("A")
    await machine.join()
    assert calls == ["work"]
    refused = type("M", (Machine,), {"AEnter": Work()}, schema="A")
    with pytest.raises(InvalidHandler, match="cannot be async"):
        refused()


def test_class_methods_get_the_class() -> None:
    class Base(Machine[object], schema="A"):
        @classmethod
        def AState(cls, event: Any) -> None:
            calls.append(cls.__name__)

        @classmethod
        def AEnter(cls) -> None:
            calls.append(cls.__name__)

    class M(Base):
        pass

    M().add("A")
    assert calls == ["M", "M"]


def test_spies_on_instances_are_called() -> None:
    class M(Machine[object], schema="A; B"):
        def AEnter(self) -> bool:
            return True

        def BState(self, event: Any) -> None:
            pass

    machine = M()
    with mock.patch.object(machine, "AEnter", return_value=False) as enter:
        assert machine.add("A").canceled
        enter.assert_called_once_with()
    with mock.patch.object(machine, "BState") as state:
        machine.add("B")
        assert state.call_args.kwargs["event"].name == "BState"
    assert machine.add("A").executed


# -- typos -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["OpenedEntr", "OpenedSate", "OpenedStat", "OpenedExti", "OpenedEnterr", "OpendEnter"]
)
def test_a_typo_of_a_handler_is_refused(name: str) -> None:
    kind = type("M", (Machine,), {name: refuse}, schema="Opened; Closed")
    with pytest.raises(InvalidHandler, match=name):
        kind()


@pytest.mark.parametrize("name", ["busyEntr", "bsyEnter", "busyStte"])
def test_a_typo_with_small_letters_is_refused(name: str) -> None:
    kind = type("M", (Machine,), {name: refuse}, schema="idle; busy")
    with pytest.raises(InvalidHandler, match=name):
        kind()


@pytest.mark.parametrize("name", ["OpenedBy", "Opened", "OpenedCount", "opened_state", "Show"])
def test_other_methods_are_left_alone(name: str) -> None:
    kind = type("M", (Machine,), {name: refuse}, schema="Opened; Closed")
    assert kind().handlers == ()


# -- overrides ---------------------------------------------------------------------------


def test_an_override_keeps_the_decorators_of_its_base() -> None:
    class Base(Machine[object], schema="A; B"):
        @on.enter("A")
        def check(self) -> bool:
            return True

    class Override(Base):
        def check(self) -> bool:
            return False

    class Other(Base):
        @on.enter("B")
        def check(self) -> bool:
            return False

    class Without(Base):
        check = None  # type: ignore[assignment]

    assert Override().add("A").canceled
    assert Other().add("A").executed
    assert Other().add("B").canceled
    assert Without().handlers == ()


def test_on_error_and_on_change_may_be_methods() -> None:
    class M(Machine[object], schema="A"):
        def on_error(self, error: BaseException) -> None:
            calls.append(f"error {error}")

        def on_change(self, before: Any, after: Any) -> None:  # type: ignore[override]
            calls.append(f"change {before.sum()} {after.sum()}")

    class Longer(M):
        def on_change(self, machine: Any, before: Any, after: Any) -> None:  # type: ignore[override]
            calls.append(f"of {machine is self}")

    machine = M()
    machine.add("A")
    machine.add_err(ValueError("no"))
    assert calls == ["change 0 1", "error no", "change 1 2"]
    Longer().add("A")
    assert calls[-1] == "of True"
    machine.on_error = lambda error: calls.append("other")  # type: ignore[method-assign]
    machine.add_err(ValueError("no"))
    assert "other" in calls


@pytest.mark.parametrize("base", [list, tuple, dict, set])
def test_a_listener_may_be_a_collection(base: type) -> None:
    kind = type("Listener", (base,), {"AEnter": refuse})
    listener = kind()
    assert Machine("A", handlers=listener).add("A").canceled
    assert Machine("A", handlers=[listener]).add("A").canceled
    machine: Machine[Any] = Machine("A")
    machine.bind(listener)
    assert machine.add("A").canceled


def test_a_collection_without_handlers_holds_listeners() -> None:
    class Group(list[Any]):
        pass

    handlers: dict[str, Callable[..., Any]] = {"AEnter": lambda: False}
    assert Machine("A", handlers=Group([handlers])).add("A").canceled
