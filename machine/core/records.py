"""The record of a transition: plain values that outlive it, for stories, histories, recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from machine.core.mutation import NO_ARGS, Source
from machine.core.transition import StateChange
from machine.rules.kinds import Kind
from machine.texts import error_text

if TYPE_CHECKING:
    from machine.core.transition import Transition

__all__ = ["TransitionRecord", "record_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRecord:
    """One transition as plain values.

    Attributes:
        machine: the machine's id.
        transition: the transition's id.
        kind: what it did with the called states.
        called: these states.
        auto: the machine made it, of Auto states.
        check: a dry run.
        accepted: False if it was rejected or failed.
        args: the arguments that are kept, by name.
        source: the event that it was made for, if its caller named one.
        error: the class and the text of the error that a handler raised; or "".
        changes: the states whose clocks ticked, in the official order.
    """

    machine: str
    transition: str = ""
    kind: Kind = Kind.SET
    called: tuple[str, ...] = ()
    auto: bool = False
    check: bool = False
    accepted: bool = True
    args: Mapping[str, Any] = field(default_factory=lambda: NO_ARGS)
    source: Source | None = None
    error: str = ""
    changes: tuple[StateChange, ...] = ()

    def __str__(self) -> str:
        auto = ":auto" if self.auto else ":check" if self.check else ""
        return f"[{self.kind}{auto}] {', '.join(self.called)}"


def record_of(tx: Transition, args: Mapping[str, Any] = NO_ARGS) -> TransitionRecord:
    """The record of a transition as it is now.

    Args:
        args: the arguments to keep.
    """
    mutation = tx.mutation
    return TransitionRecord(
        machine=tx.machine.id,
        transition=tx.id,
        kind=mutation.kind,
        called=mutation.called,
        auto=mutation.auto,
        check=mutation.check,
        accepted=tx.accepted,
        args=args,
        source=mutation.source,
        error="" if tx.error is None else error_text(tx.error),
        changes=tx.changes,
    )
