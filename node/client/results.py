"""Results of a run that are done and not read."""

from __future__ import annotations

from collections import deque

from node.client.mapped import Mapped

__all__ = ["Results"]


class Results:
    """Results, to be taken in the order of their inputs or as they came.

    Args:
        ordered: True for the order of the inputs.
    """

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._ready: dict[int, Mapped] = {}  # ordered: by index
        self._fifo: deque[Mapped] = deque()  # as completed
        self._next = 0

    def put(self, mapped: Mapped) -> None:
        """Add a result."""
        if self._ordered:
            self._ready[mapped.index] = mapped
        else:
            self._fifo.append(mapped)

    def take(self) -> Mapped | None:
        """The next one; None if it is not there yet."""
        if not self._ordered:
            return self._fifo.popleft() if self._fifo else None
        found = self._ready.pop(self._next, None)
        if found is not None:
            self._next += 1
        return found

    def clear(self) -> None:
        """Forget all of them."""
        self._ready.clear()
        self._fifo.clear()
