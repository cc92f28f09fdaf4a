"""Why a state is what it is, and what is told of it."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from machine import Event, InvalidArgument, Machine, UnknownState
from machine.story import CallSite, Story, StoryTracer

AnyMachine = Machine[Any]


@pytest.fixture
def tracer() -> StoryTracer:
    """A tracer for all machines of a test."""
    return StoryTracer()


def machine_of(tracer: StoryTracer, schema: str, name: str = "m", **rest: Any) -> AnyMachine:
    return Machine(schema, id=name, tracers=[tracer], **rest)


def line() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def told(story: Story) -> str:
    """Its text without times of day and paths."""
    text = re.sub(r"  \d\d:\d\d:\d\d\.\d\d\d", "", str(story))
    return re.sub(r"[^ ]*test_story.py:\d+", "HERE", text)


def test_who_called_and_from_where(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A; B")
    machine.add("A", args={"host": 1, "port": 2})
    here = line() - 1
    machine.add("B")
    story = machine.story("A")
    assert story.machine == "m"
    assert story.state == "A"
    (deed,) = story
    assert deed.called == ("A",)
    assert deed.args == ("host", "port")
    assert deed.site is not None
    assert (Path(deed.site.file).name, deed.site.line) == (Path(__file__).name, here)
    assert deed.site.function == "test_who_called_and_from_where"
    assert deed.ticks == {"A": 1}
    assert told(story).splitlines() == [
        "A of 'm' is active, tick 1",
        "1. [add] A (host, port)  m#1",
        "   A was called",
        "   at HERE in test_who_called_and_from_where",
    ]


def test_back_through_handlers_and_auto_states(tracer: StoryTracer) -> None:
    class Handlers:
        def DialingEnter(self) -> None: ...

        def ConnectedState(self, machine: AnyMachine) -> None:
            machine.add("Shown")

    machine = machine_of(tracer, "Dialing; Connected* ?Dialing; Shown +Bright; Bright")
    machine.bind(Handlers())
    machine.add("Dialing")
    text = told(machine.story("Bright"))
    name = "test_back_through_handlers_and_auto_states"
    assert text.splitlines() == [
        "Bright of 'm' is active, tick 1",
        "1. [add] Shown  m#3",
        "   Bright was implied by Shown",
        f"   at HERE in {name}.<locals>.Handlers.ConnectedState",
        "2. it was asked for in ConnectedState of [add:auto] Connected  m#2",
        "   handlers: ConnectedState",
        "3. it followed [add] Dialing  m#1",
        f"   at HERE in {name}",
        "   handlers: DialingEnter",
    ]


def test_what_ended_a_state(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A; B -A; C")
    machine.add("A", "C")
    machine.add("B")
    assert "A was removed by B" in str(machine.story("A"))
    machine.set("A")
    assert "C was not among those set" not in str(machine.story("A"))
    assert "C was not among those set" in str(machine.story("C"))
    machine.remove("A")
    assert machine.story("A").title == "A of 'm' is inactive, tick 4"


def test_across_machines_on_one_thread(tracer: StoryTracer) -> None:
    one = machine_of(tracer, "A", "one")
    other: AnyMachine = Machine("B", id="other", tracers=[StoryTracer()])
    one.bind({"AState": lambda: other.add("B")})
    one.add("A")
    deeds = other.story("B").deeds
    assert [(deed.machine, deed.handler) for deed in deeds] == [("other", "AState"), ("one", "")]


def test_across_machines_by_source(tracer: StoryTracer) -> None:
    one, other = machine_of(tracer, "A", "one"), machine_of(tracer, "B", "other")
    events: list[Event] = []
    one.bind({"AState": lambda event: events.append(event)})
    one.add("A")
    other.add("B", source=events[0])
    story = other.story("B")
    assert [deed.transition for deed in story] == ["other#1", "one#1"]
    assert "for the event one#1 of 'one'" in str(story)
    assert "2. it was made for [add] A  one#1" in told(story)


def test_the_last_error(tracer: StoryTracer) -> None:
    def raising() -> None:
        raise ValueError("broken")

    machine = machine_of(tracer, "A; B", handlers={"AState": raising})
    assert told(machine.story()) == "'m' has had no error"
    machine.add("A")
    assert told(machine.story()).splitlines() == [
        "The last error of 'm': ValueError: broken",
        "1. [add] A  m#1",
        "   at HERE in test_the_last_error",
        "   handlers: AState",
        "   failed in AState: ValueError: broken",
    ]
    told_of = told(machine.story("Exception"))
    assert "2. it was raised in AState of [add] A  m#1" in told_of
    assert "at HERE in test_the_last_error.<locals>.raising" in told_of


def test_an_error_carries_its_story(tracer: StoryTracer) -> None:
    def raising() -> None:
        raise ValueError("broken")

    handlers = {"AState": lambda machine: machine.add("B"), "BEnter": raising}
    machine = machine_of(tracer, "A; B", handlers=handlers)
    machine.add("A")
    assert machine.err is not None
    first, second = machine.err.__notes__
    assert first == "in BEnter of the machine 'm': [add] B <- [add] A"
    assert second.startswith("What led to it:\n1. [add] B")
    assert "2. it was asked for in AState of [add] A" in second


def test_an_error_from_outside(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A")
    machine.add_err(ValueError("late"))
    (deed,) = machine.story()
    assert deed.called == ("Exception",)
    assert "at HERE in test_an_error_from_outside" in told(machine.story())


async def test_an_error_of_a_task(tracer: StoryTracer) -> None:
    async def state() -> None:
        await asyncio.sleep(0)
        raise ValueError("in the task")

    machine = machine_of(tracer, "A", handlers={"AState": state})
    machine.add("A")
    await machine.when_err()
    (deed,) = machine.story()
    assert deed.site is not None
    assert deed.site.function.endswith("state")


def test_attempts_that_were_canceled(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A; B ?A", handlers={"AExit": lambda: False})
    machine.add("A")
    machine.remove("A")
    story = machine.story("A")
    assert story.attempt is not None
    assert story.attempt.rejected_by == "AExit"
    assert "Since then, in vain: [remove] A  m#2" in told(story)
    machine.set("A")
    machine.remove("A")
    machine.add("B")
    assert machine.story("B").attempt is None
    machine_b = machine_of(tracer, "A; B ?A", "b")
    machine_b.add("B")
    attempt = machine_b.story("B").attempt
    assert attempt is not None
    assert attempt.rejected_by == "relations"


def test_who_queued_it_and_on_which_thread(tracer: StoryTracer) -> None:
    def state(machine: AnyMachine) -> None:
        worker = threading.Thread(target=lambda: machine.add("B"), name="worker")
        worker.start()
        worker.join()

    machine = machine_of(tracer, "A; B", handlers={"AState": state})
    machine.add("A")
    (deed,) = machine.story("B")
    assert deed.runner == "thread worker"
    assert deed.cause == ""
    assert deed.site is not None
    assert "<lambda>" in deed.site.function
    assert "(thread worker)" in str(machine.story("B"))


async def test_the_task_that_did_it(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A")

    async def work() -> None:
        machine.add("A")

    await asyncio.create_task(work(), name="pump")
    (deed,) = machine.story("A")
    assert deed.runner == "task pump"


def test_only_so_much_is_kept() -> None:
    tracer = StoryTracer(keep=2)
    machine = machine_of(tracer, "A; B!")
    machine.add("A")
    for _ in range(5):
        machine.add("B")
    assert len(tracer.deeds) == 2
    assert machine.story("A").deeds[0].transition == "m#1"  # a state's last one stays
    with pytest.raises(InvalidArgument, match="keep"):
        StoryTracer(keep=0)


def test_a_chain_whose_beginning_is_forgotten() -> None:
    tracer = StoryTracer(keep=1)
    machine = machine_of(tracer, "A; B", handlers={"AState": lambda machine: machine.add("B")})
    machine.add("A")
    assert [deed.called for deed in machine.story("B")] == [("B",)]


def test_what_came_before_the_tracer() -> None:
    machine: AnyMachine = Machine("A; B", id="m")
    machine.add("A")
    machine.bind_tracer(StoryTracer())
    story = machine.story("A")
    assert not story.deeds
    assert "before the StoryTracer was bound" in str(story)
    assert told(machine.story("B")) == "B of 'm' has never been active"


def test_without_a_tracer_it_says_how_to_get_more() -> None:
    texts: list[str] = []
    handlers = {
        "AState": lambda machine: machine.add("B"),
        "BState": lambda machine: texts.append(str(machine.story("B"))),
    }
    machine: AnyMachine = Machine("A; B", id="m", handlers=handlers)
    machine.add("A")
    assert texts[0].splitlines()[:3] == [
        "B of 'm' is active, tick 1",
        "Just now: [add] B  m#2",
        "which a handler of [add] A asked for",
    ]
    assert "StoryTracer" in str(machine.story("B"))
    machine.add_err(ValueError("broken"))
    assert str(machine.story()).startswith("The last error of 'm': ValueError: broken")
    with pytest.raises(UnknownState):
        machine.story("Nothing")


def test_disposed_machines_are_forgotten_but_for_other_stories(tracer: StoryTracer) -> None:
    one, other = machine_of(tracer, "A", "one"), machine_of(tracer, "B", "other")
    one.bind({"AState": lambda: other.add("B")})
    one.add("A")
    one.dispose()
    assert len(other.story("B").deeds) == 2


def test_checks_and_evals_tell_nothing(tracer: StoryTracer) -> None:
    machine = machine_of(tracer, "A")
    machine.can_add("A")
    machine.eval("test", lambda: None)
    assert tracer.deeds == ()


def test_sites_read_well() -> None:
    assert str(CallSite("/somewhere/app.py", 3, "main")) == "/somewhere/app.py:3 in main"
    assert str(CallSite(str(Path.cwd() / "app.py"), 3, "main")) == "app.py:3 in main"


def test_bound_in_the_midst_of_a_transition(
    tracer: StoryTracer, caplog: pytest.LogCaptureFixture
) -> None:
    machine: AnyMachine = Machine("A; B", id="m")
    machine.bind({"AEnter": lambda: machine.bind_tracer(tracer), "AState": lambda: None})
    machine.add("A")
    machine.add("B")
    assert [deed.called for deed in machine.story("B")] == [("B",)]
    assert not caplog.records
