"""The words for mutations and for what they come to."""

from __future__ import annotations

from enum import Enum

__all__ = ["Kind"]


class Kind(str, Enum):
    """What a mutation does with the states that it calls."""

    ADD = "add"
    """Activate them, beside those that are active."""
    REMOVE = "remove"
    """Deactivate them."""
    SET = "set"
    """Activate them, and deactivate all others."""

    __hash__ = object.__hash__  # by identity: kinds are part of keys

    def __str__(self) -> str:
        return self.value
