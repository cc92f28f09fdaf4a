"""Arguments of a mutation, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from machine.errors import InvalidArgument

__all__ = ["arguments"]


def arguments(pairs: Iterable[str]) -> dict[str, Any] | None:
    """Arguments given as `key=value`, where a value is JSON or a text; None for none.

    Raises:
        InvalidArgument: one is not of this form.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise InvalidArgument(f"an argument is KEY=VALUE, not {pair!r}")
        try:
            given[key] = json.loads(text)
        except RecursionError:
            raise InvalidArgument(f"the value of {key!r} is nested too deeply") from None
        except ValueError:
            given[key] = text
    return given or None
