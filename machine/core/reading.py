"""Handlers in classes, instances and mappings, found by their names and decorators."""

from __future__ import annotations

import difflib
import functools
import inspect
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from machine.core.handlers import MARK, Handler, HandlerGroup, Place, Role
from machine.errors import InvalidHandler, near_names
from machine.rules.resolution import Relations

__all__ = ["from_functions", "group_of_class", "placed_again", "with_attributes"]

_SUFFIXES = {"Exit": Role.EXIT, "Enter": Role.ENTER, "End": Role.END, "State": Role.STATE}
_GLOBAL = {"AnyEnter": Role.ANY_ENTER, "AnyState": Role.ANY_STATE}
_GROUPS = "__machine_groups__"  # the attribute of classes that keeps their groups
_MAX_GROUPS = 64  # of one class, by schemas and prefixes
_NAMES = {role: suffix for suffix, role in _SUFFIXES.items()}


def read_name(relations: Relations, name: str) -> Place | None:
    """Return the place that a name stands for; None if it is not the name of a handler."""
    return _find(relations.index, name)


def _normalized(relations: Relations) -> dict[str, int]:
    """Return the states by their names in the form that Python gives to those of methods."""
    return {unicodedata.normalize("NFKC", name): at for name, at in relations.index.items()}


def _find(index: Mapping[str, int], name: str) -> Place | None:
    if name in _GLOBAL:
        return _GLOBAL[name], -1, -1
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
    index = _normalized(relations)
    found = []
    for name, function in functions.items():
        if not callable(function):
            raise InvalidHandler(
                f"{name} is {type(function).__name__}, not a function",
                handler=name,
                machine=machine,
            )
        given = unicodedata.normalize("NFKC", name)  # as Python does with the names of methods
        for place in _marked(relations, function, machine) or (_find(index, given),):
            if place is None:
                raise _unknown(relations, name, machine)
            found.append(Handler(name_of(relations, place), place, function, machine))
    return found


def placed_again(relations: Relations, handlers: Iterable[Handler], machine: str) -> list[Handler]:
    """Return handlers of the functions of a mapping in another schema with all their states."""
    found = []
    for old in handlers:
        place = read_name(relations, old.name)
        if place is None:
            raise _unknown(relations, old.name, machine)
        found.append(Handler(old.name, place, old.function, machine))
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
    for attributes, before in kept.watched:
        try:
            if attributes == before:
                continue
        except Exception:  # noqa: BLE001, S110 - of a user's `__eq__`: it is another value
            pass
        kept.renew()
        break
    group = kept.groups.get((relations, prefix))
    if group is None:
        if len(kept.groups) >= _MAX_GROUPS:
            kept.groups.clear()
        group = HandlerGroup(_from_class(relations, cls, prefix, machine))
        kept.groups[relations, prefix] = group
    return group


def with_attributes(
    relations: Relations, group: HandlerGroup, owner: object, prefix: str, machine: str
) -> tuple[HandlerGroup, dict[str, object]]:
    """Add the handlers that one instance has as attributes to those of its class.

    An attribute hides a method of the class, as Python has it, and None leaves the method
    out. One without parameters of its own (`*args, **kwargs`), as a spy, is called as
    the method that it hides.

    Returns:
        The group, and the attributes that are handlers or hide some.

    Raises:
        InvalidHandler: as for a class.
    """
    attributes = getattr(owner, "__dict__", None)
    if not attributes:
        return group, {}
    index = _normalized(relations)
    hidden = {handler.attribute for handler in group.handlers}
    own: dict[str, object] = {}
    found: list[Handler] = []
    kept = set()
    for attribute, value in list(attributes.items()):
        if attribute.startswith("__"):
            continue
        places = _places(relations, index, attribute, value, prefix, machine)
        if attribute in hidden:
            places = tuple(one.place for one in group.handlers if one.attribute == attribute)
            if _takes_anything(value):
                kept.add(attribute)
        if places:
            own[attribute] = value
        if places and value is not None and attribute not in kept:
            function = _check_function(type(owner), attribute, value, machine)
            found += [
                Handler(name_of(relations, place), place, function, machine, attribute)
                for place in places
            ]
    if not own:
        return group, own
    rest = [one for one in group.handlers if one.attribute not in own or one.attribute in kept]
    return HandlerGroup([*rest, *found]), own


def _places(
    relations: Relations,
    index: Mapping[str, int],
    attribute: str,
    value: object,
    prefix: str,
    machine: str,
) -> tuple[Place, ...]:
    """Return the places of an attribute of an instance, by its decorators or its name."""
    # No other values are asked for their marks: a proxy may raise, and a bound method that
    # is kept as a callback is a handler of its own class.
    if isinstance(value, FunctionType | functools.partial):
        places = _marked(relations, value, machine)
        if places:
            return places
    if not attribute.startswith(prefix):
        return ()
    name = attribute[len(prefix) :]
    place = _find(index, name)
    if place is None and not prefix and callable(value):
        _check_unknown(relations, index, name, machine)
    return () if place is None else (place,)


def _takes_anything(function: object) -> bool:
    """True for a callable that declares no parameters but `*args` and `**kwargs`."""
    if not callable(function):
        return False
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return True
    kinds = {one.kind for one in parameters}
    return bool(kinds) and kinds <= {
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }


class _Kept:
    """The handlers of a class as they were read last, and the attributes they were read from.

    Attributes:
        mro: the class and its bases.
        watched: the attributes of those that are not ours, and so may be replaced, with
            their copies of the last time; identical ones are equal fast.
        groups: the handlers by schema and prefix.
    """

    __slots__ = ("groups", "mro", "watched")

    def __init__(self, cls: type) -> None:
        self.mro = cls.__mro__
        self.watched: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
            (vars(base), {})
            for base in self.mro
            if base.__module__.partition(".")[0] not in ("builtins", "machine", "typing")
        ]
        self.groups: dict[tuple[Relations, str], HandlerGroup] = {}

    def renew(self) -> None:
        """Forget the groups, and note the attributes as they are now."""
        self.watched = [(attributes, dict(attributes)) for attributes, _ in self.watched]
        self.groups.clear()


def _from_class(relations: Relations, cls: type, prefix: str, machine: str) -> list[Handler]:
    """Return the handlers of a class, by their names and decorators.

    Args:
        prefix: only methods with this prefix, which is not part of their names.

    Raises:
        InvalidHandler: a method has a handler's ending and names no state, or an attribute
            with the name of a handler cannot be called.
    """
    index = _normalized(relations)
    found = []
    for attribute in dir(cls):
        if attribute.startswith("__") or _is_ours(cls, attribute):
            continue
        raw = inspect.getattr_static(cls, attribute)
        places = _inherited_marks(relations, cls, attribute, machine)
        if not places and attribute.startswith(prefix):
            name = attribute[len(prefix) :]
            place = _find(index, name)
            if place is None and not prefix and callable(raw):
                _check_unknown(relations, index, name, machine)
            places = () if place is None else (place,)
        if places and raw is not None:  # None is Python's way to leave an inherited method out
            function, takes_owner = _function(cls, attribute, raw, machine)
            for place in places:
                name = name_of(relations, place)
                found.append(Handler(name, place, function, machine, attribute, takes_owner))
    return found


def _is_ours(cls: type, attribute: str) -> bool:
    """True for attributes that machines have from this package, which are not handlers."""
    home = next((base for base in cls.__mro__ if attribute in vars(base)), cls)
    return home.__module__.startswith(("machine.core.", "machine.schema."))


def _function(
    cls: type, attribute: str, raw: object, machine: str
) -> tuple[Callable[..., Any], bool]:
    """Return the function of an attribute, and whether its first parameter is the owner."""
    function: object
    if isinstance(raw, staticmethod):
        function, takes_owner = raw.__func__, False
    elif isinstance(raw, classmethod):
        function, takes_owner = getattr(cls, attribute), False
    elif isinstance(raw, functools.partialmethod):
        function, takes_owner = getattr(cls, attribute), True
    else:
        function, takes_owner = raw, hasattr(type(raw), "__get__")
    return _check_function(cls, attribute, function, machine), takes_owner


def _check_function(
    cls: type, attribute: str, function: object, machine: str
) -> Callable[..., Any]:
    if not callable(function) or isinstance(function, type):
        kind = "a class" if isinstance(function, type) else type(function).__name__
        raise InvalidHandler(
            f"{cls.__name__}.{attribute} has the name of a handler and is {kind}, not a function",
            handler=attribute,
            machine=machine,
            hint="Make it a method, or give it another name.",
        )
    return function


def _inherited_marks(
    relations: Relations, cls: type, attribute: str, machine: str
) -> tuple[Place, ...]:
    """Return the places that decorators give a method; an override keeps those of its base."""
    for base in cls.__mro__:
        if attribute in vars(base):
            places = _marked(relations, vars(base)[attribute], machine)
            if places:
                return places
    return ()


def _check_unknown(relations: Relations, index: Mapping[str, int], name: str, machine: str) -> None:
    """Raise if a method looks like a handler: by its ending, or by a state before a typo of one."""
    state, ending = next(
        ((name[: -len(one)], one) for one in _SUFFIXES if name.endswith(one)), ("", "")
    )
    first = name[:1]
    if ending and (near_names(state, index) or not (first.islower() or first == "_")):
        raise _unknown(relations, name, machine)
    if ending:
        return
    for known in index:
        rest = name.removeprefix(known)
        if rest != name and difflib.get_close_matches(rest.title(), _SUFFIXES, 1, 0.75):
            raise _unknown(relations, name, machine)


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
