"""Tracers: the one interface of all observers of machines, and the guard around each of them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from machine.core.handlers import Handler
from machine.core.mutation import DropReason, Mutation
from machine.core.transition import Transition
from machine.errors import InvalidArgument, describe_kind
from machine.schema.schema import Schema

__all__ = ["GuardedTracer", "Tracer", "send_note"]

_log = logging.getLogger("machine")

# The Machine, which is made of tracers among others, so its class comes later. Hooks may
# annotate it as Machine, or as View: they ask it, and do not mutate it.
Observed: TypeAlias = Any


class Tracer:
    """An observer of machines; derive from it and override the hooks of interest.

    The hooks are called on the thread that carries the transition out, in
    order, and must not block or mutate. Their errors are logged, and the
    machine goes on.

    For a transition: `transition_init`, `transition_start`; then for each
    handler `handler_start` and `handler_end`; after the commit and before the
    final handlers `transition_finals`; at the end, accepted or not,
    `transition_end`.
    """

    def machine_init(self, machine: Observed) -> None:
        """This tracer was bound to a machine."""

    def machine_disposed(self, machine: Observed) -> None:
        """The machine ends."""

    def submachine(self, parent: Observed, child: Observed) -> None:
        """A machine with this one as its parent was made."""

    def schema_changed(self, machine: Observed, old: Schema) -> None:
        """The machine has another schema, or another order of its states."""

    def mutation_queued(self, machine: Observed, mutation: Mutation) -> None:
        """A mutation was queued; `mutation.queue_tick` is 0 if it was put to the front."""

    def mutation_dropped(self, machine: Observed, mutation: Mutation, reason: DropReason) -> None:
        """A mutation will not run: it was not taken, or was removed from the queue.

        Called on the thread that asked for it, or that removed it. A mutation
        that another one in the queue makes superfluous is dropped too
        (`DropReason.DUPLICATE`), and one that would change nothing.
        """

    def transition_init(self, tx: Transition) -> None:
        """A mutation begins; relations have been resolved."""

    def transition_start(self, tx: Transition) -> None:
        """Negotiation handlers are called next."""

    def transition_finals(self, tx: Transition) -> None:
        """States and clocks are the new ones; final handlers are called next."""

    def transition_end(self, tx: Transition) -> None:
        """A mutation has ended."""

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """A handler is about to be called."""

    def handler_end(self, tx: Transition, handler: Handler, accepted: bool) -> None:
        """A handler has returned or raised; False if that rejects or breaks the transition."""

    def queue_end(self, machine: Observed) -> None:
        """The queue is empty, and the machine idle."""

    def note(self, machine: Observed, level: str, text: str) -> None:
        """A line for logs about another event.

        Args:
            level: the name of a `machine.logs.Level`.
        """


_HOOKS = tuple(name for name in vars(Tracer) if not name.startswith("_"))


class GuardedTracer(Tracer):
    """A tracer as the machine calls it: only the hooks that it overrides; errors are logged.

    Args:
        tracer: the user's tracer.

    Raises:
        InvalidArgument: it is no `Tracer`.
    """

    def __init__(self, tracer: Tracer) -> None:
        if not isinstance(tracer, Tracer):
            raise InvalidArgument(
                f"a tracer must be an instance of machine.Tracer, not {describe_kind(tracer)}",
                argument="tracer",
            )
        self.tracer = tracer
        for hook in _HOOKS:
            method = getattr(tracer, hook)
            own = getattr(method, "__func__", None) is not getattr(Tracer, hook)
            setattr(self, hook, _guarded(method) if own else _nothing)


_nothing = "".format  # takes any arguments and does nothing, without a frame of its own


def _guarded(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def call(*args: Any) -> None:
        try:
            method(*args)
        except Exception:  # noqa: BLE001 - no observer breaks the machine
            _log.exception("the tracer's %s raised", method.__qualname__)

    return call


def send_note(machine: Observed, level: str, text: str) -> None:
    """Send a note to the machine's tracers.

    Args:
        level: the name of a `machine.logs.Level`.
    """
    for tracer in machine._m_tracers:
        tracer.note(machine, level, text)
