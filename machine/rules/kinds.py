"""The words for mutations and for what they come to."""

from __future__ import annotations

from enum import StrEnum

from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["Kind", "kind_of"]


class Kind(StrEnum):
    """What a mutation does with the states that it calls."""

    ADD = "add"
    """Activate them, beside those that are active."""
    REMOVE = "remove"
    """Deactivate them."""
    SET = "set"
    """Activate them, and deactivate all others."""

    __hash__ = str.__hash__  # that of enums is slow, and kinds are parts of keys


def kind_of(value: Kind | str) -> Kind:
    """The kind of that name.

    Raises:
        InvalidArgument: there is no such kind.
    """
    try:
        return Kind(value)
    except ValueError:
        near = did_you_mean(near_names(str(value), [kind.value for kind in Kind]))
        raise InvalidArgument(
            f"there is no kind {value!r}{near}", argument="kind", hint="It is add, remove or set."
        ) from None
