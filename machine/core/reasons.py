"""Reasons of rejected mutations, worked out when they are asked for."""

from __future__ import annotations

from functools import partial

from machine.core.mutation import DropReason
from machine.core.transition import Transition
from machine.rules.resolution import Move, Relations
from machine.rules.steps import StepKind, steps_of
from machine.texts import error_text
from machine.waits.result import Rejected

__all__ = ["REFUSED", "by_relations", "by_transition"]

_RELATIONS = "relations"
_TEXTS = {
    DropReason.DUPLICATE: "the last mutation in the queue asks for the same",
    DropReason.NO_EFFECT: "it would change nothing",
    DropReason.QUEUE_FULL: "the queue is full: see Options.queue_limit",
    DropReason.BACKOFF: "a handler hung a short while ago: see Options.handler_backoff",
    DropReason.DISPOSED: "the machine is disposed",
    DropReason.CLEARED: "the queue was cleared, behind a handler that hung or at the machine's end",
}
REFUSED = {one: Rejected(one.value, partial(str, text)) for one, text in _TEXTS.items()}


def by_relations(relations: Relations, move: Move) -> Rejected:
    """The result of a mutation that relations reject."""
    return Rejected(_RELATIONS, lambda: _relations_say(relations, move))


def by_transition(tx: Transition | None) -> Rejected:
    """The result of a mutation whose transition was rejected or failed, or missed its goal."""
    if tx is None:
        return Rejected(_RELATIONS, lambda: "relations reject it")
    relations, move = tx.relations, tx.move
    if tx.accepted or not tx.handler:
        return by_relations(relations, move)
    handler, error = tx.handler, tx.error
    if error is not None:
        text = f"{handler} raised {error_text(error)}"
    elif tx.committed:
        text = f"{handler} failed, and its state was taken back"
    else:
        text = f"{handler} returned False"
    return Rejected(handler, lambda: text)


def _relations_say(relations: Relations, move: Move) -> str:
    called = {relations.names[at] for at in move.called}
    words = []
    for step in steps_of(relations, move):
        if step.state in called and step.other:
            others = ", ".join(step.other)
            if step.kind is StepKind.REJECTED:
                words.append(f"{step.state} requires {others}")
            elif step.kind is StepKind.BLOCKED:
                words.append(f"{step.state} is removed by {others}")
    return "; ".join(dict.fromkeys(words)) or "relations bring the states back that it changes"
