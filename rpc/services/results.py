"""The outcomes of calls to all servers, as callers get them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from rpc.services.errors import ServiceError

__all__ = ["MemberResult", "MultiCall"]

ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True, slots=True)
class MemberResult(Generic[ReplyT]):
    """The outcome of one server of a MULTI call.

    Attributes:
        member: the server's id.
        reply: its answer, None if it failed.
        error: its error, None if it answered.
        metadata: what the server says about its answer.
    """

    member: str
    reply: ReplyT | None
    error: ServiceError | None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def result(self) -> ReplyT:
        """The answer; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        assert self.reply is not None  # noqa: S101 - one of the two is there
        return self.reply


class MultiCall(Generic[ReplyT]):
    """A call to all servers: iterate over the outcomes as they come, or await them all.

        async for outcome in client.load(LoadRequest()): ...
        outcomes = await client.load(LoadRequest())

    It is sent when the iteration begins. It ends when all servers have answered or left, at
    the latest at the deadline; a server without an answer is an outcome with an error.
    """

    def __init__(self, outcomes: AsyncIterator[MemberResult[ReplyT]]) -> None:
        self._outcomes = outcomes

    async def __aiter__(self) -> AsyncGenerator[MemberResult[ReplyT], None]:
        try:
            async for outcome in self._outcomes:
                yield outcome
        finally:
            if isinstance(self._outcomes, AsyncGenerator):
                await self._outcomes.aclose()

    def __await__(self) -> Generator[Any, None, list[MemberResult[ReplyT]]]:
        async def all_of_them() -> list[MemberResult[ReplyT]]:
            return [outcome async for outcome in self]

        return all_of_them().__await__()
