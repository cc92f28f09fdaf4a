"""Dry runs: questions to relations and negotiation handlers, which change nothing."""

from __future__ import annotations

from typing import Any

from machine.core import bindings
from machine.core.mutation import DropReason, Source
from machine.core.queue import Queue
from machine.core.reasons import REFUSED
from machine.core.transition import Event
from machine.rules.kinds import Kind
from machine.schema.arguments import needs_args
from machine.schema.schema import EXCEPTION
from machine.waits.result import Result

__all__ = ["DryRuns"]


class DryRuns(Queue):
    """The part of a machine that says what it would accept."""

    __slots__ = ()

    def _m_ask(
        self, kind: Kind, states: tuple[Any, ...], args: Any, source: Event | Source | None
    ) -> Result:
        if self._m_disposing or (self._m_backoff_until and self._m_backing_off()):
            return REFUSED[DropReason.DISPOSED if self._m_disposing else DropReason.BACKOFF]
        bindings.read_attributes(self)
        mutation = self._m_mutation(kind, states, args, source)
        mutation.check = True
        return self._m_prepend(mutation)

    def possible(self) -> tuple[str, ...]:
        """The states that could be added now, each alone: dry runs as by `can_add`.

        Of states whose arguments are needed relations alone are asked. Not for handlers.
        """
        return tuple(name for name in self.names if self._m_may_begin(name))

    def _m_may_begin(self, name: str) -> bool:
        state = self.schema[name]
        if name == EXCEPTION or (self.is_(name) and not state.multi):
            return False
        # First, as a dry run of a Multi state does not ask whether its Require is met.
        called = self._m_indexes((name,))
        if not self._m_relations.move(self._m_config, Kind.ADD, called).accepted:
            return False
        return needs_args(state.args) or self._m_ask(Kind.ADD, (name,), None, None).executed
