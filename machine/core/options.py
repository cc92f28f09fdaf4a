"""Limits of a machine, and its clock."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from machine.errors import InvalidArgument, describe_kind

__all__ = ["Options", "check_kinds"]


_FUNCTIONS = ("clock", "jitter")


def _jittered(pause: float) -> float:
    return pause * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Limits of a machine, and its clock.

    Attributes:
        handler_timeout: seconds that a plain handler may take. The machine waits
            for one that takes longer, and cancels its transition.
        handler_deadline: seconds that a handler may go on after its timeout.
            After them the transition fails with `HandlerTimeout`, and the
            mutations that are queued behind it are canceled.
        handler_backoff: seconds after that in which nothing is added or removed.
        eval_timeout: seconds that `eval` waits for its turn.
        queue_limit: mutations that may wait; more are canceled, errors excepted.
        chain_limit: mutations that may cause each other, one in the handler of
            the other, before the machine takes them for an endless loop.
        catch: errors of handlers become the state `Exception`; False raises
            them at the caller, after the transition was rolled back.
        eager: async handlers run up to their first wait before the mutation returns,
            after its transitions, as eager tasks of asyncio (Python 3.12 and later).
            Otherwise they begin in the next turn of the event loop.
        clock: a function that returns seconds, never less than before, by which
            the time of handlers is measured. Tests give one that they advance
            by hand, so that they need not sleep.
        jitter: a function of the pause before a retry, in seconds, that returns the
            pause to be made; at random between half and all of it by default.
    """

    handler_timeout: float = 1.0
    handler_deadline: float = 10.0
    handler_backoff: float = 3.0
    eval_timeout: float = 1.0
    queue_limit: int = 1000
    chain_limit: int = 1000
    catch: bool = True
    eager: bool = False
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float], float] = _jittered

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("catch", "eager"):
                if not isinstance(value, bool):
                    raise InvalidArgument(
                        f"{field.name} must be True or False, not {value!r}", argument=field.name
                    )
            elif field.name in _FUNCTIONS:
                if not callable(value):
                    raise InvalidArgument(
                        f"{field.name} must be callable, not {describe_kind(value)}",
                        argument=field.name,
                    )
            # Not a comparison with <= alone: NaN compares with nothing.
            elif isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InvalidArgument(
                    f"{field.name} must be a number above 0, not {value!r}", argument=field.name
                )
        if self.eager and sys.version_info < (3, 12):
            raise InvalidArgument("eager tasks need Python 3.12 or later", argument="eager")

    def __getstate__(self) -> list[object]:
        """The limits alone: a process that unpickles them has a clock of its own."""
        return [getattr(self, name) for name in _LIMITS]

    def __setstate__(self, state: Sequence[object]) -> None:
        # Options that were pickled before a limit was added have its default.
        given = dict(zip(_LIMITS, state, strict=False))
        for field in fields(self):
            object.__setattr__(self, field.name, given.get(field.name, field.default))


_LIMITS = tuple(field.name for field in fields(Options) if field.name not in _FUNCTIONS)


def check_kinds(**given: tuple[object, type]) -> None:
    """Check values against the types that they must have; None is fine.

    Raises:
        InvalidArgument: one has another type.
    """
    for name, (value, wanted) in given.items():
        if value is not None and not isinstance(value, wanted):
            raise InvalidArgument(
                f"{name} must be of the type {wanted.__name__}, not {describe_kind(value)}",
                argument=name,
            )
