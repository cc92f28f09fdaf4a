"""What can be set of a machine."""

from __future__ import annotations

from dataclasses import dataclass, fields

from machine.errors import InvalidArgument

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Limits of a machine.

    Attributes:
        handler_timeout: seconds that a plain handler may take. One that takes
            longer is waited for, and its transition is canceled.
        handler_deadline: seconds that a handler which is too late may go on.
            After them the transition fails with `HandlerTimeout`, and what
            was queued behind it is canceled.
        handler_backoff: seconds after that in which nothing is added or removed.
        eval_timeout: seconds that `eval` waits for its turn.
        queue_limit: mutations that may wait; more are canceled, errors excepted.
        chain_limit: how many mutations may cause each other, one in the
            handler of the other, before it is taken for an endless loop.
        catch: what handlers raise becomes the state `Exception`; False lets it
            out to the caller, after the transition was rolled back.
    """

    handler_timeout: float = 1.0
    handler_deadline: float = 10.0
    handler_backoff: float = 3.0
    eval_timeout: float = 1.0
    queue_limit: int = 1000
    chain_limit: int = 1000
    catch: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "catch":
                if not isinstance(value, bool):
                    raise InvalidArgument(
                        f"catch is True or False, not {value!r}", argument="catch"
                    )
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise InvalidArgument(
                    f"{field.name} is a number above 0, not {value!r}", argument=field.name
                )
