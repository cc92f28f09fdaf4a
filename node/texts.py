"""Texts for people."""

from __future__ import annotations

__all__ = ["shortened"]


def shortened(text: str) -> str:
    """The first and the last line of a text, which of a traceback say what there is to know."""
    first, *others = text.strip().splitlines() or [""]
    return f"{first} {others[-1].strip()}" if others else first
