"""Helpers around machines that many programs need.

Each helper that takes time returns a `Wait`: `await` it in an event loop, or
call its `.wait()` in a thread without one. All times are in seconds.
"""

from __future__ import annotations

from typing import TypeAlias

from machine.arguments import args_for_log, args_from, args_match, args_to_dict, loggable
from machine.conditions import Condition, accept_if, needs_args, reject_if
from machine.fan_out import FanOut, fan_out
from machine.helpers.background import (
    BusyLoop,
    Pool,
    StateLoop,
    go_after,
    healthcheck,
    interval,
    sleep,
)
from machine.helpers.driven import DrivenWait
from machine.helpers.groups import (
    group_when,
    implements,
    in_group,
    states_of_group,
    when_group,
)
from machine.helpers.mutating import (
    MutationCanceled,
    add_and_wait,
    add_then_wait_for,
    ask_add,
    ask_remove,
    call,
    cant_add,
    cant_remove,
    executed,
    remove_and_wait,
    remove_multi,
    retry_mutation,
)
from machine.helpers.waiting import Completed, wait_for_all, wait_for_any
from machine.mirror import mirror
from machine.ready_made_handlers import dispose, dispose_with
from machine.schema.state import tag_value

Came: TypeAlias = Completed  # the name of before

__all__ = [
    "BusyLoop",
    "Came",
    "Completed",
    "Condition",
    "DrivenWait",
    "FanOut",
    "MutationCanceled",
    "Pool",
    "StateLoop",
    "accept_if",
    "add_and_wait",
    "add_then_wait_for",
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
    "executed",
    "fan_out",
    "go_after",
    "group_when",
    "healthcheck",
    "implements",
    "in_group",
    "interval",
    "loggable",
    "mirror",
    "needs_args",
    "reject_if",
    "remove_and_wait",
    "remove_multi",
    "retry_mutation",
    "sleep",
    "states_of_group",
    "tag_value",
    "wait_for_all",
    "wait_for_any",
    "when_group",
]
