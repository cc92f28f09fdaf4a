"""Functions of other packages by which an actor exposes an object to the grid.

A package names its function in the entry points of the group `grid.expose`. It is called with
the actor's context, the object and the options, and returns the object's server, to be opened;
or None if the object is not its kind.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, Protocol

from grid.aio import Opening
from grid.errors import InvalidArgument

__all__ = ["opening_of"]

_GROUP = "grid.expose"


class _Exposer(Protocol):
    def __call__(self, host: object, subject: object, **options: Any) -> Opening[Any] | None: ...


def opening_of(host: object, subject: object, options: dict[str, Any]) -> Opening[Any]:
    """Find the function for an object; the server that it makes, not yet opened.

    Raises:
        InvalidArgument: no package that is installed exposes such objects.
    """
    for exposer in _exposers():
        opening = exposer(host, subject, **options)
        if opening is not None:
            return opening
    expected = "an object that an installed package exposes, such as a machine"
    raise InvalidArgument("subject", type(subject).__name__, expected)


@cache
def _exposers() -> tuple[_Exposer, ...]:
    return tuple(point.load() for point in metadata.entry_points(group=_GROUP))
