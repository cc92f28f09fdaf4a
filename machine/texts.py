"""Texts of values and errors of a user's classes, whose `__repr__` or `__str__` may raise."""

from __future__ import annotations

__all__ = ["error_text", "repr_of", "text_of"]


def error_text(error: BaseException) -> str:
    """The class and the text of an error."""
    return f"{type(error).__name__}: {text_of(error)}"


def text_of(value: object) -> str:
    """The text of a value; its class where it has none."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - the class is the user's
        return _without(value, error)


def repr_of(value: object) -> str:
    """The representation of a value; its class where it has none."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the class is the user's
        return _without(value, error)


def _without(value: object, error: Exception) -> str:
    return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"
