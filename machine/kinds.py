"""The words for mutations and for what they come to."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Kind"]


class Kind(StrEnum):
    """What a mutation does with the states that it calls."""

    ADD = "add"
    """Activate them, beside those that are active."""
    REMOVE = "remove"
    """Deactivate them."""
    SET = "set"
    """Activate them, and deactivate all others."""

    __hash__ = str.__hash__  # that of enums is slow, and kinds are parts of keys
