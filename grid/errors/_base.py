"""The root of all errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

__all__ = ["GridError"]


class GridError(Exception):
    """The root of all errors of the grid.

    Attributes:
        retryable: True if a resend is safe, because nothing was acted upon.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.__dict__.update(attributes)

    def attributes(self) -> dict[str, Any]:
        """The arguments that make this error again: `type(e)(**e.attributes())`."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __reduce__(self) -> tuple[Callable[..., GridError], tuple[type[Self], dict[str, Any]]]:
        return _rebuild, (type(self), self.attributes())


def _rebuild(cls: type[GridError], attributes: Mapping[str, Any]) -> GridError:
    if cls is GridError:
        attributes = {"message": "", **attributes}
    return cls(**attributes)
