"""Triggers: named mutations of a class of machines."""

import pickle
from pathlib import Path

import pytest

from machine import InvalidArgument, Machine, States, UnknownState, group, state, trigger
from machine.cli.main import main


class DoorStates(States):
    Opened, Locked = state(), state(require="Closed", remove="Opened")
    Closed = state(initial=True)
    Phase = group(Opened, Closed, exclusive=True)


class Door(Machine[DoorStates]):
    open = trigger(add=DoorStates.Opened)
    lock = trigger(add=["Locked"])
    unlock = trigger(remove=DoorStates.Locked)
    reset = trigger(set="Closed")
    clear = trigger(set=())

    def LockedExit(self, code: int = 0) -> bool:
        return code == 7


def test_a_trigger_mutates_the_machine() -> None:
    door = Door()
    assert door.lock().executed
    assert door.active == ("Closed", "Locked")
    assert door.unlock().rejected_by == "LockedExit"
    assert door.unlock(args={"code": 7}).executed
    assert door.open().executed
    assert door.is_("Opened")
    assert door.reset().executed
    assert door.clear().executed
    assert not door.active


def test_a_trigger_can_be_asked_and_changes_nothing() -> None:
    door = Door()
    door.lock()
    assert door.unlock.can().canceled
    assert door.unlock.can(args={"code": 7}).executed
    assert door.reset.can().canceled
    assert door.active == ("Closed", "Locked")
    assert str(Door.open) == "add Opened"
    assert repr(Door(id="front").open) == "<trigger add Opened of front>"


def test_subclasses_inherit_and_replace_triggers() -> None:
    class Shop(Door):
        open = trigger(set="Opened")

    assert str(Shop.open) == "set Opened"
    assert Shop().lock().executed
    assert pickle.loads(pickle.dumps(Door())).lock().executed


def test_wrong_triggers_are_refused_with_the_class() -> None:
    with pytest.raises(UnknownState, match="did you mean 'Opened'"):

        class Misspelt(Machine, schema="Opened"):
            open = trigger(add="Opend")

    with pytest.raises(InvalidArgument, match=r"hides Machine\.add"):

        class Hiding(Machine, schema="Opened"):
            add = trigger(add="Opened")  # type: ignore[assignment]

    for given in ({}, {"add": "A", "remove": "B"}):
        with pytest.raises(InvalidArgument, match="a trigger is one mutation"):
            trigger(**given)
    with pytest.raises(InvalidArgument, match="add of no states"):
        trigger(add=())
    with pytest.raises(AttributeError, match="is a trigger"):
        Door().open = 3


def test_a_class_without_a_schema_finds_out_when_it_is_called() -> None:
    class Plain(Machine):
        go = trigger(add="Gone")

    assert Plain("Gone").go().executed
    with pytest.raises(UnknownState):
        Plain("Other").go()


def test_the_command_calls_and_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gate.py").write_text(
        "from machine import Machine, trigger\n"
        "class Gate(Machine, schema='Opened -Closed; Closed^ -Opened; Locked ?Closed'):\n"
        "    open = trigger(add='Opened')\n"
        "    lock = trigger(add='Locked')\n"
    )
    Path("script").write_text("open\ntriggers\nlock\nwhy\n")
    assert main(["run", "gate.py:Gate", "--script", "script"]) == 0
    out = capsys.readouterr().out.split("> ")
    assert out[1].startswith("open\nexecuted  (Opened:1)")
    assert out[2] == "triggers\nopen\n"
    assert out[3].startswith("lock\ncanceled")
    assert "Locked requires Closed" in out[4]
