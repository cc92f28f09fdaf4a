"""Results and errors of jobs as messages, whatever a job returns or raises."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from grid.errors.classification import text_of
from node.pool_pb2 import Failure
from rpc.machine_pb2 import Scalar
from rpc.machines.errors import NotPlainData
from rpc.machines.values import to_scalar

__all__ = ["failure_of", "result_of"]


def result_of(value: Any) -> Scalar:
    """The result of a job as a message.

    Raises:
        NotPlainData: it cannot be sent, for whatever reason.
    """
    try:
        return to_scalar(value)
    except NotPlainData:
        raise
    except Exception as error:
        text = f"the result cannot be sent: {type(error).__name__}: {_text(error)}"
        raise NotPlainData(text) from error


def failure_of(error: BaseException) -> Failure:
    """The error of a job as a message, with its traceback. Raises nothing for whatever error."""
    name = _made(lambda: type(error).__name__) or "Exception"
    return Failure(type=name, text=_text(error) or name, traceback=_made(lambda: _trace(error)))


def _text(error: BaseException) -> str:
    return _made(lambda: text_of(error))


def _trace(error: BaseException) -> str:
    shown = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    return "".join(traceback.format_exception(shown))


def _made(make: Callable[[], str]) -> str:
    """A text that can be encoded; "" if the code of the error fails to make it."""
    try:
        return str.encode(make(), errors="replace").decode()
    except BaseException:  # noqa: BLE001 - it is the job's code: its caller must hear of it anyhow
        return ""
