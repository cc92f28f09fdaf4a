"""Handlers: functions of a machine's user, found by name or decorator, and their arguments.

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
accept it. The return values of the others do not matter. A handler is given, by
name, the parameters that it declares and no others: `event`, `machine`,
`args`, `mutation`, `transition`, `ctx` (the context of its state), and the
arguments of the mutation by their own names.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, TypeAlias, TypeVar

from machine.core.transition import Event, Transition
from machine.errors import InvalidHandler, near_names

__all__ = ["MARK", "Binding", "Handler", "HandlerGroup", "Place", "Role", "on"]

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound=Callable[..., bool | None])  # of the negotiation

MARK = "__machine_handlers__"  # the attribute of functions that the decorators of `on` set
_RESERVED = frozenset({"event", "machine", "args", "mutation", "transition", "ctx"})


class Role(IntEnum):
    """The point of a transition at which a handler is called."""

    EXIT = 0
    ENTER = 1
    BETWEEN = 2
    ANY_ENTER = 3
    END = 4
    STATE = 5
    ANY_STATE = 6


Place: TypeAlias = tuple[Role, int, int]  # a role, its state, and for BETWEEN the other


class Handler:
    """One function in one place.

    Attributes:
        name: by the convention, as `FooState`, also if it has another name in its class.
        role: the point of a transition at which it is called.
        place: role and states, as indexes.
        function: the function, as its class or mapping has it.
        attribute: the name by which it is looked up in its owner at each call, so that
            Python's rules apply: overrides, class methods, spies; "" for functions.
        bare: True if it declares no parameters.
        is_async: True for `async def`.
        wants_bool: True for a negotiation handler that is declared `-> bool`: then None is no
            answer.
    """

    __slots__ = (
        "_parameters",
        "attribute",
        "bare",
        "function",
        "is_async",
        "name",
        "place",
        "role",
        "wants_bool",
    )

    def __init__(
        self,
        name: str,
        place: Place,
        function: Callable[..., Any],
        machine: str,
        attribute: str = "",
        takes_owner: bool = False,
    ) -> None:
        self.name: str = name
        self.place: Place = place
        self.role: Role = place[0]
        self.function: Callable[..., Any] = function
        self.attribute: str = attribute
        code = _code_of(function)
        if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
            raise InvalidHandler(
                f"{name} is a generator, so calling it would not run its body",
                handler=name,
                machine=machine,
                hint="Remove the yield; iterate in a function that the handler calls.",
            )
        self.is_async: bool = inspect.iscoroutinefunction(code)
        if self.is_async and self.role < Role.END:
            raise InvalidHandler(
                f"{name} answers yes or no at once, so it cannot be async",
                handler=name,
                machine=machine,
                hint="Make it a plain function, and do the waiting in an async State handler.",
            )
        self._parameters = _parameters(name, function, takes_owner, machine)
        self.bare: bool = not self._parameters
        self.wants_bool: bool = self.role < Role.END and _returns_bool(function)

    def __repr__(self) -> str:
        return f"<Handler {self.name}>"

    def invoke(self, owner: object, transition: Transition) -> Any:
        """Call it with the parameters that it declares."""
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
        if self.attribute:
            return getattr(owner, self.attribute)(**values)
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


class HandlerGroup:
    """Handlers that are bound together, and shared by machines with owners of one class.

    Attributes:
        handlers: the handlers.
        table: the table of this group alone, made when it is first bound.
    """

    __slots__ = ("__weakref__", "handlers", "table")

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self.handlers: tuple[Handler, ...] = tuple(handlers)
        self.table: Any = None


class Binding:
    """Handlers that a machine calls, until they are detached.

    Attributes:
        id: unique among the bindings of its machine.
        owner: the object whose methods they are; None for functions.
    """

    __slots__ = ("_detach", "group", "id", "owner", "prefix")

    def __init__(
        self,
        id: str,  # noqa: A002 - the public name
        owner: object,
        prefix: str,
        group: HandlerGroup,
        detach: Callable[[Binding], None],
    ) -> None:
        self.id: str = id
        self.owner: object = owner
        self.prefix: str = prefix
        self.group: HandlerGroup = group
        self._detach = detach

    def __repr__(self) -> str:
        return f"<Binding {self.id} {len(self.handlers)} handlers>"

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers."""
        return self.group.handlers

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its handlers, as `FooState`."""
        return tuple(handler.name for handler in self.handlers)

    def with_group(self, group: HandlerGroup) -> Binding:
        """The same binding with other handlers."""
        return Binding(self.id, self.owner, self.prefix, group, self._detach)

    def detach(self) -> None:
        """Call these handlers no more. A handler that runs goes on to its end."""
        self._detach(self)


def _code_of(function: Any) -> Any:
    """Return the function that runs when a callable is called."""
    while isinstance(function, functools.partial | functools.partialmethod):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return type(function).__call__  # the method of a callable object


def _parameters(
    name: str, function: Callable[..., Any], takes_owner: bool, machine: str
) -> tuple[tuple[str, bool], ...]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in function without a signature
        return ()
    found = []
    parameters = list(signature.parameters.values())
    if takes_owner:
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


def _returns_bool(function: Callable[..., Any]) -> bool:
    try:
        return inspect.signature(function).return_annotation in (bool, "bool")
    except Exception:  # noqa: BLE001 - no signature, or annotations that cannot be evaluated
        return False


class _On:
    """Decorators that make a method or a function a handler, independent of its name."""

    __slots__ = ()

    def enter(self, *states: str) -> Callable[[N], N]:
        """May these states begin? Returning False rejects the transition."""
        return _mark(*((Role.ENTER, state) for state in states))

    def exit(self, *states: str) -> Callable[[N], N]:
        """May these states end? Returning False rejects the transition."""
        return _mark(*((Role.EXIT, state) for state in states))

    def state(self, *states: str) -> Callable[[F], F]:
        """One of these states has begun; may be `async def`.

        Then it is a task that is cancelled when the state ends, also when it
        ended the state itself: the mutation that ends the state comes last in it.
        """
        return _mark(*((Role.STATE, state) for state in states))

    def end(self, *states: str) -> Callable[[F], F]:
        """One of these states has ended."""
        return _mark(*((Role.END, state) for state in states))

    def between(self, before: str, after: str) -> Callable[[N], N]:
        """May it go from one state to the other? Returning False rejects the transition."""
        return _mark((Role.BETWEEN, before, after))

    def any_enter(self, function: N) -> N:
        """The last word of the negotiation: returning False rejects the transition."""
        return _mark((Role.ANY_ENTER,))(function)

    def any_state(self, function: F) -> F:
        """Called at the end of each accepted transition."""
        return _mark((Role.ANY_STATE,))(function)


def _mark(*marks: tuple[Any, ...]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        earlier = getattr(function, MARK, ())
        setattr(function, MARK, (*earlier, *marks))
        return function

    return decorate


on: _On = _On()
