"""Subclasses of users: their names, their other bases, and their attributes."""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MemberDescriptorType
from typing import Any

from machine.errors import InvalidArgument

__all__ = [
    "attributes_of",
    "begin_later_bases",
    "check_attributes",
    "check_names",
    "guard_properties",
]


def check_names(cls: type, machine: type) -> None:
    """Refuse values and instance attributes with the names of public methods of a machine.

    Methods, properties and the like may override those of a machine: that is on purpose.

    Args:
        cls: a new subclass.
        machine: the class of machines.

    Raises:
        InvalidArgument: a value of the class hides an attribute of machines, one of its
            functions sets an attribute that hides a method, or its `__init__` does not
            call that of the machine.
    """
    _check_init(cls)
    public, methods = _public(machine)
    for base in cls.__mro__:
        if issubclass(machine, base) or base.__module__.startswith("machine."):
            continue
        for name, value in vars(base).items():
            if name in public and _hides(name, value):
                raise _hidden(cls, name, f"{base.__name__}.{name}")
            for name_set in _set_by(value, methods):
                raise _hidden(cls, name_set, f"self.{name_set}, set in {base.__name__}.{name},")


@functools.cache  # each subclass asks, and it takes longer than all else about a new class
def _public(machine: type) -> tuple[frozenset[str], frozenset[str]]:
    """Return the public names of a machine's class, and those of its methods."""
    public = frozenset(name for name in dir(machine) if not name.startswith("_"))
    methods = (name for name in public if isinstance(getattr(machine, name), FunctionType))
    return public, frozenset(methods)


def check_attributes(machine: object, attributes: Mapping[str, object]) -> None:
    """Refuse attributes of an instance that hide a method of machines.

    Functions may: a spy replaces a method on purpose.

    Raises:
        InvalidArgument: a value hides one.
    """
    for name, value in list(attributes.items()):
        if name in _methods and not callable(value):
            raise InvalidArgument(
                f"{type(machine).__name__}.{name} hides Machine.{name}, a method",
                argument=name,
                hint=f"Choose another name for the attribute, and `del` this one: {value!r:.40}",
            )


def guard_properties(machine: type) -> None:
    """Let the properties of machines without a setter say what to do when they are set."""
    for base in machine.__mro__:
        if not base.__module__.startswith("machine."):
            continue
        for name, value in list(vars(base).items()):
            if isinstance(value, property) and value.fset is None and not name.startswith("_"):
                refuse = partial(_read_only, name)
                setattr(base, name, value.setter(refuse).deleter(refuse))
            elif isinstance(value, FunctionType) and not name.startswith("_"):
                _methods.add(name)


_methods: set[str] = set()  # public methods of machines
_INSTEAD = {
    "active": "set()",
    "err": "add_err()",
    "disposed": "dispose()",
    "handlers": "bind()",
    "options": "Machine(options=...)",
    "parent": "Machine(parent=...)",
    "schema": "set_schema()",
    "tracers": "bind_tracer()",
}


def _read_only(name: str, machine: object, *_: object) -> None:
    use = f" Use {_INSTEAD[name]}." if name in _INSTEAD else ""
    raise AttributeError(
        f"Machine.{name} is read-only.{use} Choose another name for an attribute of your own.",
        name=name,
        obj=machine,
    )


def _hides(name: str, value: object) -> bool:
    """True for an attribute of a class in whose place a machine would not work."""
    if isinstance(value, MemberDescriptorType):  # a slot
        return True
    if name in _PLAIN:  # the machine sets it
        return isinstance(value, property) and value.fset is None
    return not (callable(value) or hasattr(type(value), "__get__"))


def _check_init(cls: type) -> None:
    """Refuse an `__init__` without `super().__init__()`: no function of the class has the name."""
    codes = [getattr(value, "__code__", None) for value in vars(cls).values()]
    own = getattr(vars(cls).get("__init__"), "__code__", None)
    if own is None or any(_mentions(code, "__init__") for code in codes if code is not None):
        return
    raise InvalidArgument(
        f"{cls.__name__}.__init__ does not call super().__init__()",
        argument="__init__",
        hint="Call super().__init__() first: it makes the machine.",
    )


def _mentions(code: CodeType, name: str) -> bool:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return name in code.co_names or any(_mentions(one, name) for one in inner)


def begin_later_bases(machine: object, ours: tuple[type, ...]) -> None:
    """Call the `__init__` of the bases that come after those of a machine.

    One that needs arguments is left to the subclass, which knows them.

    Args:
        machine: a new one.
        ours: the class of machines and its bases.
    """
    mro = type(machine).__mro__
    if mro[-len(ours) :] == ours:  # as in most classes
        return
    later: list[type] = []
    for base in reversed(mro):
        if base.__module__.startswith("machine.core."):
            break
        if "__init__" in vars(base) and base.__module__ not in ("builtins", "typing"):
            later.insert(0, base)
    for base in later[:1]:  # it calls those after it, as cooperative classes do
        begin: Any = vars(base)["__init__"]
        with contextlib.suppress(TypeError, ValueError):  # a signature that cannot be read
            inspect.signature(begin).bind(machine)
            begin = partial(begin, machine)
        if isinstance(begin, partial):
            begin()


def attributes_of(machine: object) -> object:
    """Return the attributes of a subclass: those in its dict, and in slots of its own."""
    values = getattr(machine, "__dict__", None) or None
    slots: dict[str, object] = {}
    for base in type(machine).__mro__:
        if not base.__module__.startswith("machine."):
            names = vars(base).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                mangled = name
                if name.startswith("__") and not name.endswith("__"):
                    mangled = f"_{base.__name__.lstrip('_')}{name}"
                if name not in ("__dict__", "__weakref__") and hasattr(machine, mangled):
                    slots[mangled] = getattr(machine, mangled)
    return (values, slots) if slots else values


# Attributes for which a class may have a default.
_PLAIN = frozenset({"id", "machine_tick", "on_change", "on_error"})


def _set_by(value: Any, names: frozenset[str]) -> Iterator[str]:
    """Yield those of the names that a function sets as attributes of its first parameter."""
    code = getattr(getattr(value, "__wrapped__", value), "__code__", None)
    if not isinstance(code, CodeType) or not code.co_argcount or names.isdisjoint(code.co_names):
        return
    owner, before = code.co_varnames[0], None
    for step in dis.get_instructions(code):
        if step.opname == "STORE_ATTR" and step.argval in names:
            loaded = before if isinstance(before, tuple) else (before,)
            if loaded[-1] == owner:
                yield step.argval
        if step.opname != "CACHE":
            before = step.argval


def _hidden(cls: type, name: str, where: str) -> InvalidArgument:
    hint = "Choose another name."
    if name == "schema":
        hint = f"Write class {cls.__name__}(Machine, schema=...)."
    elif name == "id":
        hint = "Pass it to super().__init__(id=...)."
    return InvalidArgument(f"{where} would hide Machine.{name}", argument=name, hint=hint)
