"""A machine that two processes share: the example as its user runs it, and its picture."""

from __future__ import annotations

import re
from pathlib import Path

from examples.lights.states import CrossingStates
from machine.draw import draw
from tests.examples.processes import Command

PICTURE = Path(__file__).parents[2] / "docs" / "machine-lights.svg"


def test_two_processes_share_a_crossing(tmp_path: Path) -> None:
    command = Command("examples.lights", "--times", "2", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert not command.left()
    lines = re.findall(r"pedestrian \d (?:walks|has pressed the button: executed)", command.output)
    assert lines == [
        "pedestrian 1 has pressed the button: executed",
        "pedestrian 1 walks",
        "pedestrian 2 has pressed the button: executed",
        "pedestrian 2 walks",
    ]
    assert "has changed 4 times" in command.output


def test_its_picture_is_the_present_one() -> None:
    drawn = draw(CrossingStates, "svg", active={"Red": 3, "Called": 1, "Walk": 1})
    assert PICTURE.read_text(encoding="utf-8") == drawn
