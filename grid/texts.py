"""A check of texts that users give and that are sent: half of a surrogate pair cannot be."""

from __future__ import annotations

from grid.errors import InvalidArgument

__all__ = ["check_text"]


def check_text(argument: str, text: object) -> None:
    """Raise `InvalidArgument` unless it is a text that UTF-8 can encode."""
    try:
        if isinstance(text, str):
            str.encode(text)
            return
    except UnicodeEncodeError:
        pass
    raise InvalidArgument(argument, repr(text), "a text that UTF-8 can encode")
