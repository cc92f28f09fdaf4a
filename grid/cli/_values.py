"""Parsers of option values: each says what would be right, in the command's own words."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from grid.cli._exits import BadInput

__all__ = ["choice", "existing_file", "seconds", "whole_number"]

E = TypeVar("E", bound=enum.StrEnum)


def seconds(flag: str, *, zero: bool = False) -> Callable[[Any], float]:
    """Parser of a time in seconds, above 0 unless zero is allowed."""
    expected = "0 or more" if zero else "above 0"

    def parse(text: Any) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise _wrong(flag, f"a number of seconds {expected}", text)
        return value

    return parse


def whole_number(flag: str, least: int, most: int) -> Callable[[Any], int]:
    """Parser of a whole number between two bounds."""

    def parse(text: Any) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise _wrong(flag, f"a whole number from {least} to {most}", text)
        return value

    return parse


def choice(flag: str, kind: type[E]) -> Callable[[Any], E]:
    """Parser of one of an enumeration's values."""

    def parse(text: Any) -> E:
        try:
            return kind(text)
        except ValueError:
            raise _wrong(flag, f"one of {', '.join(kind)}", text) from None

    return parse


def existing_file(flag: str) -> Callable[[Any], Path]:
    """Parser of a path to a file that can be read."""

    def parse(text: Any) -> Path:
        path = Path(text)
        try:
            path.open("rb").close()
        except OSError as error:
            raise BadInput(f"{flag}: cannot read {str(path)!r}: {error.strerror}") from None
        return path

    return parse


def _wrong(flag: str, expected: str, text: Any) -> BadInput:
    return BadInput(f"{flag} must be {expected}, not {str(text)!r}")
