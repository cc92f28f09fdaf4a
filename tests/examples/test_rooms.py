"""The rooms as their user runs them: `python -m examples.rooms`."""

from __future__ import annotations

from pathlib import Path

from tests.examples.processes import Command


def test_rooms_of_a_killed_server_open_elsewhere(tmp_path: Path) -> None:
    command = Command("examples.rooms", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert not command.left()
    output = command.output
    for name in ("anna", "bert", "cleo"):
        assert f"{name} has room-" in output
    assert "eu: anna 2, bert 2" in output
    assert "4 rooms answered, and 4 lines were heard; 2 went with bert" in output
    assert output.count("here we are again") == 2
