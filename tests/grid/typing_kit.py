"""Programs as type checkers see them: each line says which error it has, or none."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

__all__ = ["assert_checked"]

ROOT = Path(__file__).parents[2]


def assert_checked(program: str, folder: Path) -> None:
    """Assert that mypy finds, under `--strict`, the errors that a program says, and no more.

    Args:
        program: its lines end with `# error: code` where mypy shall find one.
        folder: an empty one, for the program.
    """
    file = folder / "program.py"
    file.write_text(program)
    out, error, _ = api.run(
        ["--strict", "--config-file=", "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    )
    assert not error
    found = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", out)}
    wanted = {
        number: line.partition("# error: ")[2]
        for number, line in enumerate(program.splitlines(), 1)
        if "# error: " in line
    }
    assert found.keys() == wanted.keys(), out
    assert all(f"[{code}]" in found[number] for number, code in wanted.items()), out
