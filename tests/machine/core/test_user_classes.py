"""Classes of users that meet those of machines: equality, errors, comparisons."""

import gc
from dataclasses import dataclass
from typing import Any

import prometheus_client
import pytest

from machine import Machine, Options, pipes
from machine.core.identity import IdentityMap
from machine.ready_made_handlers import DisposedHandlers
from machine.telemetry import OtelTracer, PrometheusTracer


@dataclass
class Named(Machine[object], schema="A; B"):
    """A machine with an equality, and without a hash."""

    name: str = ""

    def __post_init__(self) -> None:
        super().__init__(id=self.name or None)

    def AState(self) -> None:
        self.remove("B")


@dataclass(frozen=False, unsafe_hash=True)
class Hashed(Named):
    """A machine that is equal to others, with the same hash."""

    weight: int = 0


@pytest.mark.parametrize("kind", [Named, Hashed])
def test_machines_with_an_equality_are_told_apart(kind: Any) -> None:
    one, two = kind("x"), kind("x")
    assert one == two
    pipes.add(one, two, "A")
    three = kind("x")
    pipes.add(two, three, "A")
    tracers = OtelTracer(), PrometheusTracer(prometheus_client.CollectorRegistry())
    for machine in (one, two, three):
        for tracer in tracers:
            machine.bind_tracer(tracer)
    assert one.add("A").executed
    assert two.is_("A")
    assert three.is_("A")
    two.dispose()
    assert one.remove("A").executed
    assert three.is_("A")
    assert three.add("B").executed
    for machine in (one, three):
        machine.dispose()
    tracers[0].shutdown()


async def test_ready_made_handlers_keep_such_machines_apart() -> None:
    @dataclass
    class App(DisposedHandlers, Machine[object], schema="RegisterDisposal; Disposing; Disposed"):
        name: str = "x"

        def __post_init__(self) -> None:
            super().__init__()

    ended: list[str] = []
    one, two = App(), App()
    one.add("RegisterDisposal", args={"dispose": lambda: ended.append("one")})
    two.add("RegisterDisposal", args={"dispose": lambda: ended.append("two")})
    one.add("Disposing")
    await one.when_disposed()
    assert ended == ["one"]
    two.add("Disposing")
    await two.when_disposed()
    assert ended == ["one", "two"]


def test_an_identity_map_forgets_with_its_objects() -> None:
    class Key:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    found: IdentityMap[Key, str] = IdentityMap()
    one, two = Key(), Key()
    found[one], found[two] = "one", "two"
    assert (found[one], found.get(two), one in found) == ("one", "two", True)
    del one
    gc.collect()
    assert found.values() == ["two"]
    assert found.pop(two) == "two"
    assert found.pop(two, "none") == "none"
    assert len(found) == 0


# -- errors ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen(Exception):
    code: int = 0


class Stubborn(Exception):
    def add_note(self, note: str) -> None:
        raise RuntimeError("no notes")


class Odd(Exception):
    __notes__ = 3  # type: ignore[assignment]


@pytest.mark.parametrize("error", [Frozen(1), Stubborn("no"), Odd("no")], ids=repr)
async def test_an_error_that_takes_no_note_is_reported(error: Exception) -> None:
    async def work() -> None:
        raise error

    machine: Machine[Any] = Machine("A; B")
    machine.bind({"AState": work, "BState": _raising(error)})
    machine.add("A")
    await machine.when_err()
    assert machine.err is error
    machine.remove("Exception")
    assert machine.add("B").canceled
    assert machine.err is error
    assert machine.is_err


def _raising(error: Exception) -> Any:
    def handler() -> None:
        raise error

    return handler


def test_an_error_that_is_raised_again_and_again_has_few_notes() -> None:
    shared = ValueError("shared")
    for number in range(20):
        machine: Machine[Any] = Machine("A", id=f"m{number}", handlers={"AState": _raising(shared)})
        for _ in range(2):
            machine.add("A")
    assert 1 <= len(shared.__notes__) <= 16
    assert len(set(shared.__notes__)) == len(shared.__notes__)


def test_a_frozen_error_is_raised_as_it_is_without_catch() -> None:
    machine: Machine[Any] = Machine(
        "A", handlers={"AState": _raising(Frozen(2))}, options=Options(catch=False)
    )
    with pytest.raises(Frozen):
        machine.add("A")


# -- comparisons -------------------------------------------------------------------------


class Frame:
    """A value whose comparison gives no truth, as that of arrays."""

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth of a frame is ambiguous")


class Rude:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value", [Frame(), Rude(), float("nan")], ids=lambda one: type(one).__name__
)
def test_a_wait_for_arguments_does_not_break_the_mutation(value: Any) -> None:
    machine: Machine[Any] = Machine("A!")
    same = machine.when_args("A", {"frame": value})
    other = machine.when_args("A", {"frame": Rude()})
    assert machine.add("A", args={"frame": 1}).executed
    assert not same.done
    assert machine.add("A", args={"frame": value}).executed
    assert same.done
    assert not other.done
    assert machine.err is None


def test_waits_by_value_are_as_before() -> None:
    machine: Machine[Any] = Machine("A!")
    wait = machine.when_args("A", {"x": [1, 2]})
    machine.add("A", args={"x": [1]})
    assert not wait.done
    machine.add("A", args={"x": [1, 2]})
    assert wait.done
