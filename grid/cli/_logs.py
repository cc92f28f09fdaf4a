"""Logs of a peer on standard error: lines to read, or a JSON object a line for machines."""

from __future__ import annotations

import enum
import json
import logging
from datetime import UTC, datetime

__all__ = ["LogFormat", "LogLevel", "set_up_logs"]

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# Attributes that each record has; all others were given as `extra`, such as an actor's name.
_COMMON = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class LogLevel(enum.StrEnum):
    """Least level of the records that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """Form of the records that are logged."""

    TEXT = "text"
    JSON = "json"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _COMMON}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def set_up_logs(level: LogLevel, form: LogFormat) -> None:
    """Log to standard error, unless the app has set up its own logs."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if form is LogFormat.JSON else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=level.upper())
