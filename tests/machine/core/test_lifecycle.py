"""A machine from its making to its end: arguments, schema, state as a value, dispose."""

import asyncio
import copy
import gc
import json
import pickle
import threading
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import pytest

from machine import (
    Event,
    ImportMismatch,
    InvalidArgument,
    InvalidHandler,
    Machine,
    MachineDisposed,
    MachineError,
    Options,
    SchemaError,
    Snapshot,
    States,
    Tracer,
    UnknownState,
    on,
    state,
)


class Lamp(Machine[Any], schema="On -Off; Off* -On; Broken"):
    """A machine with handlers of its own, and something to remember."""

    def __init__(self, room: str = "hall", **options: Any) -> None:
        super().__init__(**options)
        self.room = room
        self.lit = 0

    def OnState(self) -> None:
        self.lit += 1

    def OnEnter(self) -> bool:
        return not self.is_("Broken")


@dataclass
class Job:
    number: int
    name: str = ""


class Ticket(TypedDict):
    seat: int


class Work(States):
    Queued = state(args=Job)
    Seated = state(args=Ticket)


# -- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m: m.add("On", "Of"), UnknownState, "did you mean 'Off'"),
        (lambda m: m.add(5), UnknownState, "5"),
        (lambda m: m.add(None), UnknownState, "None"),
        (lambda m: m.not_("Of"), UnknownState, "Of"),
        (lambda m: m.when("Of"), UnknownState, "Of"),
        (lambda m: m.state_ctx("Of"), UnknownState, "Of"),
        (lambda m: m.add("On", args=3), InvalidArgument, "mapping"),
        (lambda m: m.add("On", args=Job), InvalidArgument, "mapping"),
        (lambda m: m.add("On", source="me"), InvalidArgument, "source"),
        (lambda m: m.add_err("boom"), InvalidArgument, "exception"),
        (lambda m: m.when_any(), InvalidArgument, "states"),
        (lambda m: m.when_time(["On"], [1, 2]), InvalidArgument, "ticks"),
        (lambda m: m.eval("", print), InvalidArgument, "name for its caller"),
        (lambda m: m.bind(m), InvalidArgument, "already"),
        (lambda m: m.bind({}), InvalidHandler, "no handlers"),
        (lambda m: m.bind({"OnState": 3}), InvalidHandler, "not a function"),
        (lambda m: m.bind({"OmState": print}), InvalidHandler, "missing states: Om"),
        (lambda m: m.bind({"On": print}), InvalidHandler, "On"),
        (lambda m: m.detach("nobody"), InvalidArgument, "nobody"),
        (lambda m: m.bind_tracer(object()), InvalidArgument, "Tracer"),
        (lambda m: m.detach_tracer(Tracer()), InvalidArgument, "not bound"),
        (lambda m: m.set_schema("On; Off"), SchemaError, "Broken"),
        (lambda m: m.verify_states(["On"]), SchemaError, "Off"),
        (lambda m: Machine("A ?A"), SchemaError, "A"),
        (lambda m: Machine(cast("Any", 42)), MachineError, "42"),
        (lambda m: m.when_time("On", 3), InvalidArgument, "whole numbers"),
        (lambda m: m.when_ticks("On", "2"), InvalidArgument, "whole numbers"),
        (lambda m: m.when_queue("soon"), InvalidArgument, "whole numbers"),
        (lambda m: m.when_query(3), InvalidArgument, "query must be callable, not int"),
        (lambda m: m.eval("me", 3), InvalidArgument, "function must be callable, not int"),
        (lambda m: m.on_dispose(3), InvalidArgument, "function must be callable, not int"),
        (lambda m: m.prepend("ad", "On"), InvalidArgument, "did you mean 'add'"),
        (lambda m: m.is_queued("push", "On"), InvalidArgument, "add, remove or set"),
        (lambda m: m.import_({"id": 1}), InvalidArgument, "from_dict"),
        (lambda m: Lamp(id=5), InvalidArgument, "id must be of the type str, not int"),
        (lambda m: Lamp(parent=3), InvalidArgument, "parent must be of the type Machine, not int"),
        (lambda m: Lamp(options={"queue_limit": 3}), InvalidArgument, "type Options"),
        (lambda m: Lamp(tags="abc"), InvalidArgument, "not one"),
        (lambda m: Options(catch=cast("Any", "no")), InvalidArgument, "catch"),
        (lambda m: Options(queue_limit=0), InvalidArgument, "queue_limit"),
    ],
)
def test_bad_input_is_told_at_once_and_changes_nothing(
    call: Any, error: type[Exception], says: str
) -> None:
    lamp = Lamp()
    with pytest.raises(error, match=says):
        call(lamp)
    assert lamp.string_all() == "() [On:0 Off:0 Broken:0 Exception:0]"
    assert lamp.add("On").executed


def test_async_handlers_cannot_negotiate() -> None:
    async def enter() -> None: ...

    with pytest.raises(InvalidHandler, match="cannot be async"):
        Lamp().bind({"OffEnter": enter})


def test_a_handler_with_a_parameter_that_nobody_brings_fails_with_its_name() -> None:
    lamp = Lamp()
    lamp.bind({"OffState": lambda colour: colour})
    assert lamp.add("Off").canceled
    assert "'colour'" in str(lamp.err)
    assert lamp.add("Off", args={"colour": "red"}).executed


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("Queued", {"nmber": 1}, "did you mean 'number'"),
        ("Queued", {}, "needs the argument 'number'"),
        ("Queued", None, "needs the argument 'number'"),
        ("Queued", {"number": "one"}, "number as int"),
        ("Queued", Lamp(), "mapping or an instance"),
        ("Seated", {"seat": "5"}, "seat as int"),
        ("Seated", Job(1), "not Job"),
    ],
)
def test_declared_arguments_are_checked(name: str, args: Any, says: str) -> None:
    machine = Machine(Work)
    with pytest.raises(InvalidArgument, match=says):
        machine.add(name, args=args)
    assert not machine.active


def test_declared_arguments_reach_the_handler_as_they_were_given_and_by_name() -> None:
    seen: list[object] = []
    machine = Machine(Work)
    machine.bind({"QueuedState": lambda args, name: seen.extend([args, name])})
    job = Job(1, "wash")
    assert machine.add(Work.Queued, args=job).executed
    assert seen == [job, "wash"]


# -- the schema while it lives ----------------------------------------------------------


def test_a_larger_schema_keeps_clocks_handlers_and_waits() -> None:
    lamp = Lamp()
    lamp.add("On")
    wait = lamp.when("Broken")
    lamp.set_schema("Dimmed ?On; On -Off; Off* -On; Broken")
    assert lamp.string_all() == "(On:1) [Dimmed:0 Off:0 Broken:0 Exception:0]"
    assert lamp.add("Dimmed").executed
    lamp.add("Broken")
    assert wait.done
    assert lamp.remove("On").executed
    assert lamp.add("On").canceled  # its own handler still answers
    assert lamp.lit == 1


def test_the_schema_cannot_change_during_a_transition() -> None:
    lamp = Lamp()
    lamp.bind({"OffState": lambda machine: machine.set_schema("On; Off; Broken; New")})
    assert lamp.add("Off").canceled
    assert "during a transition" in str(lamp.err)
    assert not lamp.has("New")


# -- state as a value -------------------------------------------------------------------


def test_a_pickled_machine_goes_on_where_it_was() -> None:
    lamp = Lamp(room="cellar", id="lamp-1", tags=["floor:0"], options=Options(queue_limit=7))
    lamp.add("On")
    for other in (pickle.loads(pickle.dumps(lamp)), copy.deepcopy(lamp)):
        assert other.string_all() == lamp.string_all()
        assert (other.id, other.room, other.tags) == ("lamp-1", "cellar", ("floor:0",))
        assert other.options.queue_limit == 7
        assert other.lit == 1
        other.remove("On")
        other.add("On")
        assert (other.lit, lamp.lit) == (2, 1)


def test_a_snapshot_survives_json() -> None:
    lamp = Lamp(id="lamp-1")
    lamp.add("On", "Broken")
    snapshot = Snapshot.from_dict(json.loads(json.dumps(lamp.export().to_dict())))
    other = Lamp(id="lamp-1")
    other.import_(snapshot)
    assert other.time() == lamp.time()
    assert other.lit == 0
    assert other.machine_tick == 1


def test_a_snapshot_of_something_else_is_refused() -> None:
    lamp = Lamp(id="lamp-1")
    with pytest.raises(ImportMismatch, match="lamp-2"):
        lamp.import_(Lamp(id="lamp-2").export())
    with pytest.raises(ImportMismatch, match="Fan"):
        lamp.import_(Machine("On; Off; Fan", id="lamp-1").export())
    for broken in (
        {},
        {"id": "x", "names": ["A"], "ticks": [-1]},
        {"id": 1, "names": 2, "ticks": 3},
    ):
        with pytest.raises(InvalidArgument, match="snapshot"):
            Snapshot.from_dict(broken)


def test_an_import_wakes_who_waits_and_ends_contexts() -> None:
    lit = Lamp(id="lamp-1")
    lit.add("On")
    lamp = Lamp(id="lamp-1")
    wait, context = lamp.when("On"), lamp.state_ctx("On")
    lamp.import_(lit.export())
    assert wait.done
    assert context.expired


# -- the end ----------------------------------------------------------------------------


def test_dispose_ends_children_waits_contexts_and_tells_in_order() -> None:
    told: list[str] = []

    class Watcher(Tracer):
        def machine_disposed(self, machine: Machine[Any]) -> None:
            told.append(machine.id)

    house = Machine("Start; Ready", id="house", tracers=[Watcher()])
    house.bind({"StartEnd": lambda: told.append("StartEnd")})
    lamp = Lamp(id="lamp", parent=house, tracers=[Watcher()])
    assert house.children == (lamp,)
    house.add("Start")
    wait, context = house.when("Ready"), house.state_ctx("Ready")
    house.on_dispose(lambda: told.append("first"))
    house.on_dispose(lambda: told.append("second"))
    gone = house.when_disposed()
    house.dispose()
    assert told == ["StartEnd", "lamp", "house", "first", "second"]
    assert lamp.disposed
    assert gone.done
    assert context.expired
    with pytest.raises(MachineDisposed):
        wait.wait(0)


def test_dispose_in_a_handler_waits_for_the_queue() -> None:
    lamp = Lamp()

    def off(machine: Machine[Any]) -> None:
        machine.add("Broken")
        machine.dispose()
        assert not machine.disposed
        assert machine.add("On").canceled

    broken: list[bool] = []
    lamp.bind({"OffState": off, "BrokenState": lambda: broken.append(True)})
    assert lamp.add("Off").executed
    assert broken == [True]
    assert lamp.disposed


def test_a_disposed_machine_answers_without_harm() -> None:
    lamp = Lamp()
    lamp.add("On")
    lamp.add_err(OSError("bulb"))
    lamp.dispose()
    lamp.dispose()
    assert lamp.add("On").canceled
    assert lamp.add_err(OSError("late")).canceled
    assert str(lamp.err) == "late"
    assert (lamp.is_("On"), lamp.is_(), lamp.has("On")) == (False, False, False)
    assert (str(lamp), lamp.string_all(), lamp.inspect(), lamp.tick("On")) == ("", "", "", 0)
    assert lamp.when("On").done
    assert lamp.state_ctx("On").expired
    assert not lamp.eval("test", lambda: None)
    with pytest.raises(MachineDisposed):
        lamp.set_schema("On; Off; Broken; New")


def test_a_parent_does_not_keep_its_children_alive() -> None:
    house = Machine("A")
    Lamp(parent=house)
    gc.collect()
    assert house.children == ()


async def test_join_returns_when_the_tasks_of_ended_states_have_cleaned_up() -> None:
    cleaned: list[str] = []
    begun = asyncio.Event()

    class Job(Machine[Any], schema="Busy"):
        async def BusyState(self) -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                cleaned.append(self.id)

    parent = Machine("A")
    jobs = [Job(id=name, parent=parent) for name in ("one", "two")]
    for job in jobs:
        job.add("Busy")
        await begun.wait()
        begun.clear()
    parent.dispose()
    assert cleaned == []
    await parent.join()
    assert sorted(cleaned) == ["one", "two"]


def test_functions_with_decorators_are_called_once_also_after_the_schema_changed() -> None:
    called: list[str] = []

    @on.state("A", "B")
    def note(event: Event) -> None:
        called.append(event.name)

    machine = Machine("A; B", handlers={"note": note})
    machine.add("A")
    machine.set_schema("A; B; C")
    machine.add("B")
    assert called == ["AState", "BState"]


def test_a_machine_is_disposed_by_whoever_held_it_when_that_was_asked_for() -> None:
    for schema, handlers in (("A", {}), ("A", {"AState": lambda: None})):
        machine = Machine(schema, handlers=handlers or ())
        release = machine._m_busy
        held = release.acquire(False)  # as another thread does in the middle of a mutation
        assert held
        machine.dispose()
        assert not machine.disposed
        release.release()
        machine._m_drain()  # what everybody does who has held it
        assert machine.disposed
        assert machine.when_disposed().done


def test_threads_that_dispose_beside_mutations_are_never_ignored() -> None:
    for _ in range(300):
        machine = Machine("A; B")
        busy = threading.Thread(target=lambda m=machine: [m.toggle("A") for _ in range(50)])
        busy.start()
        machine.dispose()
        busy.join()
        machine.when_disposed().wait(5)
        assert machine.disposed
