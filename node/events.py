"""Events of machines: states that are active for a moment, and whose ticks count."""

from __future__ import annotations

from typing import Any

from machine.core.machine import Machine

__all__ = ["tell", "tell_error"]


def tell(machine: Machine[Any], name: str, **args: Any) -> None:
    """Activate a state for a moment."""
    machine.add(name, args=args)
    machine.remove(name)


def tell_error(machine: Machine[Any], name: str, error: Exception) -> None:
    """Activate the state of an error for a moment; `Exception` stays if it is another one's."""
    lasting = machine.is_("Exception")
    machine.add_err_state(name, error)
    machine.remove(name)
    if not lasting:
        machine.remove("Exception")
