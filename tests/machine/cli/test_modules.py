"""Python modules as the schema of `python -m machine`, without the name of a machine in them."""

import sys
from pathlib import Path

import pytest

from machine.cli.main import main

MODULE = """
from machine import Machine, States, state

class DoorStates(States):
    Opened = state(remove="Closed")
    Closed = state(auto=True, remove=Opened)

class Door(Machine[DoorStates]):
    pass

class Base(Machine):
    pass

door = Door(id="front")
nothing = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module."""
    (tmp_path / "doors.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("action", ["lint", "draw", "run"])
@pytest.mark.parametrize("source", ["doors.py", "doors", "doors.py:", "doors:"])
def test_a_module_without_a_name_lists_its_machines(
    action: str, source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(sys.modules, "doors", raising=False)
    assert main([action, source]) == 2
    told = capsys.readouterr().err
    name = source.rstrip(":")
    assert f"name a machine in it: {name}:DoorStates, {name}:Door, {name}:door\n" in told


def test_a_module_without_machines(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plain.py").write_text("from machine import Machine\n_hidden = Machine('A')\n")
    monkeypatch.syspath_prepend("")
    assert main(["lint", "plain.py"]) == 2
    assert "and there is no machine in it" in capsys.readouterr().err
    assert main(["lint", "missing.py"]) == 2
    assert capsys.readouterr().err == "error: there is no file missing.py\n"


@pytest.mark.parametrize("source", ["ended.py:Door", "ended:Door", "ended.py"])
def test_a_module_that_ends_the_program_is_an_error(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ended.py").write_text("import sys\nsys.exit(0)\n")
    assert main(["lint", source]) == 2
    assert "SystemExit: 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep.json", "[" * 100_000),
        ("deep.yaml", "[" * 5_000),
        ("date.yaml", "states: 2001-13-45"),
        ("deep.toml", "x = " + "[" * 5_000),
        ("long.json", '{"states": ' + "9" * 5_000 + "}"),
        ("long.toml", "states = " + "9" * 5_000),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(
    folder: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)
    assert main(["lint", name]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_title_of_other_bytes_is_drawn(folder: Path) -> None:
    assert main(["draw", "doors.py:Door", "--title", "\udcff", "-o", "door.svg"]) == 0
    assert main(["draw", "doors.py:Door", "--title", "\udcff", "-o", "door.mmd"]) == 0
    assert (folder / "door.svg").exists()
