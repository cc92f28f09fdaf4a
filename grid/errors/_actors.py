"""Actors that do not start or do not end, and broadcasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grid.errors._base import GridError

if TYPE_CHECKING:
    from grid.client.broadcast import BroadcastResult

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


class IncompleteBroadcast(GridError):
    """At least one member failed (with `fastest`: none succeeded).

    Attributes:
        result: what each member answered.
    """

    result: BroadcastResult

    def __init__(self, result: BroadcastResult) -> None:
        failed = [name for name, one in result.items() if one.error is not None]
        super().__init__(
            f"grid: incomplete broadcast: {len(failed)} of {len(result)} failed: "
            + ", ".join(failed[:5])
            + (", ..." if len(failed) > 5 else ""),
            result=result,
        )
