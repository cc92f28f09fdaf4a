"""Lint of handlers: answers that may be no bool, and limits of work that is not there."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from machine.core.handlers import Role
from machine.core.machine import Machine
from machine.lint.rules import Finding

__all__ = ["handler_findings"]


def handler_findings(kind: type[Machine[Any]]) -> Iterator[Finding]:
    """The findings for the handlers of a class of machines.

    `a and b` is the value of `a` or `b`: None, which accepts, or a list, which is an error.
    """
    try:
        machine = kind()
    except Exception:  # noqa: BLE001 - it needs arguments, which only its users know
        return
    yield from _limits_without_work(machine)
    for binding in machine.handlers:
        for handler in binding.handlers:
            if handler.role < Role.END and not handler.wants_bool and _joins(handler.function):
                yield Finding(
                    "answer-no-bool",
                    kind.__name__,
                    "",
                    handler.name,
                    f"{handler.name} returns the value of 'and' or 'or', which may be None, and "
                    f"None accepts; return bool(...), and declare it '-> bool'",
                )
    machine.dispose()


def _limits_without_work(machine: Machine[Any]) -> Iterator[Finding]:
    handlers = [handler for binding in machine.handlers for handler in binding.handlers]
    working = {handler.name for handler in handlers if handler.is_async}
    for name, state in machine.schema.items():
        limits = [field for field in ("timeout", "retry") if getattr(state, field) is not None]
        if limits and f"{name}State" not in working:
            yield Finding(
                "limits-no-work",
                name,
                "",
                "",
                f"{name} declares {' and '.join(limits)}, but has no async State handler; "
                f"write async def {name}State",
            )


def _joins(function: Callable[..., Any]) -> bool:
    """True if a return of the function has `and` or `or` of anything but comparisons."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # it has no source of its own
        return False
    returned = (node.value for node in ast.walk(tree) if isinstance(node, ast.Return))
    return any(isinstance(value, ast.BoolOp) and not _is_bool(value) for value in returned)


def _is_bool(value: ast.expr) -> bool:
    match value:
        case ast.BoolOp(values=values):
            return all(map(_is_bool, values))
        case ast.UnaryOp(op=ast.Not()) | ast.Compare() | ast.Constant(value=bool()):
            return True
        case ast.Call(func=ast.Name(id="bool" | "isinstance" | "any" | "all" | "callable")):
            return True
        case ast.Call(func=ast.Attribute(attr="is_" | "not_" | "any_" | "has")):
            return True
    return False
