"""Names of a user's subclass that would hide those of a machine."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from machine.errors import InvalidArgument

__all__ = ["check_names"]


def check_names(cls: type, machine: type) -> None:
    """Refuse values and instance attributes with the names of public methods of a machine.

    Methods, properties and the like may override those of a machine: that is on purpose.

    Args:
        cls: a new subclass.
        machine: the class of machines.

    Raises:
        InvalidArgument: a value of the class hides an attribute of machines, or one of its
            functions sets an attribute that hides a method.
    """
    public = {name for name in dir(machine) if not name.startswith("_")}
    methods = {name for name in public if isinstance(getattr(machine, name), FunctionType)}
    for base in cls.__mro__:
        if issubclass(machine, base) or base.__module__.startswith("machine."):
            continue
        for name, value in vars(base).items():
            if name in public and not (callable(value) or hasattr(type(value), "__get__")):
                if name in _PLAIN:
                    continue
                raise _hidden(cls, name, f"{base.__name__}.{name}")
            for name_set in _set_by(value, methods):
                raise _hidden(cls, name_set, f"self.{name_set}, set in {base.__name__}.{name},")


# Attributes for which a class may have a default.
_PLAIN = frozenset({"id", "machine_tick", "on_change", "on_error"})


def _set_by(value: Any, names: set[str]) -> Iterator[str]:
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
    return InvalidArgument(f"{where} would hide Machine.{name}", argument=name, hint=hint)
