"""Watches of entities for code that blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grid.aio import Portal
from grid.registry.entities import EntityEvent, EntityWatch

__all__ = ["blocking_events"]


@contextmanager
def blocking_events(watch: EntityWatch, portal: Portal) -> Iterator[Iterator[EntityEvent]]:
    """The events of a watch, which is open inside the block."""
    portal.call(watch.__aenter__())

    def events() -> Iterator[EntityEvent]:
        while True:
            try:
                yield portal.call(watch.__anext__())
            except StopAsyncIteration:
                return

    try:
        yield events()
    finally:
        portal.clean_up(watch.__aexit__(None, None, None))
