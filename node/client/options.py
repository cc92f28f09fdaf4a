"""Options of a run, and of what waits for a worker: checked where they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grid.errors import InvalidArgument
from grid.numbers import check_count, is_number

__all__ = ["RunOptions", "check_call", "check_wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a run, checked.

    Attributes:
        ordered: results come in the order of the inputs.
        attempts: how often a job may begin.
        workers: workers that it uses at most; 0: any number.
        raises: the first job that fails ends the run.
        on_progress: called with the number of results so far.
    """

    ordered: bool
    attempts: int
    workers: int
    raises: bool
    on_progress: Callable[[int], None] | None

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts)
        check_count("workers", self.workers, 0)
        check_call("on_progress", self.on_progress)


def check_wait(seconds: Any) -> float:
    """The timeout itself; raises `InvalidArgument` unless it is seconds from 0 on, or endless."""
    if not is_number(seconds) or seconds < 0:
        raise InvalidArgument("timeout", repr(seconds), "a number of seconds, 0 or more")
    wait: float = seconds
    return wait


def check_call(argument: str, call: Any) -> None:
    """Raise `InvalidArgument` unless it can be called, or is None."""
    if call is not None and not callable(call):
        raise InvalidArgument(argument, repr(call), "a function, or None")
