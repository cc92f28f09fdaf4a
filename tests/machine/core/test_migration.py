"""Snapshots of machines whose schema has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machine import ImportMismatch, InvalidArgument, InvalidHandler, Machine, Snapshot
from machine.history import SqliteHistory


def older() -> Snapshot:
    machine: Machine[Any] = Machine("Opened; Shut; Gone", id="door")
    machine.add("Opened", "Gone")
    machine.add("Shut")
    return machine.export()


class Door(Machine[Any], schema="Opened -Closed; Closed -Opened; Locked"):
    def migrate_snapshot(self, snapshot: Snapshot) -> Snapshot:
        return snapshot.for_states(self.names, renamed={"Shut": "Closed"})


def test_other_states_are_an_error_with_a_recipe() -> None:
    machine: Machine[Any] = Machine("Opened; Closed; Locked", id="door")
    with pytest.raises(ImportMismatch) as caught:
        machine.import_(older())
    assert caught.value.missing == ("Closed", "Locked")
    assert caught.value.unexpected == ("Gone", "Shut")
    assert "snapshot.for_states(machine.names, renamed={...})" in str(caught.value)
    assert machine.time().sum() == 0


def test_a_snapshot_for_other_states() -> None:
    snapshot = older()
    made = snapshot.for_states(["Closed", "Opened", "New"], renamed={"Shut": "Closed"})
    assert (made.names, made.ticks) == (("Closed", "Opened", "New"), (1, 1, 0))
    assert (made.id, made.queue_tick) == (snapshot.id, snapshot.queue_tick)
    for renamed, text in (
        ({"Shutt": "Closed"}, "did you mean 'Shut'"),
        ({"Shut": "Closd"}, "did you mean 'Closed'"),
        ({"Shut": "Opened"}, "two states become 'Opened'"),
    ):
        with pytest.raises(InvalidArgument, match=text):
            snapshot.for_states(["Closed", "Opened"], renamed=renamed)


def test_a_machine_migrates_its_snapshots() -> None:
    door = Door(id="door")
    door.import_(older())
    assert door.string_all() == "(Opened:1 Closed:1) [Locked:0 Exception:0]"
    assert door.remove("Opened").executed
    same = Door(id="door")
    same.import_(door.export())
    assert same.string_all() == door.string_all()


def test_a_migration_that_does_not_fit_is_refused() -> None:
    class Careless(Door):
        def migrate_snapshot(self, snapshot: Snapshot) -> Snapshot:
            return snapshot.for_states(["Opened"])

    machine = Careless(id="door")
    with pytest.raises(ImportMismatch, match="missing: Closed, Exception, Locked"):
        machine.import_(older())


def test_a_history_restores_into_a_new_schema(tmp_path: Path) -> None:
    with SqliteHistory(tmp_path / "h.db") as history:
        Machine("Opened; Shut", id="door", tracers=[history]).add("Shut")
    with SqliteHistory(tmp_path / "h.db") as history:
        door = history.restore(Door(id="door"))
        assert door.is_("Closed")
        door.add("Opened")
        assert history.latest()[0].called == ("Opened",)


def test_waits_are_looked_at_when_a_snapshot_has_another_order() -> None:
    machine: Machine[Any] = Machine("A; B", id="m")
    machine.add("A")
    wait, gone = machine.when("B"), machine.when_not("A")
    machine.import_(Snapshot("m", ("B", "A", "Exception"), (1, 0, 0)))
    assert machine.active == ("B",)
    assert wait.done
    assert gone.done


class _Odd:
    """Handlers, and a value that passes for one once there is a state X."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.XState = 5

    def AState(self) -> None:
        self.calls.append("A")


def test_a_schema_for_which_handlers_are_wrong_changes_nothing() -> None:
    odd = _Odd()
    machine: Machine[Any] = Machine("A; B", handlers=odd)
    with pytest.raises(InvalidHandler):
        machine.set_schema("B; X; A")
    assert machine.names == ("A", "B", "Exception")
    machine.add("B")
    assert odd.calls == []
    machine.add("A")
    assert odd.calls == ["A"]


@pytest.mark.parametrize(
    "changes",
    [
        {"names": [["A"], "Exception"]},
        {"names": [1, "Exception"]},
        {"names": "AB"},
        {"ticks": [2**64, 0]},
        {"ticks": [True, 0]},
        {"queue_tick": float("inf")},
        {"queue_tick": -5},
        {"machine_tick": -1},
    ],
    ids=str,
)
def test_plain_data_that_is_no_snapshot_is_refused(changes: dict[str, Any]) -> None:
    data = {"id": "m", "names": ["A", "Exception"], "ticks": [1, 0], **changes}
    with pytest.raises(InvalidArgument, match="not a snapshot"):
        Snapshot.from_dict(data)
