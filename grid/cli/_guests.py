"""Commands of other packages, found by their entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from grid.cli._catalog import ENTRY_POINTS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["entry_points", "guests"]


def guests() -> list[str]:
    """Names of the commands of other packages."""
    return [point.name for point in entry_points()]


def entry_points() -> Iterator[EntryPoint]:
    """The entry points of commands of other packages."""
    if not any(map(_names_commands, sys.path)):
        return  # importing the metadata module takes longer than all of this one
    from importlib import metadata

    yield from metadata.entry_points(group=ENTRY_POINTS)


def _names_commands(folder: str) -> bool:
    """True if a distribution in a folder of the search path may have commands."""
    try:
        found = list(Path(folder or ".").glob("*.*-info/entry_points.txt"))
        return any(ENTRY_POINTS in one.read_text(errors="replace") for one in found)
    except OSError:
        return False
