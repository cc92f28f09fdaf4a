"""The processors and the memory of this machine, or of this container, and what is free of them."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from node.policy.placement import Capacity

__all__ = ["capacity", "processors"]

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of the container, if there is one
_KIB = 1024


def capacity(workers: int) -> Capacity:
    """The present capacity; where the system does not say what is free, all of it.

    Args:
        workers: of the kind that there are now.
    """
    cpus = processors()
    memory, free = _memory()
    return Capacity(cpus, max(0.0, cpus - os.getloadavg()[0]), memory, free, workers)


def processors() -> float:
    """The processors that this process may use, a part of one in a container with a quota."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota, _, period = _read(_GROUP / "cpu.max").partition(" ")
    if quota.isdecimal() and period.strip().isdecimal():
        return min(float(count), int(quota) / int(period))
    return float(count)


def _memory() -> tuple[int, int]:
    lines = (line.split() for line in _read(_MEMORY).splitlines())
    found = {line[0]: int(line[1]) * _KIB for line in lines if len(line) > 1}
    total = found.get("MemTotal:", os.sysconf("SC_PHYS_PAGES") * resource.getpagesize())
    free = found.get("MemAvailable:", total)
    limit, used = _read(_GROUP / "memory.max").strip(), _read(_GROUP / "memory.current").strip()
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:
        return int(limit), min(free, max(0, int(limit) - int(used)))
    return total, free


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
