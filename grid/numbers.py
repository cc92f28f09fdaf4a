"""Checks of numbers that users give: seconds, counts, ports and shares, by one rule.

Python takes True for 1 and NaN for a float. Neither is a number of anything, so both are refused
where they are given, as are infinite, negative and too large ones.
"""

from __future__ import annotations

from typing import Any

from grid.errors import InvalidArgument

__all__ = ["FOREVER", "check_count", "check_port", "check_seconds", "check_share", "is_number"]

FOREVER = 1e9  # seconds; gRPC and event loops take no endless time

_NUMBER = (int, float)
_LAST_PORT = 65_535


def is_number(value: Any) -> bool:
    """True for an int or a float that is not NaN; infinity is a number here."""
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and value == value


def check_seconds(argument: str, value: Any, *, zero: bool = True, endless: bool = False) -> float:
    """The seconds themselves.

    Args:
        argument: their name for the error's text.
        value: what was given.
        zero: whether 0 is allowed.
        endless: whether infinity and more seconds than `FOREVER` are allowed.

    Raises:
        InvalidArgument: it is no number of seconds, negative or too large.
    """
    good = is_number(value) and value >= 0 and (endless or value <= FOREVER)
    if not good or (value == 0 and not zero):
        raise InvalidArgument(
            argument, repr(value), "a number of seconds" + ("" if zero else " above 0")
        )
    seconds: float = value
    return seconds


def check_count(argument: str, value: Any, least: int = 1) -> int:
    """The whole number itself; raises `InvalidArgument` unless it is one from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(argument, repr(value), f"a whole number, {least} or more")
    if value < least:
        raise InvalidArgument(argument, repr(value), f"{least} or more")
    return value


def check_port(value: Any) -> int:
    """The port itself, 0 for a free one; raises `InvalidArgument` unless it can be one."""
    if check_count("port", value, 0) > _LAST_PORT:
        raise InvalidArgument("port", repr(value), f"{_LAST_PORT} or less")
    port: int = value
    return port


def check_share(argument: str, value: Any) -> float:
    """The share itself; raises `InvalidArgument` unless it is a number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise InvalidArgument(argument, repr(value), "a number from 0 to 1")
    share: float = value
    return share
