"""The kinds of mutations and of the steps of their resolution."""

from __future__ import annotations

from enum import StrEnum

from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["Kind", "StepKind", "kind_of"]


class Kind(StrEnum):
    """The effect of a mutation on the states that it calls."""

    ADD = "add"
    """Activate them, beside those that are active."""
    REMOVE = "remove"
    """Deactivate them."""
    SET = "set"
    """Activate them, and deactivate all others."""

    __hash__ = str.__hash__  # that of enums is slow, and kinds are parts of keys


class StepKind(StrEnum):
    """The effect of one step of a resolution on a state."""

    CALLED = "called"
    """The mutation names it."""
    IMPLIED = "implied"
    """It comes along, by the Add of another state."""
    REJECTED = "rejected"
    """Its Require is not met; or, in an auto mutation, its handler said no."""
    BLOCKED = "blocked"
    """Another state has it in its Remove."""
    ACTIVATE = "activate"
    """It becomes active, or, as a Multi state, active again with a new tick."""
    DEACTIVATE = "deactivate"
    """It ends."""
    CANCEL = "cancel"
    """It was called and is not in the target, or a handler said no: nothing changes."""

    __hash__ = str.__hash__


def kind_of(value: Kind | str) -> Kind:
    """Return the kind of that name.

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
