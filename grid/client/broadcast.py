"""Requests to many at once: the group, and the outcome of each member."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from grid.errors import GridError, InvalidArgument

__all__ = ["BroadcastResult", "Group", "Outcome", "collect"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one member: a message or an error, never both."""

    value: Message | None = None
    error: GridError | None = None


class BroadcastResult(Mapping[str, Outcome]):
    """The outcomes of a broadcast by member.

    With a `fastest` group, members that had not answered when the first success
    came are not in it.
    """

    def __init__(self, outcomes: Mapping[str, Outcome] | None = None) -> None:
        self._outcomes = dict(outcomes or {})

    def __getitem__(self, name: str) -> Outcome:
        return self._outcomes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)

    def __repr__(self) -> str:
        return f"<BroadcastResult {len(self.successes)} of {len(self)} succeeded>"

    @property
    def successes(self) -> dict[str, Message]:
        """The replies of those that succeeded."""
        return {name: one.value for name, one in self.items() if one.value is not None}

    @property
    def errors(self) -> dict[str, GridError]:
        """The errors of those that failed."""
        return {name: one.error for name, one in self.items() if one.error is not None}

    def add(self, later: Mapping[str, Outcome]) -> None:
        """Take over a later round's outcomes; they replace those of the same name."""
        self._outcomes.update(later)


@dataclass(frozen=True, slots=True, init=False)
class Group:
    """Names to send one message to.

    Attributes:
        members: the distinct names, in the order given.
        first_only: True if the first success is enough.

    Raises:
        InvalidArgument: a member is not a string.
    """

    members: tuple[str, ...]
    first_only: bool

    def __init__(self, *members: str, first_only: bool = False) -> None:
        for member in members:
            if not isinstance(member, str):
                raise InvalidArgument("member of a group", member, "the name of a mailbox")
        object.__setattr__(self, "members", tuple(dict.fromkeys(members)))
        object.__setattr__(self, "first_only", first_only)

    def fastest(self) -> Group:
        """The same members, of which the first to succeed is enough."""
        return Group(*self.members, first_only=True)

    def except_successes(self, result: Mapping[str, Outcome]) -> Group:
        """Those members that have not succeeded yet, all of which are wanted."""
        return Group(
            *(name for name in self.members if name not in result or result[name].value is None)
        )


async def collect(
    asking: Mapping[asyncio.Future[Message], str], result: BroadcastResult, *, first_only: bool
) -> None:
    """Put the outcomes of the members into `result`: all, or those until the first success.

    Requests that are not waited for any more are cancelled, all of them if this is.
    """
    waiting = set(asking)
    until = asyncio.FIRST_COMPLETED if first_only else asyncio.ALL_COMPLETED
    try:
        while waiting and not (first_only and result.successes):
            done, waiting = await asyncio.wait(waiting, return_when=until)
            result.add({asking[future]: _outcome(future) for future in done})
    finally:
        for future in asking:
            if future.done() and not future.cancelled():
                future.exception()  # of several that are no `GridError` one is raised
            else:
                future.cancel()


def _outcome(future: asyncio.Future[Message]) -> Outcome:
    error = future.exception()
    if error is None:
        return Outcome(value=future.result())
    if isinstance(error, GridError):
        return Outcome(error=error)
    raise error
