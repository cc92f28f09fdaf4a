"""Small things around machines that many programs need.

Functions with `_blocking` in their names are for threads without an event
loop; the others of that name are async. All seconds are floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machine._background import BusyLoop, Pool, StateLoop, interval, sleep
from machine._joins import (
    Came,
    group_when,
    in_group,
    states_of_group,
    wait_for_all,
    wait_for_all_blocking,
    wait_for_any,
    wait_for_any_blocking,
    when_group,
)
from machine._mutating import (
    add_and_wait,
    add_and_wait_blocking,
    add_then_wait_for,
    add_then_wait_for_blocking,
    ask_add,
    ask_remove,
    call,
    cant_add,
    cant_remove,
    remove_and_wait,
    remove_and_wait_blocking,
    retry_mutation,
    retry_mutation_blocking,
)
from machine.arguments import args_for_log, args_from, args_match, args_to_dict, loggable
from machine.conditions import Condition, accept_if, needs_args, reject_if
from machine.fan_out import FanOut, fan_out
from machine.machine import Machine
from machine.mirror import mirror
from machine.ready_made_handlers import dispose, dispose_with

__all__ = [
    "BusyLoop",
    "Came",
    "Condition",
    "FanOut",
    "Pool",
    "StateLoop",
    "accept_if",
    "add_and_wait",
    "add_and_wait_blocking",
    "add_then_wait_for",
    "add_then_wait_for_blocking",
    "args_for_log",
    "args_from",
    "args_match",
    "args_to_dict",
    "ask_add",
    "ask_remove",
    "call",
    "cant_add",
    "cant_remove",
    "dispose",
    "dispose_with",
    "fan_out",
    "group_when",
    "in_group",
    "interval",
    "loggable",
    "mirror",
    "needs_args",
    "reject_if",
    "remove_and_wait",
    "remove_and_wait_blocking",
    "remove_multi",
    "retry_mutation",
    "retry_mutation_blocking",
    "sleep",
    "states_of_group",
    "wait_for_all",
    "wait_for_all_blocking",
    "wait_for_any",
    "wait_for_any_blocking",
    "when_group",
]


def remove_multi(state: str) -> Callable[..., None]:
    """A final handler that removes its Multi state right away, for states that are messages.

    class Inbox(Machine[InboxStates]):
        def MessageEnter(self, text: str) -> bool: ...
        MessageState = remove_multi(InboxStates.Message)
    """

    def handler(*_owner: object, machine: Machine[Any]) -> None:
        machine.remove(state)

    return handler
