"""The states of a crossing: three lights for cars, and one for those who walk."""

from __future__ import annotations

from machine import States, state

__all__ = ["CrossingStates"]


class CrossingStates(States):
    """A crossing. Cars go until somebody presses the button."""

    Green = state(initial=True, remove=["Yellow", "Red"])
    Yellow = state(remove=["Green", "Red"])
    Red = state(remove=["Green", "Yellow"])
    Called = state()
    """Somebody has pressed the button."""
    Walk = state(auto=True, require=["Red", "Called"])
