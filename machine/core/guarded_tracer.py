"""A tracer as the machine calls it: only what it overrides, and never in the machine's way."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from machine.core.tracer import Tracer
from machine.errors import InvalidArgument

__all__ = ["Tracing", "trace"]

_log = logging.getLogger("machine")
_HOOKS = tuple(name for name in vars(Tracer) if not name.startswith("_"))


class Tracing(Tracer):
    """Calls the hooks that another tracer has; what they raise is logged."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        for hook in _HOOKS:
            method = getattr(tracer, hook)
            if getattr(method, "__func__", None) is not getattr(Tracer, hook):
                setattr(self, hook, _guarded(method))


def trace(tracer: object) -> Tracing:
    """A tracer made safe.

    Raises:
        InvalidArgument: it is no `Tracer`.
    """
    if not isinstance(tracer, Tracer):
        raise InvalidArgument(
            f"a tracer is an instance of machine.Tracer, not {tracer!r}", argument="tracer"
        )
    return Tracing(tracer)


def _guarded(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def call(*args: Any) -> None:
        try:
            method(*args)
        except Exception:  # noqa: BLE001 - a user's function
            _log.exception("the tracer's %s raised", method.__qualname__)

    return call
