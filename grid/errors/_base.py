"""The root of all errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

__all__ = ["GridError", "Retryable", "text_of"]


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
        """The arguments that make this error again: `type(e)(**e.attributes())`."""
        hidden = ("_", "retryable")
        return {k: v for k, v in vars(self).items() if not k.startswith(hidden)}

    def __copy__(self) -> GridError:
        """The same error without a traceback, for another of several that meet it.

        Each `raise` of one object adds to its traceback, which keeps all that is in its frames.
        """
        other = _rebuild(type(self), self.attributes())
        other.__cause__ = self.__cause__
        for note in getattr(self, "__notes__", ()):
            other.add_note(note)
        return other

    def __reduce__(self) -> tuple[Callable[..., GridError], tuple[type[Self], dict[str, Any]]]:
        return _rebuild, (type(self), self.attributes())


class Retryable(GridError):
    """Nothing was acted upon: try again, now or later, or go elsewhere.

    The one class to catch for that. Every error whose `retryable` is True derives from it. Some
    that derive from it have `retryable` False, since the same again to the same receiver would end
    the same way: `PeerFull` (go to another peer), `OnStartFailed`, `Filtered` and `SecurityError`.
    """

    retryable = True


def _rebuild(cls: type[GridError], attributes: Mapping[str, Any]) -> GridError:
    if cls is GridError:
        attributes = {"message": "", **attributes}
    return cls(**attributes)


def text_of(error: BaseException) -> str:
    """The text of an error; the name of its class if it has no text, or cannot make one."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__name__
