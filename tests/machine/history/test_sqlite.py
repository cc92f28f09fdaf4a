"""A history in a file: read again, shared, locked, broken."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from machine import InvalidArgument, Machine, Snapshot, WaitTimeout
from machine.core.records import TransitionRecord
from machine.errors import HistoryError
from machine.history import MemoryHistory, SqliteHistory
from tests.machine.history.test_memory import Clock, at, called, clock, machine_of

__all__ = ["clock"]

ROOT = Path(__file__).parents[3]


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


def test_a_query_may_have_times_beyond_all_records(tmp_path: Path, clock: Clock) -> None:
    with SqliteHistory(tmp_path / "h.db", clock=clock) as history:
        memory = MemoryHistory(clock=clock)
        Machine("A; B", id="m", tracers=[memory, history]).add("B")
        for one in (memory, history):
            for far in (math.inf, 1e300):
                assert len(one.find(start=-far, end=far)) == 1
                assert one.find(start=far) == one.find(end=-far) == []
            assert one.activated_recently("B", math.inf)
            for wrong in ({"start": math.nan}, {"kind": "ad"}):
                with pytest.raises(InvalidArgument):
                    one.find(**wrong)


@pytest.mark.parametrize("interval", [math.inf, math.nan, 1e10, -1, "1"])
def test_an_interval_that_no_thread_can_wait_for_is_refused(tmp_path: Path, interval: Any) -> None:
    with pytest.raises(InvalidArgument, match="interval must be seconds"):
        SqliteHistory(tmp_path / "h.db", interval=interval)
    assert not list(tmp_path.iterdir())


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


def test_two_histories_of_one_machine_keep_all(tmp_path: Path) -> None:
    """As in two processes: each has a connection, and numbers, of its own."""
    path = tmp_path / "h.db"
    with SqliteHistory(path, interval=0.001) as one, SqliteHistory(path, interval=0.001) as other:
        first, second = (Machine("A!", id="m", tracers=[history]) for history in (one, other))
        for number in range(50):
            first.add("A", args={"first": number})
            second.add("A", args={"second": number})
        one.flush()
        other.flush()
        for history in (one, other):
            found = history.find()
            assert sorted(one.args["first"] for one in found if "first" in one.args) == [*range(50)]
            assert sorted(one.args["second"] for one in found if "second" in one.args) == [
                *range(50)
            ]
            numbers = [one.number for one in found]
            assert numbers == sorted(set(numbers))
            assert history.machine_record() is not None


def test_two_processes_keep_all(tmp_path: Path) -> None:
    program = """
        import sys
        from machine import Machine
        from machine.history import SqliteHistory
        with SqliteHistory(sys.argv[1], interval=0.001) as history:
            machine = Machine("A!", id="m", tracers=[history])
            for number in range(200):
                machine.add("A", args={sys.argv[2]: number})
    """
    path = tmp_path / "h.db"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    both = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("one", "two")]
    assert [process.wait(60) for process in both] == [0, 0]
    with SqliteHistory(path) as history:
        found = [next(iter(one.args.items())) for one in history.find(called="A")]
        assert sorted(found) == [(name, n) for name in ("one", "two") for n in range(200)]


@pytest.mark.parametrize("place", ["missing/h.db", "."])
def test_errors_of_opening_are_typed(tmp_path: Path, place: str) -> None:
    with pytest.raises(HistoryError, match="cannot be opened") as caught:
        SqliteHistory(tmp_path / place)
    assert isinstance(caught.value, OSError)
    assert caught.value.path == str(tmp_path / place)
    assert "permissions" in str(caught.value)


def test_errors_of_reading_are_typed(tmp_path: Path) -> None:
    with SqliteHistory(tmp_path / "h.db") as history:
        machine_of(history).add("A")
        history.flush()
        history._connection.execute("DROP TABLE records")
        with pytest.raises(HistoryError, match="cannot be read: no such table"):
            history.find()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_writes_too(tmp_path: Path) -> None:
    """Nothing is lost or written twice, and the child has a connection of its own."""
    program = """
        import os, sys
        from machine import Machine
        from machine.history import SqliteHistory
        history = SqliteHistory(sys.argv[1], interval=60)     # so that records wait at the fork
        machine = Machine("A!", id="m", tracers=[history])
        machine.add("A", args={"by": "before"})
        child = os.fork()
        machine.add("A", args={"by": "parent" if child else "child"})
        history.close()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    """
    path = tmp_path / "h.db"
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), str(path)]
    done = subprocess.run(
        command, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with SqliteHistory(path) as history:
        found = [one.args["by"] for one in history.find(called="A")]
        assert sorted(found) == ["before", "child", "parent"]


def test_what_no_file_can_hold_is_left_out_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SqliteHistory(tmp_path / "h.db") as history:
        machine = machine_of(history)
        machine.import_(Snapshot("m", machine.names, (2**63, 0, 0, 0)))
        machine.add("A")
        history.flush(5)
        assert "are left out" in caplog.text
        machine.import_(Snapshot("m", machine.names, (2, 0, 0, 0)))
        machine.add("B")
        assert called(history) == [("B",)]
