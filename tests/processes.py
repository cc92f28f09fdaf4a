"""Questions about processes, which may end while they are asked."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["alive", "own_children"]


def alive(pid: int) -> bool:
    """True unless the process has ended; a zombie has."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has ended since, or there is no /proc here
        return not Path("/proc/self/stat").exists()
    return stat.rpartition(")")[2].split()[0] != "Z"


def own_children() -> set[int]:
    """The processes that this one has started, where there is a /proc."""
    found: set[int] = set()
    for one in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, one.read_text().split()))
        except (FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            continue
    return found
