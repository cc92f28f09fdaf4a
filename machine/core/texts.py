"""A machine's states as text, and errors about names that are none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from machine.errors import InvalidArgument, UnknownState, describe_kind
from machine.schema.state import State

__all__ = ["check_no_args", "facts", "listed", "unknown_state"]


def facts(tick: int, state: State) -> str:
    """Return the tick and the relations of a state, one fact a line."""
    found = [("Tick", str(tick))]
    found += [("Initial", "true")] if state.initial else []
    found += [("Final", "true")] if state.final else []
    found += [("Auto", "true")] if state.auto else []
    found += [("Multi", "true")] if state.multi else []
    for title, others in (
        ("Add", state.add),
        ("Require", state.require),
        ("Remove", state.remove),
        ("After", state.after),
    ):
        found += [(title, " ".join(others))] if others else []
    return "".join(f"    |{title:<8} {value}\n" for title, value in found)


def listed(clock: Iterable[tuple[str, int]], odd: int) -> str:
    """Return the states whose ticks are odd (1), or even (0), with their ticks."""
    return " ".join(f"{name}:{tick}" for name, tick in clock if tick % 2 == odd)


def check_no_args(given: object, machine: str) -> None:
    """Refuse a mapping among states: its keys would pass for states.

    Raises:
        InvalidArgument: it is one.
    """
    if isinstance(given, Mapping):
        raise InvalidArgument(
            f"states are names, not a {type(given).__name__}",
            argument="states",
            machine=machine,
            hint=f"Pass arguments by name: args={given!r:.60}, or the keys as a list.",
        )


def unknown_state(name: object, known: Collection[str], machine: str) -> UnknownState:
    """Return the error about a name that is not in the schema, or is none."""
    hint = None
    if not isinstance(name, str):
        hint = f"States are names or members of an Enum, not {describe_kind(name)}."
    else:
        parts = name.replace(",", " ").split()
        if len(parts) > 1 and all(part in known for part in parts):
            hint = f"Pass each name by itself: {', '.join(map(repr, parts))}."
    near = () if hint else known
    return UnknownState(str(name), machine, known=near, hint=hint)
