"""The check of interceptors, of clients and of servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from grid.errors import InvalidArgument

__all__ = ["checked_interceptors"]

InterceptorT = TypeVar("InterceptorT", bound=Callable[..., Any])


def checked_interceptors(
    given: Iterable[InterceptorT], name: str = "interceptors"
) -> tuple[InterceptorT, ...]:
    """The interceptors as a tuple; raises `InvalidArgument` if one cannot be called."""
    made = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(map(callable, made)):
        raise InvalidArgument(name, given, "a list of async functions")
    return made
