"""Many threads on one machine."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from machine import Machine, Options

__all__ = ["LIMITS", "THREADS", "AnyMachine", "in_threads", "make", "switching_often"]

AnyMachine = Machine[Any]

THREADS = 8
LIMITS = Options(queue_limit=10**9, handler_timeout=60)


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


@contextlib.contextmanager
def switching_often() -> Iterator[None]:
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(
    function: Callable[[int], object],
    count: int = THREADS,
    beside: Callable[[], object] | None = None,
) -> None:
    """Call a function in many threads, and another one meanwhile; raise what they raise."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            function(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    while beside is not None and any(thread.is_alive() for thread in threads):
        beside()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    for error in errors:
        raise error
