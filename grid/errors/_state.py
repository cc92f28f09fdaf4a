"""States of actors and their stores."""

from __future__ import annotations

from grid.errors._base import GridError, Retryable

__all__ = ["StateFenced", "StoreUnavailable", "UnexpectedState"]


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
