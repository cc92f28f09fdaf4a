"""The root of all errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

__all__ = ["GridError", "text_of"]


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

    def __reduce__(self) -> tuple[Callable[..., GridError], tuple[type[Self], dict[str, Any]]]:
        return _rebuild, (type(self), self.attributes())


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
