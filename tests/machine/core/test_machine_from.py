"""The page for those who come from other libraries: its figures are those of its blocks."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "machine-from.md"
SECTION = re.compile(r"^## (\d+)\. ([^:\n]+)[^\n]*\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIBRARIES = ("transitions", "statemachine", "machine")


def lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def rows() -> list[str]:
    """The table as it should be."""
    found = []
    for number, title, text in SECTION.findall(PAGE.read_text()):
        counts = {library: str(lines(code)) for library, code in BLOCK.findall(text)}
        cells = " | ".join(counts.get(library, "") for library in LIBRARIES)
        found.append(f"| {number} | {title} | {cells} |".replace("|  |", "| |"))
    return found


def test_the_table_has_the_lines_of_the_blocks() -> None:
    page = PAGE.read_text()
    assert len(rows()) >= 10
    assert [row for row in rows() if row not in page] == []
    assert len(re.findall(r"^\| \d+ \|", page, re.MULTILINE)) == len(rows())


def test_each_machine_is_there_twice() -> None:
    kinds = [dict(BLOCK.findall(text)).keys() for _, _, text in SECTION.findall(PAGE.read_text())]
    assert all("machine" in libraries and len(libraries) > 1 for libraries in kinds)
    assert sum("transitions" in libraries for libraries in kinds) >= 5
    assert sum("statemachine" in libraries for libraries in kinds) >= 5
    assert sum(len(libraries) == 3 for libraries in kinds) >= 3
