"""Actors that do not start or do not end, and broadcasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from grid.errors._base import GridError

__all__ = [
    "ActorStartFailed",
    "ActorStillRunning",
    "FactoryFailed",
    "IncompleteBroadcast",
    "NilActor",
    "UnknownActor",
    "UnknownActorType",
]


class ActorStartFailed(GridError):
    """The actor did not start, and holds no name."""


class UnknownActorType(ActorStartFailed):
    """The peer has no definition of that type."""

    type: str
    offered: list[str]

    def __init__(self, type: str, offered: list[str] | None = None) -> None:  # noqa: A002
        offers = f"; this peer offers {', '.join(offered)}" if offered else ""
        super().__init__(
            f"grid: def not registered: type={type}{offers}", type=type, offered=offered or []
        )


class FactoryFailed(ActorStartFailed):
    """The definition's factory raised; the peer's log has the traceback."""

    text: str

    def __init__(self, text: str) -> None:
        super().__init__(text, text=text)


class NilActor(ActorStartFailed):
    """The definition's factory returned no actor."""

    type: str

    def __init__(self, type: str) -> None:  # noqa: A002
        super().__init__(f"grid: nil actor: the factory of {type!r} returned none", type=type)


class UnknownActor(GridError):
    """No actor of that name runs (there)."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: unknown actor: {name!r}", name=name)


class ActorStillRunning(GridError):
    """The actor ran on past its grace and a cancellation; it keeps its name."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: actor {name!r} still runs after it was cancelled", name=name)


class _Outcome(Protocol):
    """The answer of one member: a message or an error, never both."""

    @property
    def value(self) -> Any:
        """The message."""

    @property
    def error(self) -> GridError | None:
        """The error."""


class _Outcomes(Protocol):
    """A `grid.BroadcastResult`, as far as the error needs it."""

    @property
    def successes(self) -> Mapping[str, Any]:
        """The replies of the members that succeeded, by name."""

    @property
    def errors(self) -> Mapping[str, GridError]:
        """The errors of the members that failed, by name."""

    def __len__(self) -> int: ...

    def __getitem__(self, name: str, /) -> _Outcome: ...


class IncompleteBroadcast(GridError):
    """At least one member failed (with `fastest`: none succeeded).

    Attributes:
        result: the answers of all members, a `BroadcastResult`.
    """

    result: Any

    def __init__(self, result: _Outcomes) -> None:
        failed = list(result.errors)
        super().__init__(
            f"grid: incomplete broadcast: {len(failed)} of {len(result)} failed: "
            + ", ".join(failed[:5])
            + (", ..." if len(failed) > 5 else ""),
            result=result,
        )
