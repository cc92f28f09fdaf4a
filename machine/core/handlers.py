"""Handlers: which functions they are, and what they are called with.

A handler is a function that has a state's name and one of these endings, or
one of the decorators of `on`:

=============  ==================  ===========================================
name           decorator           when
=============  ==================  ===========================================
FooExit        on.exit(Foo)        negotiation: may Foo end?
FooEnter       on.enter(Foo)       negotiation: may Foo begin?
FooFoo         on.between(Foo,Foo) negotiation: may it go on while Foo stays?
FooBar         on.between(Foo,Bar) negotiation: from Foo to Bar?
AnyEnter       on.any_enter        negotiation: the last word
FooEnd         on.end(Foo)         Foo has ended
FooState       on.state(Foo)       Foo is active; may be `async def`
AnyState       on.any_state        all is done
=============  ==================  ===========================================

A negotiation handler rejects the transition by returning False; None and True
accept it. What the others return does not matter. A handler is given, by
name, the parameters that it declares and no others: `event`, `machine`,
`args`, `mutation`, `transition`, `ctx` (the context of its state), and the
arguments of the mutation by their own names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from machine.core.mutation import Event
from machine.errors import InvalidHandler, near_names

if TYPE_CHECKING:
    from machine.core.transition import Transition
    from machine.rules.resolution import Compiled

__all__ = ["Handler", "Role", "on"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__machine_handlers__"
_RESERVED = frozenset({"event", "machine", "args", "mutation", "transition", "ctx"})


class Role(IntEnum):
    """When a handler is called."""

    EXIT = 0
    ENTER = 1
    BETWEEN = 2
    ANY_ENTER = 3
    END = 4
    STATE = 5
    ANY_STATE = 6


_SUFFIXES = {"Exit": Role.EXIT, "Enter": Role.ENTER, "End": Role.END, "State": Role.STATE}
_GLOBAL = {"AnyEnter": Role.ANY_ENTER, "AnyState": Role.ANY_STATE}
_NAMES = {role: suffix for suffix, role in _SUFFIXES.items()}

Place = tuple[Role, int, int]  # a role, the state it belongs to and for BETWEEN the other


class Handler:
    """One function in one place.

    Attributes:
        name: by the convention, as `FooState`, also if it has another name in its class.
        role: when it is called.
        place: role and states, as indexes.
        function: what is called; takes its owner first unless `owned` is False.
        owned: whether it is a method.
        bare: True if it declares no parameters.
        is_async: True for `async def`.
    """

    __slots__ = ("_parameters", "bare", "function", "is_async", "name", "owned", "place", "role")

    def __init__(
        self, name: str, place: Place, function: Callable[..., Any], owned: bool, machine: str
    ) -> None:
        self.name = name
        self.place = place
        self.role = place[0]
        self.function = function
        self.owned = owned
        self.is_async = inspect.iscoroutinefunction(function)
        if self.is_async and self.role < Role.END:
            raise InvalidHandler(
                f"{name} answers yes or no at once, so it cannot be async",
                handler=name,
                machine=machine,
                hint="Make it a plain function, and do the waiting in an async State handler.",
            )
        self._parameters = _parameters(name, function, owned, machine)
        self.bare = not self._parameters

    def __repr__(self) -> str:
        return f"<Handler {self.name}>"

    def invoke(self, owner: object, transition: Transition) -> Any:
        """Call it with what it declares."""
        values: dict[str, Any] = {}
        for parameter, needed in self._parameters:
            if parameter == "event":
                values["event"] = Event(self.name, transition)
            elif parameter in _RESERVED:
                values[parameter] = self._reserved(parameter, transition)
            elif parameter == "**":
                given = transition.mutation.values
                values.update({k: v for k, v in given.items() if k not in values})
            else:
                self._pick(values, parameter, needed, transition)
        if self.owned:
            return self.function(owner, **values)
        return self.function(**values)

    def _reserved(self, parameter: str, transition: Transition) -> object:
        if parameter == "machine":
            return transition.machine
        if parameter == "mutation":
            return transition.mutation
        if parameter == "transition":
            return transition
        if parameter == "ctx":
            return transition.machine.state_ctx(transition.machine.names[self.place[1]])
        args = transition.mutation.args
        return transition.mutation.values if args is None else args

    def _pick(
        self, values: dict[str, Any], parameter: str, needed: bool, transition: Transition
    ) -> None:
        given = transition.mutation.values
        if parameter in given:
            values[parameter] = given[parameter]
        elif needed:
            raise InvalidHandler(
                f"{self.name} wants the argument {parameter!r}, and "
                f"{transition.mutation} brought {', '.join(given) or 'none'}",
                handler=self.name,
                machine=transition.machine.id,
                near=near_names(parameter, given),
                hint="Pass it in args=, or give the parameter a default.",
            )


def _parameters(
    name: str, function: Callable[..., Any], owned: bool, machine: str
) -> tuple[tuple[str, bool], ...]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in function that does not say
        return ()
    found = []
    parameters = list(signature.parameters.values())
    if owned:
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            found.append(("**", False))
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise InvalidHandler(
                f"{name} has the parameter {parameter.name!r}, which has no name to be passed by",
                handler=name,
                machine=machine,
                hint=f"Handlers get by name: {', '.join(sorted(_RESERVED))}, and arguments.",
            )
        else:
            found.append((parameter.name, parameter.default is parameter.empty))
    found.sort(key=lambda one: one[0] == "**")
    return tuple(found)


# -- finding them ----------------------------------------------------------------------


def read_name(compiled: Compiled, name: str) -> Place | None:
    """The place that a name stands for; None if it is no handler's name here."""
    if name in _GLOBAL:
        return _GLOBAL[name], -1, -1
    index = compiled.index
    for suffix, role in _SUFFIXES.items():
        if name.endswith(suffix) and name[: -len(suffix)] in index:
            return role, index[name[: -len(suffix)]], -1
    for cut in range(1, len(name)):
        if name[:cut] in index and name[cut:] in index:
            return Role.BETWEEN, index[name[:cut]], index[name[cut:]]
    return None


def from_functions(
    compiled: Compiled, functions: Mapping[str, Callable[..., Any]], machine: str
) -> list[Handler]:
    """Handlers of a mapping from their names to functions.

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
        for place in _marked(compiled, function, machine) or (read_name(compiled, name),):
            if place is None:
                raise _unknown(compiled, name, machine)
            found.append(Handler(name_of(compiled, place), place, function, False, machine))
    return found


def placed_anew(compiled: Compiled, handlers: Iterable[Handler], machine: str) -> list[Handler]:
    """The same functions in the same places of another schema, which has all their states."""
    found = []
    for old in handlers:
        place = read_name(compiled, old.name)
        if place is None:
            raise _unknown(compiled, old.name, machine)
        found.append(Handler(old.name, place, old.function, old.owned, machine))
    return found


def from_class(compiled: Compiled, cls: type, prefix: str, machine: str) -> list[Handler]:
    """Handlers of a class, by their names and decorators.

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
        places = _marked(compiled, function, machine)
        if not places:
            place = _by_name(compiled, attribute, prefix, machine)
            places = () if place is None else (place,)
        owned = not isinstance(raw, staticmethod)
        found += [Handler(name_of(compiled, p), p, function, owned, machine) for p in places]
    return found


def _by_name(compiled: Compiled, attribute: str, prefix: str, machine: str) -> Place | None:
    if not attribute.startswith(prefix):
        return None
    name = attribute[len(prefix) :]
    if not name[:1].isupper():
        return None
    place = read_name(compiled, name)
    if place is None and not prefix and name.endswith(tuple(_SUFFIXES)):
        raise _unknown(compiled, name, machine)
    return place


def name_of(compiled: Compiled, place: Place) -> str:
    """The name of a place by the convention."""
    role, state, other = place
    if role is Role.BETWEEN:
        return compiled.names[state] + compiled.names[other]
    if state < 0:
        return role.name.title().replace("_", "")
    return compiled.names[state] + _NAMES[role]


def _marked(compiled: Compiled, function: object, machine: str) -> tuple[Place, ...]:
    places = []
    for role, *states in getattr(function, _MARK, ()):
        for state in states:
            if state not in compiled.index:
                raise InvalidHandler(
                    f"a handler of {state!r}, which is no state",
                    handler=getattr(function, "__name__", None),
                    machine=machine,
                    state=state,
                    near=near_names(state, compiled.names),
                )
        indexes = [compiled.index[state] for state in states]
        places.append((role, *[*indexes, -1, -1][:2]))
    return tuple(places)


def _unknown(compiled: Compiled, name: str, machine: str) -> InvalidHandler:
    state = next((name[: -len(s)] for s in _SUFFIXES if name.endswith(s)), name)
    return InvalidHandler(
        f"missing states: {state} from handler {name}",
        handler=name,
        machine=machine,
        state=state,
        near=near_names(state, compiled.names),
        hint="A handler is called FooEnter, FooState, FooExit, FooEnd or FooBar, of states "
        "Foo and Bar; AnyEnter; or AnyState.",
    )


class _On:
    """The decorators that make a method or a function a handler, whatever its name."""

    __slots__ = ()

    def enter(self, *states: str) -> Callable[[F], F]:
        """May these states begin? Returning False rejects the transition."""
        return _mark(*((Role.ENTER, state) for state in states))

    def exit(self, *states: str) -> Callable[[F], F]:
        """May these states end? Returning False rejects the transition."""
        return _mark(*((Role.EXIT, state) for state in states))

    def state(self, *states: str) -> Callable[[F], F]:
        """One of these states has begun; may be `async def`.

        Then it is a task that is cancelled when the state ends, also when it
        ended the state itself: what ends the state comes last in it.
        """
        return _mark(*((Role.STATE, state) for state in states))

    def end(self, *states: str) -> Callable[[F], F]:
        """One of these states has ended."""
        return _mark(*((Role.END, state) for state in states))

    def between(self, before: str, after: str) -> Callable[[F], F]:
        """May it go from one state to the other? Returning False rejects the transition."""
        return _mark((Role.BETWEEN, before, after))

    def any_enter(self, function: F) -> F:
        """The last word of the negotiation: returning False rejects the transition."""
        return _mark((Role.ANY_ENTER,))(function)

    def any_state(self, function: F) -> F:
        """Called at the end of each accepted transition."""
        return _mark((Role.ANY_STATE,))(function)


def _mark(*marks: tuple[Any, ...]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        earlier = getattr(function, _MARK, ())
        setattr(function, _MARK, (*earlier, *marks))
        return function

    return decorate


on = _On()
