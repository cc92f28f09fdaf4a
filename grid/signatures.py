"""Questions about the parameters of functions that users give."""

from __future__ import annotations

import inspect
from collections.abc import Callable

__all__ = ["needs_arguments"]


def needs_arguments(function: Callable[..., object]) -> bool:
    """True if a function cannot be called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin without a signature
        return False
    return False
