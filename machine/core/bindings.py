"""Bindings: groups of handlers and tracers, attached to a machine and detached from it."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from machine.core.base import UNREAD, Attributes, Base
from machine.core.handlers import Binding, HandlerGroup
from machine.core.plans import table_of
from machine.core.reading import from_functions, group_of_class, placed_again, with_attributes
from machine.core.subclasses import check_attributes
from machine.core.tracer import GuardedTracer, Tracer
from machine.core.when import When, setup_lock
from machine.errors import InvalidArgument, InvalidHandler, describe_kind
from machine.rules.resolution import Relations

__all__ = [
    "bind",
    "bind_own",
    "bind_tracer",
    "detach",
    "detach_tracer",
    "listeners",
    "read_again",
    "read_attributes",
    "set_bindings",
]

_numbers = itertools.count(1)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def bind(machine: Base, handlers: object, id: str | None, prefix: str) -> Binding:  # noqa: A002
    """Bind a group of handlers after those that are bound; see `Machine.bind`."""
    bound = machine._m_bindings
    if any(one.owner is handlers for one in bound if one.owner is not None):
        raise InvalidArgument("these handlers are bound already", machine=machine.id)
    name = id if id is not None else f"handlers-{next(_numbers)}"
    if any(one.id == name for one in bound):
        raise InvalidArgument(f"a binding with the id {name!r} exists already", machine=machine.id)
    group, owner = _read(machine.id, machine._m_relations, handlers, prefix)
    if not group.handlers:
        raise InvalidHandler(
            f"{type(handlers).__name__} has no handlers",
            machine=machine.id,
            hint="Handlers are called FooState and so on, or have a decorator of machine.on.",
        )
    made = Binding(name, owner, prefix, group, partial(detach, machine))
    with setup_lock:
        set_bindings(machine, (*machine._m_bindings, made))
    machine._m_note("ops", f"[handlers] bind {name}")
    return made


def detach(machine: Base, handlers: Binding | str) -> None:
    """Detach a group of handlers; see `Machine.detach`."""
    name = handlers if isinstance(handlers, str) else handlers.id
    with setup_lock:
        rest = tuple(one for one in machine._m_bindings if one.id != name)
        if len(rest) == len(machine._m_bindings):
            raise InvalidArgument(f"no handlers {name!r} are bound", machine=machine.id)
        set_bindings(machine, rest)
    machine._m_note("ops", f"[handlers] detach {name}")


def bind_own(machine: Base) -> None:
    """Bind the methods of the machine's class, as its first group."""
    cls = type(machine)
    group = group_of_class(machine._m_relations, cls, "", machine.id)
    if group.handlers:
        set_bindings(machine, (_own(machine, group),))
    if cls.__dictoffset__:
        # Attributes are read by the first mutation, so that all of the constructor has run.
        machine._m_attributes_read = UNREAD
        machine._m_unobserved = False
    change: Any = getattr(cls, "on_change", None)
    if change is not None and not isinstance(change, property):
        machine._m_on_change = _method_of(change, cls, machine.id)
        machine._m_unobserved = False


def _own(machine: Base, group: HandlerGroup) -> Binding:
    return Binding(type(machine).__name__, machine, "", group, partial(detach, machine))


def read_attributes(machine: Base) -> None:
    """Read the handlers among the attributes of an instance, if these have changed.

    Raises:
        InvalidHandler: an attribute has the name of a handler and cannot be one.
        InvalidArgument: a value hides a method of machines.
    """
    read = machine._m_attributes_read
    if read is None:
        return
    attributes = machine.__dict__
    names = tuple(attributes)
    if read == len(names) or (isinstance(read, tuple) and _are_same(attributes, read)):
        return
    check_attributes(machine, attributes)
    relations = machine._m_relations
    of_class = group_of_class(relations, type(machine), "", machine.id)
    group, own = with_attributes(relations, of_class, machine, "", machine.id)
    with setup_lock:
        bound = machine._m_bindings
        if any(one.owner is machine for one in bound):
            if own or isinstance(read, tuple):
                rest = [one.with_group(group) if one.owner is machine else one for one in bound]
                set_bindings(machine, tuple(rest))
        elif group.handlers and not of_class.handlers:  # else they have been detached
            set_bindings(machine, (_own(machine, group), *bound))
        machine._m_attributes_read = (names, own) if own else len(names)


def _are_same(attributes: Mapping[str, object], read: Attributes) -> bool:
    names, own = read
    return tuple(attributes) == names and all(attributes[name] is own[name] for name in own)


def _method_of(method: Any, cls: type, machine: str) -> Callable[[Any, Any, Any], object]:
    """Return a function for `on_change` that calls the method of a subclass.

    Raises:
        InvalidHandler: the method cannot be called with the times before and after.
    """
    try:
        signature = inspect.signature(method)
        parameters = len([one for one in signature.parameters.values() if one.kind in _POSITIONAL])
    except (TypeError, ValueError):  # not callable, or a built-in function without a signature
        parameters = 3 if callable(method) else 0
    if parameters not in (3, 4):
        raise InvalidHandler(
            f"{cls.__name__}.on_change must take the times before and after",
            handler="on_change",
            machine=machine,
            hint="Write on_change(self, before, after).",
        )

    def call(one: Any, before: Any, after: Any) -> object:
        assigned = vars(one).get("on_change")  # to the instance, which hides the method
        if assigned is not None:
            return assigned(one, before, after)
        times = (before, after) if parameters == 3 else (one, before, after)
        return one.on_change(*times)

    return call


def read_again(machine: Base, relations: Relations) -> tuple[Binding, ...]:
    """Read all handlers again, for another schema.

    Raises:
        InvalidHandler: one is wrong there.
    """
    bindings = []
    for old in machine._m_bindings:
        if old.owner is None:
            group = HandlerGroup(placed_again(relations, old.handlers, machine.id))
        else:
            group, _ = _read(machine.id, relations, old.owner, old.prefix)
        bindings.append(old.with_group(group))
    return tuple(bindings)


def set_bindings(machine: Base, bindings: tuple[Binding, ...]) -> None:
    """Replace all groups of handlers."""
    if bindings:
        owners = tuple([one.owner for one in bindings])
        machine._m_bound = table_of([one.group for one in bindings]), owners
    else:
        machine._m_bound = None
    machine._m_bindings = bindings
    machine._m_unobserved = False


def listeners(machine: Base, handlers: object) -> Iterable[object]:
    """Return the groups of handlers in the argument of a constructor: one, or several."""
    if isinstance(handlers, list | tuple) and not _has_methods(
        machine.id, machine._m_relations, handlers
    ):
        return handlers
    return (handlers,)


def _has_methods(machine: str, relations: Relations, handlers: object) -> bool:
    """True for a collection of a user's class with handlers, which is a listener itself."""
    cls = type(handlers)
    if cls in (dict, list, tuple):
        return False
    return bool(group_of_class(relations, cls, "", machine).handlers)


def _read(
    machine: str, relations: Relations, handlers: object, prefix: str
) -> tuple[HandlerGroup, object]:
    """Return the handlers of an object or a mapping, and the object; None for a mapping."""
    if isinstance(handlers, Mapping) and not _has_methods(machine, relations, handlers):
        functions = {k.removeprefix(prefix): f for k, f in handlers.items() if k.startswith(prefix)}
        return HandlerGroup(from_functions(relations, functions, machine)), None
    if isinstance(handlers, type):
        raise InvalidHandler(
            f"handlers are an instance or a mapping, not {describe_kind(handlers)}",
            machine=machine,
        )
    of_class = group_of_class(relations, type(handlers), prefix, machine)
    group, _ = with_attributes(relations, of_class, handlers, prefix, machine)
    return group, handlers


# -- tracers -----------------------------------------------------------------------------


def bind_tracer(machine: When, tracer: Tracer) -> None:
    """Bind a tracer; see `Machine.bind_tracer`."""
    if any(one.tracer is tracer for one in machine._m_tracers):
        raise InvalidArgument("this tracer is bound already", machine=machine.id)
    guarded = GuardedTracer(tracer)
    with setup_lock:
        machine._m_tracers = (*machine._m_tracers, guarded)
    machine._m_unobserved = False
    guarded.machine_init(machine)


def detach_tracer(machine: When, tracer: Tracer) -> None:
    """Detach a tracer; see `Machine.detach_tracer`."""
    with setup_lock:
        rest = tuple(one for one in machine._m_tracers if one.tracer is not tracer)
        if len(rest) == len(machine._m_tracers):
            raise InvalidArgument("this tracer is not bound", machine=machine.id)
        machine._m_tracers = rest
    machine._m_unobserved = False
