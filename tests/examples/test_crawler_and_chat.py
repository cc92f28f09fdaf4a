"""The crawler and the chat as their user runs them, with a peer and the leader killed half way."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from examples.chat.__main__ import verdict
from examples.chat.app import Line, Say
from tests.examples.processes import Command

EXAMPLES = Path(__file__).parents[2] / "examples"
MOST_LINES = 150  # of code, on the side of the grid


def two_were_killed(output: str) -> bool:
    """True if the leader's peer and another one were killed, and a third one has the leader."""
    killed = re.search(r"killed (peer-\d), which has the leader\nkilled (peer-\d)\n", output)
    follower = re.search(r"the leader is on (peer-\d) after [\d.]+ s", output)
    assert killed, output
    assert follower, output
    return len({killed[1], killed[2], follower[1]}) == 3


def test_each_page_is_crawled_once_whatever_is_killed(tmp_path: Path) -> None:
    command = Command("examples.crawler", "--kill", "--pages", "60", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert not command.left()
    assert two_were_killed(command.output)
    assert "240 of 240 pages crawled exactly once" in command.output
    per_crawler = re.findall(r"crawler-peer-\d: (\d+) pages", command.output)
    assert sum(map(int, per_crawler)) == 240
    assert "Traceback" not in command.output


def test_each_member_has_each_line_once_whatever_is_killed(tmp_path: Path) -> None:
    command = Command("examples.chat", "--kill", "--verbose", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert not command.left()
    assert two_were_killed(command.output)
    assert "12 members have each line once, and in order" in command.output
    rooms = re.findall(r"room-\d: 2 members listened (\d+) times to 80 lines", command.output)
    assert len(rooms) == 6
    assert max(map(int, rooms)) > 2, "no room has moved"
    assert "Traceback" not in command.output


@pytest.mark.parametrize("module", ["crawler", "chat"])
def test_bad_arguments_are_refused(module: str, tmp_path: Path) -> None:
    command = Command(f"examples.{module}", "--peers", "2", "--kill", tmp=tmp_path)
    assert command.finish() == 2
    assert "--peers 3 at least" in command.output


def said(*lines: tuple[int, str, int]) -> list[Line]:
    return [Line(number, Say(author, own, "")) for number, author, own in lines]


def test_the_verdict_on_the_chat_sees_what_is_wrong() -> None:
    right = said((1, "a", 1), (2, "crier-3", 7), (3, "a", 2))
    authors = {"a": 2}
    assert verdict(right, authors)
    assert not verdict(right[:1], authors)
    assert not verdict([right[0], right[2], right[1]], authors)
    assert not verdict(said((1, "a", 1), (2, "a", 1), (3, "a", 2)), authors)
    assert not verdict(said((1, "a", 2), (2, "a", 1)), authors)
    assert not verdict(said((1, "a", 1), (3, "a", 2)), authors)


@pytest.mark.parametrize("files", [["crawler/app.py"], ["chat/app.py", "chat/member.py"]])
def test_the_side_of_the_grid_is_short(files: list[str]) -> None:
    assert sum(code_lines(EXAMPLES / file) for file in files) < MOST_LINES


def code_lines(file: Path) -> int:
    """Lines that are neither empty, nor comments, nor docstrings."""
    text = file.read_text()
    lines = Counter(number for number, line in enumerate(text.splitlines(), 1) if line.strip())
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            del lines[number]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                del lines[number]
    return len(lines)
