"""A history in a file: read again, shared, locked, broken."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import pytest

from machine import InvalidArgument, Machine, WaitTimeout
from machine.core.records import TransitionRecord
from machine.history import MemoryHistory, SqliteHistory
from tests.machine.history.test_memory import Clock, at, called, clock, machine_of

__all__ = ["clock"]


def test_a_file_is_read_again(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "h.db"
    with SqliteHistory(path, clock=clock) as history:
        machine_of(history).add("A", args={"n": 1})
    clock.now += 5
    with SqliteHistory(path, clock=clock) as history:
        assert called(history, args={"n": 1}) == [("A",)]
        assert history.last_activated("A") == at(0)
        machine = history.restore()
        machine.add("B")
        assert [one.number for one in history.find()] == [2, 4]
        assert history.machines() == ["m"]
    assert [one.name for one in tmp_path.iterdir()] == ["h.db"]


def test_records_are_the_same_in_memory_and_in_a_file(tmp_path: Path, clock: Clock) -> None:
    memory = MemoryHistory(clock=clock, states=["B"])
    with SqliteHistory(tmp_path / "h.db", clock=clock, states=["B"]) as history:
        machine = Machine("A; B +A", id="m", tracers=[memory, history])
        machine.add("B", args={"n": 1})
        machine.set("A")
        assert history.find() == memory.find()
    first, second = memory.find()
    assert isinstance(first, TransitionRecord)
    assert (first.transition, first.args, first.diff) == ("m#1", {"n": 1}, {"B": 1})
    assert [(one.index, one.name, one.tick) for one in second.changes] == [(1, "B", 2)]


def test_records_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """They had `diff`, the ticks by name, in place of `changes`."""
    path = tmp_path / "h.db"
    with SqliteHistory(path) as history:
        Machine("A; B", id="m", tracers=[history]).add("B")
        wanted = history.find()
    connection = sqlite3.connect(path)
    for number, text in connection.execute("SELECT number, data FROM records").fetchall():
        data = json.loads(text)
        data["diff"] = {name: ticks for _, name, ticks, _ in data.pop("changes")}
        row = (json.dumps(data), number)
        connection.execute("UPDATE records SET data = ? WHERE number = ?", row)
    connection.commit()
    connection.close()
    with SqliteHistory(path) as history:
        assert history.find() == wanted
        assert wanted[0].diff == {"B": 1}


def test_a_file_of_several_machines(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    for name in ("one", "two"):
        with SqliteHistory(path) as history:
            Machine("A", id=name, tracers=[history]).add("A")
    with SqliteHistory(path) as history, pytest.raises(InvalidArgument, match="one, two"):
        history.restore()
    with SqliteHistory(path, id="two") as history:
        assert history.restore().id == "two"


def test_writing_is_in_the_background_and_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    with SqliteHistory(path, interval=60) as history:
        machine = machine_of(history, "A!")
        for _ in range(1200):
            machine.add("A")
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)
        connection.close()
        history.flush()
        assert len(history.find()) == 1000
        assert history.find()[0].ticks["A"] > 1


def test_long_histories_are_read_in_pages(tmp_path: Path) -> None:
    with SqliteHistory(tmp_path / "h.db", max_records=5000) as history:
        machine = machine_of(history, "A!")
        for _ in range(1200):
            machine.add("A")
        assert [one.number for one in history.find()] == list(range(2, 1202))
        newest = history.find(activated="A", newest_first=True)
        assert [one.number for one in newest] == list(range(1201, 1, -1))


def test_many_threads(tmp_path: Path) -> None:
    with SqliteHistory(tmp_path / "h.db", interval=0.001) as history:
        machine = machine_of(history, "A!; B!")

        def work(state: str) -> None:
            for _ in range(100):
                machine.add(state)
                history.latest()

        threads = [threading.Thread(target=work, args=(state,)) for state in "AB"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = history.find()
        assert found[-1].sum == sum(machine.export().ticks)
        assert [one.number for one in found] == list(range(2, 2 + len(found)))


def test_a_locked_file_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "h.db"
    with SqliteHistory(path, interval=0.01) as history:
        history._connection.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        machine_of(history).add("A")
        with pytest.raises(WaitTimeout):
            history.flush(0.2)
        assert "not written yet" in caplog.text
        other.execute("ROLLBACK")
        other.close()
        history.flush()
        assert called(history) == [("A",)]


def test_a_closed_history(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "h.db")
    machine = machine_of(history)
    history.close()
    history.close()
    machine.add("A")
    with pytest.raises(InvalidArgument, match="closed"):
        history.latest()


def test_files_that_are_no_history(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    path.write_text("no database" * 100)
    with pytest.raises(InvalidArgument, match="cannot be a history"):
        SqliteHistory(path)
    newer = tmp_path / "newer.db"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(InvalidArgument, match="version 9"):
        SqliteHistory(newer)


def test_a_history_in_no_file() -> None:
    with SqliteHistory(":memory:") as history:
        machine_of(history).add("A")
        assert called(history) == [("A",)]
