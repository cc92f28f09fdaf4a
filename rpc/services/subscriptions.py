"""The messages of a subscription, as subscribers get them."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self, TypeVar

from google.protobuf.message import DecodeError, Message

from rpc.buses.bus import Overflow, Subscription
from rpc.services.errors import MalformedResult, SubscriptionLost

__all__ = ["Updates", "decoded"]

ReplyT = TypeVar("ReplyT", bound=Message)


class Updates(Generic[ReplyT]):
    """The messages of a subscription: iterate over them; close it, or use `async with`."""

    def __init__(self, subscription: Subscription, message: type[ReplyT]) -> None:
        self._subscription = subscription
        self._message = message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReplyT:
        """The next message.

        Raises:
            SubscriptionLost: this was not read fast enough, and messages were lost.
            MalformedResult: a message is not of the method's type; the next one may be.
        """
        try:
            data = await anext(self._subscription)
        except Overflow as error:
            raise SubscriptionLost(str(error)) from error
        return decoded(self._message, data, "the publisher")

    async def receive(self) -> ReplyT | None:
        """The next message; None once it is closed."""
        return await anext(self, None)

    async def close(self) -> None:
        """End the subscription. Idempotent."""
        await self._subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def decoded(reply: type[ReplyT], payload: bytes, member: str) -> ReplyT:
    """The message in a payload; raises `MalformedResult` for what is none of its type."""
    try:
        return reply.FromString(payload)
    except DecodeError:
        name = reply.DESCRIPTOR.full_name
        raise MalformedResult(f"the answer of {member} is not an encoding of {name}") from None
