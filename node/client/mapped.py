"""The ends of the jobs of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Mapped"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The end of one job.

    Attributes:
        index: of its input, from 0.
        value: its result; None if it failed.
        error: why it failed; None if it did not.
        attempt: the try that ended so, from 1; 0 if its input cannot be sent.
    """

    index: int
    value: Any
    error: Exception | None
    attempt: int
