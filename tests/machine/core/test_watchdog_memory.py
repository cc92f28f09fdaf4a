"""The watchdog's thread keeps no machine alive."""

import gc
import weakref
from typing import Any

from grid.testing import wait_until
from machine import Machine, Options
from machine.core import watchdog


async def test_a_machine_that_was_seen_in_a_handler_is_not_kept() -> None:
    seen: list[int] = []
    real = watchdog.inspect

    def inspect(machine: Any, reported: dict[int, float]) -> None:
        seen.append(id(machine))
        real(machine, reported)

    watchdog.inspect = inspect
    try:
        found = _busy_until_seen(seen)
    finally:
        watchdog.inspect = real

    def is_gone() -> bool:
        gc.collect()
        return found() is None

    await wait_until(is_gone, "the machine is let go of", timeout=20)


def _busy_until_seen(seen: list[int]) -> weakref.ref[Machine[Any]]:
    machine: Machine[Any] = Machine("A", options=Options(handler_timeout=60))

    def wait() -> None:
        while id(machine) not in seen:
            pass

    machine.bind({"AState": wait})
    machine.add("A")
    return weakref.ref(machine)
