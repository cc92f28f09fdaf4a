"""Pickles that were made before the modules moved into rooms."""

import base64
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from machine import Kind, Machine, Options, Schema, Snapshot, Source, State, errors
from machine.core.transition import StateChange
from machine.history import Record
from machine.rules.steps import Step, StepKind

DATA = Path(__file__).parent / "data" / "pickles.json"
PICKLES = {name: base64.b64decode(text) for name, text in json.loads(DATA.read_text()).items()}


def loaded(name: str) -> Any:
    return pickle.loads(PICKLES[name])


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_of_before_is_loaded_and_pickled_again(name: str) -> None:
    value = loaded(name)
    again = pickle.dumps(value)
    assert b"machine._" not in again.replace(b"machine.errors", b"")
    assert type(pickle.loads(again)) is type(value)


def test_the_values_are_those_that_were_pickled() -> None:
    machine = loaded("machine")
    assert type(machine) is Machine
    assert machine.string_all() == "(B:1 C:1) [A:0 Exception:0]"
    assert machine.remove("B").executed
    assert isinstance(loaded("snapshot"), Snapshot)
    assert isinstance(loaded("schema"), Schema)
    assert isinstance(loaded("state"), State)
    assert isinstance(loaded("source"), Source)
    options = loaded("options")
    assert options == Options(handler_timeout=2.0)
    assert options.clock() > 0
    assert isinstance(loaded("kind"), Kind)
    assert str(loaded("mutation")).startswith("[")
    assert str(loaded("result")) in ("executed", "canceled", "queued")
    assert all(isinstance(step, Step) and step.kind in StepKind for step in loaded("steps"))


def test_records_of_before_have_their_changes() -> None:
    records = loaded("records")
    records = records if isinstance(records, list | tuple) else [records]
    assert all(isinstance(record, Record) for record in records)
    changed = [record for record in records if record.diff]
    assert changed
    for record in changed:
        for change in record.changes:
            assert change == StateChange(
                list(record.ticks).index(change.name),
                change.name,
                record.diff[change.name],
                record.ticks[change.name],
            )


def test_errors_of_before_are_errors_of_today() -> None:
    for name in PICKLES:
        if name.startswith("error ") and name != "error Problem":
            error = loaded(name)
            assert type(error) is getattr(errors, name.removeprefix("error "))


def test_a_fresh_process_loads_them() -> None:
    script = (
        "import base64, json, pickle, sys\n"
        "for text in json.load(open(sys.argv[1])).values():\n"
        "    pickle.loads(base64.b64decode(text))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(DATA)], check=True)


def test_the_old_names_are_for_pickles_alone() -> None:
    script = (
        "import sys, machine\n"
        "assert not hasattr(machine, 'kinds')\n"
        "assert 'machine.history.records' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
