"""A machine's states as text."""

from __future__ import annotations

from collections.abc import Iterable

from machine.schema.state import State

__all__ = ["facts", "listed"]


def facts(tick: int, state: State) -> str:
    """Return the tick and the relations of a state, one fact a line."""
    found = [("Tick", str(tick))]
    found += [("Initial", "true")] if state.initial else []
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
