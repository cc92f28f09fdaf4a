"""Errors of the generator."""

from __future__ import annotations

__all__ = ["InvalidOptions"]


class InvalidOptions(ValueError):
    """An option of a method that makes no sense; the text names file, service and method."""

    def __init__(self, file: str, service: str, method: str, reason: str) -> None:
        where = f"{service}.{method}" if method else service
        super().__init__(f"{file}: {where}: {reason}")
