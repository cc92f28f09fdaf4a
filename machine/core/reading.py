"""Handlers in classes and mappings, found by their names and decorators."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from machine.core.handlers import MARK, Handler, HandlerGroup, Place, Role
from machine.errors import InvalidHandler, near_names
from machine.rules.resolution import Relations

__all__ = ["from_functions", "group_of_class", "placed_again"]

_SUFFIXES = {"Exit": Role.EXIT, "Enter": Role.ENTER, "End": Role.END, "State": Role.STATE}
_GLOBAL = {"AnyEnter": Role.ANY_ENTER, "AnyState": Role.ANY_STATE}
_GROUPS = "__machine_groups__"  # the attribute of classes that keeps their groups
_MAX_GROUPS = 64  # of one class, by schemas and prefixes
_NAMES = {role: suffix for suffix, role in _SUFFIXES.items()}


def read_name(relations: Relations, name: str) -> Place | None:
    """Return the place that a name stands for; None if it is not the name of a handler."""
    if name in _GLOBAL:
        return _GLOBAL[name], -1, -1
    index = relations.index
    for suffix, role in _SUFFIXES.items():
        if name.endswith(suffix) and name[: -len(suffix)] in index:
            return role, index[name[: -len(suffix)]], -1
    for cut in range(1, len(name)):
        if name[:cut] in index and name[cut:] in index:
            return Role.BETWEEN, index[name[:cut]], index[name[cut:]]
    return None


def from_functions(
    relations: Relations, functions: Mapping[str, Callable[..., Any]], machine: str
) -> list[Handler]:
    """Return the handlers of a mapping from their names to functions.

    Raises:
        InvalidHandler: a name is no handler's, or a function cannot be one.
    """
    found = []
    for name, function in functions.items():
        if not callable(function):
            raise InvalidHandler(
                f"{name} is {type(function).__name__}, not a function",
                handler=name,
                machine=machine,
            )
        for place in _marked(relations, function, machine) or (read_name(relations, name),):
            if place is None:
                raise _unknown(relations, name, machine)
            found.append(Handler(name_of(relations, place), place, function, False, machine))
    return found


def placed_again(relations: Relations, handlers: Iterable[Handler], machine: str) -> list[Handler]:
    """Return handlers of the same functions in another schema, which has all their states."""
    found = []
    for old in handlers:
        place = read_name(relations, old.name)
        if place is None:
            raise _unknown(relations, old.name, machine)
        found.append(Handler(old.name, place, old.function, old.owned, machine))
    return found


def group_of_class(relations: Relations, cls: type, prefix: str, machine: str) -> HandlerGroup:
    """Return the handlers of a class as it is now, shared by all machines of this schema.

    The class itself keeps the group, so that a class that is made at run time can be
    collected. It is read again when one of its attributes, or of its bases', was
    replaced since.

    Args:
        prefix: only methods with this prefix, which is not part of their names.

    Raises:
        InvalidHandler: a method has a handler's ending and names no state.
    """
    kept: _Kept | None = vars(cls).get(_GROUPS)
    if kept is None or kept.mro is not cls.__mro__:
        kept = _Kept(cls)
        try:
            setattr(cls, _GROUPS, kept)
        except (AttributeError, TypeError):  # a class that takes no attributes is read each time
            return HandlerGroup(_from_class(relations, cls, prefix, machine))
    if kept.marks != [tuple(map(id, values.values())) for values in kept.watched]:
        kept.renew()
    group = kept.groups.get((relations, prefix))
    if group is None:
        if len(kept.groups) >= _MAX_GROUPS:
            kept.groups.clear()
        group = HandlerGroup(_from_class(relations, cls, prefix, machine))
        kept.groups[relations, prefix] = group
    return group


class _Kept:
    """The handlers of a class as they were read last, and the attributes they were read from.

    Attributes:
        mro: the class and its bases.
        watched: the attributes of those that are not ours, and so may be replaced.
        marks: the ids of the values of these; the values are kept so that their ids are theirs.
        groups: the handlers by schema and prefix.
    """

    __slots__ = ("_values", "groups", "marks", "mro", "watched")

    def __init__(self, cls: type) -> None:
        self.mro = cls.__mro__
        self.watched = [
            vars(base)
            for base in self.mro
            if base.__module__.partition(".")[0] not in ("builtins", "machine", "typing")
        ]
        self.groups: dict[tuple[Relations, str], HandlerGroup] = {}
        self.marks: list[tuple[int, ...]] = []

    def renew(self) -> None:
        """Forget the groups, and note the attributes as they are now."""
        self._values = [tuple(values.values()) for values in self.watched]
        self.marks = [tuple(map(id, values)) for values in self._values]
        self.groups.clear()


def _from_class(relations: Relations, cls: type, prefix: str, machine: str) -> list[Handler]:
    """Return the handlers of a class, by their names and decorators.

    Args:
        prefix: only methods with this prefix, which is not part of their names.

    Raises:
        InvalidHandler: a method has a handler's ending and names no state.
    """
    found = []
    for attribute in dir(cls):
        if attribute.startswith("__"):
            continue
        raw = inspect.getattr_static(cls, attribute)
        function = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
        if not inspect.isfunction(function):
            continue
        places = _marked(relations, function, machine)
        if not places:
            place = _by_name(relations, attribute, prefix, machine)
            places = () if place is None else (place,)
        owned = not isinstance(raw, staticmethod)
        found += [Handler(name_of(relations, p), p, function, owned, machine) for p in places]
    return found


def _by_name(relations: Relations, attribute: str, prefix: str, machine: str) -> Place | None:
    if not attribute.startswith(prefix):
        return None
    name = attribute[len(prefix) :]
    if not name[:1].isupper():
        return None
    place = read_name(relations, name)
    if place is None and not prefix and name.endswith(tuple(_SUFFIXES)):
        raise _unknown(relations, name, machine)
    return place


def name_of(relations: Relations, place: Place) -> str:
    """Return the name of a place by the convention."""
    role, state, other = place
    if role is Role.BETWEEN:
        return relations.names[state] + relations.names[other]
    if state < 0:
        return role.name.title().replace("_", "")
    return relations.names[state] + _NAMES[role]


def _marked(relations: Relations, function: object, machine: str) -> tuple[Place, ...]:
    places = []
    for role, *states in getattr(function, MARK, ()):
        for state in states:
            if state not in relations.index:
                raise InvalidHandler(
                    f"a handler of {state!r}, which is not a state of the machine",
                    handler=getattr(function, "__name__", None),
                    machine=machine,
                    state=state,
                    near=near_names(state, relations.names),
                )
        indexes = [relations.index[state] for state in states]
        places.append((role, *[*indexes, -1, -1][:2]))
    return tuple(places)


def _unknown(relations: Relations, name: str, machine: str) -> InvalidHandler:
    state = next((name[: -len(s)] for s in _SUFFIXES if name.endswith(s)), name)
    return InvalidHandler(
        f"missing states: {state} from handler {name}",
        handler=name,
        machine=machine,
        state=state,
        near=near_names(state, relations.names),
        hint="A handler is called FooEnter, FooState, FooExit, FooEnd or FooBar, of states "
        "Foo and Bar; AnyEnter; or AnyState.",
    )
