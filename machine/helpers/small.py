"""Conveniences of a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from machine.core.machine import Machine
from machine.errors import MachineError
from machine.schema.schema import Schema
from machine.schema.states import States
from machine.waits.result import Result

__all__ = ["MutationCanceled", "executed", "implements", "remove_multi", "tag_value"]


class MutationCanceled(MachineError, RuntimeError):
    """A mutation that was needed has been rejected."""


def executed(result: Result, what: str = "a mutation") -> Result:
    """Give a result back if it is not canceled, for mutations that must not be.

    Args:
        result: of a mutation; a queued one passes while it is not known what
            it comes to, so await it first.
        what: was asked for, for the error.

    Raises:
        MutationCanceled: it was rejected.
    """
    if result.final.canceled:
        raise MutationCanceled(
            f"{what} was canceled",
            hint="Relations or a negotiation handler said no: see machine.inspect() and logs.",
        )
    return result.final


def implements(machine: Machine[Any], states: type[States] | Schema | Iterable[str]) -> bool:
    """True if a machine has all these states, so that it can stand in where they are needed."""
    names = states.names if isinstance(states, type) else states
    return machine.has(tuple(names))


def tag_value(tags: Iterable[str], key: str) -> str | None:
    """The value of the first tag `key:value`; "" of a tag that is just the key; None without."""
    for tag in tags:
        name, _, value = tag.partition(":")
        if name == key:
            return value
    return None


def remove_multi(state: str) -> Callable[..., None]:
    """A final handler that removes its Multi state right away, for states that are messages.

    class Inbox(Machine[InboxStates]):
        def MessageEnter(self, text: str) -> bool: ...
        MessageState = remove_multi(InboxStates.Message)
    """

    def handler(*_owner: object, machine: Machine[Any]) -> None:
        machine.remove(state)

    return handler
