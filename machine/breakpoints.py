"""Stop in the debugger when a machine is asked for something.

machine.bind_tracer(Breakpoint(added=["Connected"]))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from machine.core.tracer import Tracer, send_note
from machine.core.transition import Transition
from machine.errors import InvalidArgument
from machine.rules.kinds import Kind

__all__ = ["Breakpoint"]


class Breakpoint(Tracer):
    """A tracer that calls the debugger before the handlers of a mutation of exactly these states.

    Args:
        added: the states that a mutation adds, in this order.
        removed: the states that a mutation removes, in this order.
        strict: not if the states are active, or inactive, already.
        stop: a function to call instead of the built-in `breakpoint`.

    Raises:
        InvalidArgument: neither is given.
    """

    def __init__(
        self,
        *,
        added: Iterable[str] = (),
        removed: Iterable[str] = (),
        strict: bool = False,
        stop: Callable[[], object] = breakpoint,
    ) -> None:
        self.added: tuple[str, ...] = (added,) if isinstance(added, str) else tuple(added)
        self.removed: tuple[str, ...] = (removed,) if isinstance(removed, str) else tuple(removed)
        self.strict = strict
        self._stop = stop
        if not (self.added or self.removed):
            raise InvalidArgument("name the states that are added, or removed", argument="added")

    def transition_start(self, tx: Transition) -> None:
        """Stop if this is the mutation."""
        before = set(tx.before)
        if tx.mutation.kind is Kind.ADD and self.added and tx.called == self.added:
            hit = not (self.strict and before.issuperset(self.added))
        elif tx.mutation.kind is Kind.REMOVE and self.removed and tx.called == self.removed:
            hit = not (self.strict and before.isdisjoint(self.removed))
        else:
            hit = False
        if hit:
            send_note(tx.machine, "changes", "[breakpoint] Machine.breakpoint")
            self._stop()
