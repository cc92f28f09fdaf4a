"""Final states, and the wait for one of them or for an error that nothing answered."""

from __future__ import annotations

from collections.abc import Sequence

from machine.core.view import View
from machine.errors import InvalidArgument, MachineError
from machine.schema.schema import EXCEPTION
from machine.waits.open_waits import OpenWaits
from machine.waits.wait import Wait

__all__ = ["is_final", "when_final"]


def is_final(machine: View) -> bool:
    """Return True while a final state is active."""
    return any(at in machine._m_config.order for at in machine._m_relations.final)


def when_final(machine: View, waits: OpenWaits) -> Wait:
    """Return a wait for a final state; an error that is not answered by one ends it.

    Raises:
        InvalidArgument: no state is final.
    """
    relations = machine._m_relations
    if not relations.final:
        raise InvalidArgument(
            "no state is final",
            machine=machine.id,
            hint="Declare some with state(final=True), or use when_any.",
        )

    def holds(ticks: Sequence[int]) -> bool:
        # Not the states of now: set_schema may move them, and bring more.
        return any(ticks[at] % 2 for at in machine._m_relations.final)

    def failure() -> BaseException | None:
        if EXCEPTION not in machine._m_active or is_final(machine):
            return None
        if machine.err is not None:
            return machine.err
        return MachineError(
            "the state Exception is active, and its error is not known here",
            machine=machine.id,
            hint="add_err(error) says which it was.",
        )

    names = " ".join(relations.names[at] for at in relations.final)
    return waits.until_or_failure(f"final: {names}", holds, failure)
