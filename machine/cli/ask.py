"""`initial`, `possible` and `why`: one question about a machine, answered by dry runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from machine.cli.load import CommandError, Loaded
from machine.cli.trial import asking, trial
from machine.core.machine import Machine
from machine.waits.result import Result

__all__ = ["initial", "possible", "why"]


def initial(loaded: Loaded, *, as_json: bool = False) -> int:
    """Print the states that are active in a new machine; return the exit code."""
    with trial(loaded) as machine:
        _print_names(machine.active, as_json)
    return 0


def possible(loaded: Loaded, active: Sequence[str] | None, *, as_json: bool = False) -> int:
    """Print the states that could be added now; return the exit code."""
    with trial(loaded) as machine:
        _activate(machine, active)
        with asking():
            found = machine.possible()
        _print_names(found, as_json)
    return 0


def why(
    loaded: Loaded, mutation: str, active: Sequence[str] | None, *, as_json: bool = False
) -> int:
    """Print whether a mutation would be accepted, and the reason if not.

    Args:
        mutation: +A,B or -A,B.

    Returns:
        The exit code: 0 if it would be accepted, else 1.
    """
    sign, names = mutation[:1], mutation[1:].replace(",", " ").split()
    if sign not in ("+", "-") or not names:
        raise CommandError(f"{mutation!r} is no mutation; ask like +{loaded.schema.names[0]}")
    with trial(loaded) as machine:
        _activate(machine, active)
        with asking():
            result = (machine.can_add if sign == "+" else machine.can_remove)(*names)
        yes = result.executed
        if as_json:
            row: dict[str, Any] = {"mutation": mutation, "accepted": yes}
            if not yes:
                row |= {"rejected_by": result.rejected_by, "why": result.why}
            print(json.dumps(row, ensure_ascii=False, default=str))
        else:
            print("yes" if yes else f"no: {_reason(result)}")
    return 0 if yes else 1


def _activate(machine: Machine[Any], active: Sequence[str] | None) -> None:
    with asking():
        canceled = active is not None and machine.set(*active).canceled
    if active is not None and canceled:
        raise CommandError(f"{', '.join(active)} cannot be active together")


def _reason(result: Result) -> str:
    return f"{result.rejected_by}: {result.why}"


def _print_names(names: Sequence[str], as_json: bool) -> None:
    print(json.dumps(list(names), ensure_ascii=False) if as_json else "\n".join(names))
