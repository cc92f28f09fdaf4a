"""Tools for tests of programs that use a grid.

`wait_until` polls for a condition, `FaultProxy` injects network faults, `kill` ends a server
abruptly, `MemoryRegistry` is a registry without etcd, `ActorProbe` runs one actor alone, without
a grid. The pytest fixtures (`grid_etcd`, `grid_server`, `grid_client`, ...) are in
`grid.testing.plugin` and come with the distribution.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from grid.deadline import check_timeout
from grid.testing.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from grid.etcd import MemoryRegistry
    from grid.testing.kill import kill
    from grid.testing.probe import ActorProbe, FakeClient, VirtualClock

__all__ = [
    "ActorProbe",
    "FakeClient",
    "FaultProxy",
    "MemoryRegistry",
    "VirtualClock",
    "kill",
    "wait_until",
]

_HOMES = {
    "ActorProbe": "grid.testing.probe",
    "FakeClient": "grid.testing.probe",
    "MemoryRegistry": "grid.etcd",
    "VirtualClock": "grid.testing.probe",
    "kill": "grid.testing.kill",
}

_FIRST_POLL = 0.002
_LONGEST_POLL = 0.05


async def wait_until(
    condition: Callable[[], object | Awaitable[object]],
    description: str,
    *,
    timeout: float = 10.0,
) -> None:
    """Return as soon as `condition()` (plain or async) is true.

    Args:
        condition: polled every 2 to 50 milliseconds; its exceptions are raised.
        description: name of the awaited condition, for the error.
        timeout: seconds to wait at most.

    Raises:
        AssertionError: the condition did not become true in time.
    """
    give_up_at = time.monotonic() + check_timeout(timeout)
    poll = _FIRST_POLL
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {timeout:g} s: {description}")
        await asyncio.sleep(poll)
        poll = min(poll * 1.5, _LONGEST_POLL)


def __getattr__(name: str) -> Any:
    # These load the server; what only waits need not.
    if name not in _HOMES:
        raise AttributeError(f"module 'grid.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # or the name would become that of a module, once it is loaded
    return value
