"""Retries: the number of attempts of a state's async work, and the pauses between them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from machine.errors import InvalidArgument

__all__ = ["Retries", "as_retries", "as_timeout"]


@dataclass(frozen=True, slots=True)
class Retries:
    """The number of attempts of a state's async work, and the pauses between them.

    Attributes:
        attempts: in all, the first one among them.
        pause: seconds before the second attempt; each later pause is twice as long.
            Pauses are shortened at random by `Options.jitter`.
        longest: seconds of the longest pause.

    Raises:
        InvalidArgument: one of them is no number above 0.
    """

    attempts: int
    pause: float = 0.1
    longest: float = 5.0

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise InvalidArgument(
                f"attempts must be an int above 0, not {self.attempts!r}", argument="attempts"
            )
        for name in ("attempts", "pause", "longest"):
            _positive(getattr(self, name), name)

    def pause_after(self, attempt: int) -> float:
        """Return the seconds between an attempt, counted from 1, and the next."""
        doublings = min(attempt - 1, 64)  # more are beyond all pauses, and beyond a float
        return min(self.longest, self.pause * 2.0**doublings)


def as_retries(value: object) -> Retries | None:
    """Return the retries of a number of attempts, of plain data, of Retries, or None.

    Raises:
        InvalidArgument: it is something else.
    """
    if value is None or isinstance(value, Retries):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        _positive(value, "retry")
        return Retries(value)
    if isinstance(value, dict) and "attempts" in value and value.keys() <= _FIELDS:
        return Retries(**value)
    raise InvalidArgument(
        f"retry takes a number of attempts or Retries, not {value!r}",
        argument="retry",
        hint="Like retry=3, or retry=Retries(attempts=3, pause=0.1, longest=5.0).",
    )


def as_timeout(value: object) -> float | None:
    """Return a timeout in seconds, or None.

    Raises:
        InvalidArgument: it is no number above 0.
    """
    return None if value is None else _positive(value, "timeout")


def _positive(value: object, name: str) -> float:
    # Not a comparison with <= alone: NaN compares with nothing.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
        raise InvalidArgument(f"{name} must be a number above 0, not {value!r}", argument=name)
    return value


_FIELDS = {"attempts", "pause", "longest"}
_LARGEST = sys.float_info.max  # a larger int is a number that no clock can count with
