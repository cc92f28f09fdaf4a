"""Names of subclasses: private ones are free, public ones of machines are refused."""

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest

from machine import InvalidArgument, Machine


class Own(Machine[object], schema="A; B"):
    """A subclass whose private names are those that an implementation may have."""

    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            setattr(self, name, None)
        self._queue: Any = asyncio.Queue()

    def AEnter(self) -> bool:
        return False

    def BState(self) -> None:
        self.remove("A")

    def _reject(self, *_: Any) -> None:
        raise AssertionError("this is not called by the machine")

    _perform = _drain = _mutate = _call = _conclude = _note = _names = _reject


NAMES = (
    *("_loop", "_tasks", "_running", "_ticks", "_active", "_config", "_busy", "_children"),
    *("_parent", "_tags", "_err", "_thread", "_bound", "_bindings", "_compiled", "_relations"),
    *("_transition", "_waiters", "_open_waits", "_contexts", "_options", "_disposed", "_gone"),
    *("_disposing", "_unobserved", "_plain", "_tracers", "_late", "_schema", "_queue_tick"),
)


async def test_private_names_of_a_subclass_are_its_own() -> None:
    machine = Own()
    assert machine.add("A").canceled
    assert machine.add("B").executed
    assert machine.err is None
    assert machine._queue.empty()
    wait = machine.when_not("B")
    machine.remove("B")
    assert wait.done
    machine.dispose()
    assert machine.disposed


def test_the_machine_has_no_other_private_names() -> None:
    ours = {name for name in dir(Machine) if name.startswith("_") and not name.endswith("__")}
    assert {name for name in ours if not name.startswith("_m_")} <= {
        "_repr_svg_",
        "_repr_mimebundle_",
        "_is_protocol",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("time", 0.0), ("add", None), ("active", ()), ("tags", "x"), ("queue", []), ("clock", {})],
)
def test_a_value_does_not_hide_an_attribute(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"Clock.{name} would hide Machine.{name}"):
        type("Clock", (Machine,), {name: value}, schema="A")


def test_a_schema_belongs_into_the_brackets() -> None:
    with pytest.raises(InvalidArgument, match=r"class Lamp\(Machine, schema=\.\.\.\)"):

        class Lamp(Machine[object]):
            schema = "A; B"  # type: ignore[assignment]


def test_an_attribute_of_an_instance_does_not_hide_a_method() -> None:
    with pytest.raises(InvalidArgument, match=r"self\.time, set in Clock\.__init__, would hide"):

        class Clock(Machine[object], schema="A"):
            def __init__(self) -> None:
                super().__init__()
                self.time = 0.0  # type: ignore[assignment, method-assign]

    with pytest.raises(InvalidArgument, match=r"self\.when, set in Other\.plan, would hide"):

        class Other(Machine[object], schema="A"):
            def plan(me, start: int) -> None:  # noqa: N805
                me.start = start
                me.when = start  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize("name", ["time", "id", "queue"])
def test_a_slot_does_not_hide_an_attribute(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"Clock.{name} would hide Machine.{name}"):
        type("Clock", (Machine,), {"__slots__": (name,)}, schema="A")


def test_a_property_in_the_place_of_the_id_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"Pass it to super\(\).__init__\(id="):

        class Lamp(Machine[object], schema="A"):
            @property
            def id(self) -> str:  # type: ignore[override]
                return "lamp"


def test_a_mixin_is_looked_at_too() -> None:
    class Mixin:
        clock = 3

    with pytest.raises(InvalidArgument, match=r"Mixin\.clock would hide"):

        class Mixed(Mixin, Machine[object], schema="A"):  # type: ignore[misc]
            pass


def test_overrides_and_other_names_are_left_alone() -> None:
    class Lamp(Machine[object], schema="A; B"):
        id = "lamp"
        limit = 3

        def __init__(self, other: Any) -> None:
            super().__init__()
            self.limit = 4
            self.on_error = print
            other.time = 0.0

        def add(self, *states: Any, **rest: Any) -> Any:
            self.added = states
            return super().add(*states, **rest)

        @property
        def active(self) -> tuple[str, ...]:
            return super().active[::-1]

    class Other:
        time = 1.0

    lamp = Lamp(Other())
    assert lamp.add("A", "B").executed
    assert lamp.added == ("A", "B")
    assert lamp.active == ("B", "A") or lamp.active == ("A", "B")


# -- cooperative classes -----------------------------------------------------------------


class Counting:
    def __init__(self) -> None:
        super().__init__()
        self.count = 1


class Logging:
    def __init__(self) -> None:
        self.lines: list[str] = []


class Needing:
    def __init__(self, value: int) -> None:
        self.value = value


def test_later_bases_begin() -> None:
    class App(Machine[object], Counting, Logging, schema="A"):
        pass

    app = App()
    assert app.count == 1
    assert app.lines == []
    assert app.add("A").executed


def test_a_later_base_that_needs_arguments_is_left_to_the_subclass() -> None:
    class App(Machine[object], Needing, schema="A"):
        def __init__(self) -> None:
            super().__init__()
            Needing.__init__(self, 3)

    assert App().value == 3


def test_a_missing_call_of_the_machines_init_is_told() -> None:
    with pytest.raises(InvalidArgument, match=r"Door\.__init__ does not call super\(\)"):

        class Door(Machine[object], schema="A"):
            def __init__(self) -> None:
                self.opened = 0


def test_an_init_by_way_of_another_method_is_left_alone() -> None:
    class Door(Machine[object], schema="A"):
        def __init__(self) -> None:
            self.begin()

        def begin(self) -> None:
            super().__init__()

    assert Door().add("A").executed


class Slotted(Machine[object], schema="A; B"):
    __slots__ = ("__dict__", "__hidden", "door", "unset")

    def __init__(self) -> None:
        super().__init__()
        self.door = [1]
        self.__hidden = "h"
        self.other = "o"

    def hidden(self) -> str:
        return self.__hidden


class Chosen(Machine[object], schema="A; B"):
    """A machine that leaves an attribute out, and makes it again."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [1]
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        assert isinstance(state, dict)
        return {name: value for name, value in state.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.Lock()


@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_attributes_survive_pickles_and_copies(again: Any) -> None:
    slotted = Slotted()
    slotted.add("A")
    other = again(slotted)
    assert (other.door, other.hidden(), other.other) == ([1], "h", "o")
    assert other.door is not slotted.door
    assert not hasattr(other, "unset")
    assert other.is_("A")
    chosen = Chosen()
    chosen.add("B")
    other = again(chosen)
    assert other.kept == [1]
    assert other.lock is not chosen.lock
    assert other.is_("B")
    assert other.add("A").executed
