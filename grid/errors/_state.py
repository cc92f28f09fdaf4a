"""States of actors and their stores."""

from __future__ import annotations

from grid.errors._base import GridError, Retryable
from grid.errors._input import MessageTooLarge

__all__ = ["StateFenced", "StateTooLarge", "StoreUnavailable", "UnexpectedState"]


class StateFenced(GridError):
    """A newer owner of the name has loaded or saved the state; this one must end.

    Attributes:
        key: of the state.
        epoch: of the owner that was refused.
    """

    key: str
    epoch: int

    def __init__(self, key: str, epoch: int) -> None:
        super().__init__(
            f"grid: the state {key!r} has an owner of a later epoch than {epoch}: "
            "this one has lost the name",
            key=key,
            epoch=epoch,
        )


class StateTooLarge(MessageTooLarge):
    """A state has more bytes than its store takes: keep less in it, or use another store.

    Nothing was saved; saving it again helps only once the state is smaller.

    Attributes:
        size: bytes of the state.
        limit: bytes allowed; 0 if the store does not say.
        advice: what sets the limit, and what to do.
    """

    advice: str

    def __init__(
        self, size: int, limit: int = 0, part: str = "the state", advice: str = ""
    ) -> None:
        allowed = f", the limit is {limit}" if limit else ""
        GridError.__init__(
            self,
            f"grid: {part} too large: {size} bytes{allowed}{advice and f'; {advice}'}",
            size=size,
            limit=limit,
            part=part,
            advice=advice,
        )


class StoreUnavailable(Retryable):
    """A store of states cannot be reached now; to load or save again is safe."""

    text: str

    def __init__(self, text: str) -> None:
        super().__init__(f"store: {text}", text=text)


class UnexpectedState(GridError):
    """The saved state is of another class than was asked for, or cannot be read (actor).

    Attributes:
        key: of the state.
        wanted: the class that was asked for.
        found: the class that was saved, or the error of reading it.
    """

    key: str
    wanted: str
    found: str

    def __init__(self, key: str, wanted: str, found: str) -> None:
        super().__init__(
            f"grid: the state {key!r} is no {wanted}: {found}",
            key=key,
            wanted=wanted,
            found=found,
        )
