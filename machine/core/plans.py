"""Plans: the handlers of a move in their order, worked out once for all machines alike.

Machines whose handlers come from the same classes share a `HandlerTable`, so the
plan of a move is made once for all of them; an owner is found by the number of
its group. The table of one group is kept by the group; that of several groups lives as
long as a machine uses it, so that classes made at run time can be collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

from machine.core.handlers import Handler, HandlerGroup, Place, Role
from machine.rules.kinds import Kind
from machine.rules.resolution import Move

__all__ = ["Call", "HandlerTable", "Plan", "table_of"]

_MAX_PLANS = 50_000


class Call:
    """A handler to be called at some place of a plan.

    Attributes:
        handler: the handler.
        name: its name.
        method: the attribute of the owner to call, of methods that declare no parameters; or "".
        function: the function to call, of functions that declare no parameters; or None.
        none_accepts: True unless the handler has to return True or False.
        group: the number of the group it comes from.
        position: in a plan's finals, the number of states whose final handlers come before.
    """

    __slots__ = ("function", "group", "handler", "method", "name", "none_accepts", "position")

    def __init__(self, handler: Handler, group: int, position: int) -> None:
        self.handler: Handler = handler
        self.group: int = group
        self.position: int = position
        self.name: str = handler.name
        self.none_accepts: bool = not handler.wants_bool
        self.method: str = handler.attribute if handler.bare else ""
        self.function: Callable[[], Any] | None = None
        if handler.bare and not handler.attribute:
            self.function = handler.function


class Plan:
    """The handlers of one move.

    Attributes:
        negotiation: to be asked, in order.
        finals: to be told, in order; AnyState last.
    """

    __slots__ = ("finals", "negotiation")

    def __init__(self, negotiation: Sequence[Call], finals: Sequence[Call]) -> None:
        self.negotiation: tuple[Call, ...] = tuple(negotiation)
        self.finals: tuple[Call, ...] = tuple(finals)


class HandlerTable:
    """Groups of handlers in their order, by the places of the handlers.

    Attributes:
        plans: the plans made so far, by their moves.
    """

    def __init__(self, groups: Sequence[HandlerGroup]) -> None:
        self._groups = tuple(groups)  # so that their ids, which are keys, are not used again
        self._table: dict[Place, list[tuple[Handler, int]]] = {}
        for number, group in enumerate(groups):
            for handler in group.handlers:
                self._table.setdefault(handler.place, []).append((handler, number))
        self._pairs = any(place[0] is Role.BETWEEN for place in self._table)
        self.plans: dict[Move, Plan] = {}

    def plan(self, move: Move) -> Plan:
        """Return the handlers of a move."""
        found = self.plans.get(move)
        if found is None:
            if len(self.plans) >= _MAX_PLANS:  # of moves that the memo may have dropped
                self.plans.clear()
            found = Plan(
                [call for place in _negotiation(move, self._pairs) for call in self._at(place)],
                [call for at, place in _finals(move) for call in self._at(place, at)],
            )
            self.plans[move] = found
        return found

    def _at(self, place: Place, position: int = 0) -> list[Call]:
        return [Call(handler, group, position) for handler, group in self._table.get(place, ())]


def _negotiation(move: Move, pairs: bool) -> Iterator[Place]:
    for state in move.exits:
        yield Role.EXIT, state, -1
    for state in move.enters:
        yield Role.ENTER, state, -1
    if pairs:
        before, target = move.before.order, move.target.order
        if move.kind is not Kind.REMOVE:
            for state in target:
                if state in before:
                    yield Role.BETWEEN, state, state
        for one in before:
            for other in target:
                if one != other:
                    yield Role.BETWEEN, one, other
    yield Role.ANY_ENTER, -1, -1


def _finals(move: Move) -> Iterator[tuple[int, Place]]:
    position = 0
    for state in move.exits:
        yield position, (Role.END, state, -1)
        position += 1
    for state in move.enters:
        yield position, (Role.STATE, state, -1)
        position += 1
    yield position, (Role.ANY_STATE, -1, -1)


_tables: WeakValueDictionary[tuple[int, ...], HandlerTable] = WeakValueDictionary()


def table_of(groups: Sequence[HandlerGroup]) -> HandlerTable:
    """Return the table of these groups: the same one for the same groups."""
    if len(groups) == 1:
        group = groups[0]
        if group.table is None:
            group.table = HandlerTable(groups)
        table: HandlerTable = group.table
        return table
    key = tuple(map(id, groups))
    found = _tables.get(key)
    if found is None:
        found = _tables[key] = HandlerTable(groups)
    return found
