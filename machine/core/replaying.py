"""Entry points for replays: a recorded state, recorded mutations, and handlers left out.

They bypass the checks of the public methods, so that a recording can be repeated
exactly; nothing else uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from machine.core import bindings
from machine.core.handlers import Handler, HandlerGroup
from machine.core.machine import Machine
from machine.core.mutation import Mutation, Source
from machine.core.options import check_kinds
from machine.core.snapshot import Snapshot
from machine.waits.result import Result

__all__ = ["check_machine", "keep_handlers", "put_state", "queue_error", "queue_mutation"]


def check_machine(machine: object) -> None:
    """Refuse all but a machine, and None.

    Raises:
        InvalidArgument: it is something else, as the class of a machine.
    """
    check_kinds(machine=(machine, Machine))


def keep_handlers(machine: Machine[Any], keep: Callable[[Handler], bool]) -> None:
    """Bind only those of the machine's handlers that `keep` accepts."""
    kept = []
    for one in machine.handlers:
        handlers = [handler for handler in one.handlers if keep(handler)]
        whole = len(handlers) == len(one.handlers)
        kept.append(one if whole else one.with_group(HandlerGroup(handlers)))
    bindings.set_bindings(machine, tuple(kept))


def put_state(
    machine: Machine[Any],
    names: tuple[str, ...],
    ticks: Iterable[int],
    active: Iterable[str],
    queue_tick: int = 1,
) -> None:
    """Give an idle machine a state, with the order of its active states.

    Raises:
        InvalidArgument: a transition runs.
        ImportMismatch: the machine has other states.
        MachineDisposed: it has been disposed.
    """
    machine._m_check_idle("replay a recording")
    try:
        snapshot = Snapshot(machine.id, names, tuple(ticks), queue_tick, machine.machine_tick - 1)
        machine._m_import(snapshot)
        machine._m_config = machine._m_relations.configuration(machine._m_indexes(active))
    finally:
        machine._m_let_go()


def queue_mutation(machine: Machine[Any], mutation: Mutation) -> Result:
    """Queue a mutation, also if it would change nothing or the queue is full."""
    return machine._m_enqueue(mutation, limited=False)


def queue_error(
    machine: Machine[Any],
    states: tuple[str, ...],
    error: BaseException,
    args: Any,
    source: Source | None,
) -> Result:
    """Add an error with exactly these states, in this order."""
    return machine._m_add_error(states, error, args, source)
