"""Small things around machines that many programs need.

Functions with `_blocking` in their names are for threads without an event
loop; the others of that name are async. All seconds are floats.
"""

from __future__ import annotations

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
from machine.helpers.mutating import (
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
from machine.helpers.small import MutationCanceled, executed, implements, remove_multi, tag_value
from machine.helpers.waiting import (
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
from machine.mirror import mirror
from machine.ready_made_handlers import dispose, dispose_with

__all__ = [
    "BusyLoop",
    "Came",
    "Condition",
    "FanOut",
    "MutationCanceled",
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
    "remove_and_wait_blocking",
    "remove_multi",
    "retry_mutation",
    "retry_mutation_blocking",
    "sleep",
    "states_of_group",
    "tag_value",
    "wait_for_all",
    "wait_for_all_blocking",
    "wait_for_any",
    "wait_for_any_blocking",
    "when_group",
]
