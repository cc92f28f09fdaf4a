"""Async work of states: the handlers that should run, and those that do not.

The work of a state begins with it. It does not run after the state was imported or
unpickled, or when its event loop has ended before it.
"""

from __future__ import annotations

from machine.core.attempts import limited
from machine.core.engine import Engine
from machine.core.handlers import Handler, Role
from machine.core.mutation import Mutation
from machine.core.transition import Transition
from machine.rules.kinds import Kind
from machine.schema.arguments import requires_args

__all__ = ["idle_states", "start_work"]


def idle_states(machine: Engine) -> tuple[str, ...]:
    """Return the active states whose async State handlers have not run in this activation."""
    index = machine._m_relations.index
    return tuple(
        name
        for name in machine.active
        if not _has_worked(machine, index[name]) and _work(machine, index[name])
    )


def start_work(machine: Engine) -> tuple[str, ...]:
    """Start the async State handlers of idle states; the machine's lock is held.

    Returns:
        The states.
    """
    states = idle_states(machine)
    for name in states:
        at = machine._m_relations.index[name]
        move = machine._m_relations.move(machine._m_config, Kind.ADD, (at,))
        mutation = Mutation(Kind.ADD, (name,))
        if not requires_args(machine.schema[name].args):
            machine._m_check_args(mutation)  # completes it with the declared defaults
        tx = Transition(machine, mutation, move, machine._m_ticks, machine._m_transitions)
        context = machine._m_context(at)
        for handler, owner in _work(machine, at):
            try:
                work = handler.invoke(owner, tx)
                if at in machine._m_relations.limits:
                    work = limited(machine, handler, owner, tx, work, context)
                context._start(work, handler.name)
            except Exception as error:  # noqa: BLE001 - it becomes the machine's
                machine._m_background_failed(error, name, handler.name)
    return states


def _has_worked(machine: Engine, state: int) -> bool:
    context = (machine._m_contexts or {}).get(state)
    return context is not None and context.tick == machine._m_ticks[state] and context._worked


def _work(machine: Engine, state: int) -> list[tuple[Handler, object]]:
    place = (Role.STATE, state, -1)
    return [
        (handler, binding.owner)
        for binding in machine._m_bindings
        for handler in binding.handlers
        if handler.is_async and handler.place == place
    ]
