"""The root of all errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["GridError", "Retryable", "text_of"]

# Marks of this process on the way of one error, which no copy has.
_MARKS = frozenset({"_answer", "_of_request", "_too_late", "_tried"})


class GridError(Exception):
    """The root of all errors of the grid.

    Attributes:
        retryable: True if a resend is safe, because nothing was acted upon.
    """

    retryable: bool = False

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.__dict__.update(attributes)

    def attributes(self) -> dict[str, Any]:
        """The arguments that make this error again, and attributes that others have put on it."""
        hidden = ("_", "retryable")
        return {k: v for k, v in vars(self).items() if not k.startswith(hidden)}

    def __copy__(self) -> GridError:
        """The same error without a traceback, for another of several that meet it.

        Each `raise` of one object adds to its traceback, which keeps all that is in its frames.
        """
        other = _again(type(self), self.args, self._state())
        other.__cause__ = self.__cause__
        return other

    def __reduce__(self) -> tuple[Callable[..., GridError], tuple[Any, ...]]:
        return _again, (type(self), self.args, self._state())

    def _state(self) -> dict[str, Any]:
        """All that stands on the error: also a `retryable` of its own, and notes."""
        state = {name: value for name, value in vars(self).items() if name not in _MARKS}
        if "__notes__" in state:
            state["__notes__"] = list(state["__notes__"])
        return state


class Retryable(GridError):
    """Nothing was acted upon: try again, now or later, or go elsewhere.

    The one class to catch for that. Every error whose `retryable` is True derives from it. Some
    that derive from it have `retryable` False, since the same again to the same receiver would end
    the same way: `PeerFull` (go to another peer), `OnStartFailed`, `Filtered` and `SecurityError`.
    """

    retryable = True


def _again(cls: type[GridError], args: tuple[Any, ...], state: Mapping[str, Any]) -> GridError:
    # Not by `__init__`, whose parameters are those of a class that users may have derived.
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


def _rebuild(cls: type[GridError], attributes: Mapping[str, Any]) -> GridError:
    """Make the error of a pickle of version 0.1."""
    if cls is GridError:
        attributes = {"message": "", **attributes}
    return cls(**attributes)


def text_of(error: BaseException) -> str:
    """The text of an error; the name of its class if it has no text, or cannot make one."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__name__
