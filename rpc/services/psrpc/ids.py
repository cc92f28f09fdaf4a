"""Ids of the protocol: a prefix and twelve letters or digits."""

from __future__ import annotations

import secrets
import string
import time

__all__ = ["nanoseconds", "new_id"]

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """A new id: `REQ_PXMM6MuFIlV5`."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(12))


def nanoseconds() -> int:
    """The time of day, as frames have it."""
    return time.time_ns()
