"""Handlers' errors in the log, at most one a second: callers shall not be able to fill it."""

from __future__ import annotations

import logging

from grid.deadline import now
from rpc.services.context import CallContext
from rpc.services.errors import ServiceError, from_handler

__all__ = ["ErrorLog"]

_log = logging.getLogger("rpc.services")

_PAUSE = 1.0  # seconds between errors that are logged with their traceback


class ErrorLog:
    """The errors of the handlers of one server."""

    def __init__(self) -> None:
        self._logged = -_PAUSE

    def answer(self, context: CallContext, error: BaseException) -> ServiceError:
        """The answer for a handler's error, which is logged unless it was meant as an answer."""
        known = from_handler(error)
        if known is not error:
            self.write(context, error)
        return known

    def write(self, context: CallContext, error: BaseException) -> None:
        """Log an error with its traceback, unless another one was logged just now."""
        if now() - self._logged >= _PAUSE:
            self._logged = now()
            _log.error("%s.%s failed", context.service, context.method, exc_info=error)
