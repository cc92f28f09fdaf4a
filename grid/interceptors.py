"""Interceptors and filters: async functions around each message that leaves or comes.

    async def with_token(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
        call.metadata["token"] = await fresh_token()
        return await proceed(call)

    async def no_strangers(call: grid.IncomingCall) -> bool:
        return call.metadata.get("token") in tokens

    client = grid.Client(interceptors=[with_token])
    server = grid.Server(filters=[no_strangers])

    client: interceptors, the first outermost > filters > wire
    server: wire > filters > interceptors, the first outermost > mailbox

**An interceptor** is given a call and `proceed`, which hands the call on and
returns what comes back. Before that it may change the call; it may answer
itself, raise, or proceed again. What it raises, the caller gets.

**A filter** says of a call whether it goes on. If not, the sender gets
`Filtered`, which is not sent again.

What they cover: requests, sent ones and those to each member of a broadcast, as
well as the starts and stops of actors, which are requests to a peer; tells;
and of streams the opening, not the items. A client's apply to what it sends; a
server's to what comes for its mailboxes, over the wire or from its own process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from google.protobuf.message import Message

from grid.deadline import Deadline
from grid.errors import Filtered, InvalidArgument

__all__ = [
    "CallKind",
    "Filter",
    "IncomingCall",
    "Interception",
    "Interceptor",
    "OutgoingCall",
    "Proceed",
]

C = TypeVar("C")
Call = TypeVar("Call", bound="OutgoingCall | IncomingCall")

_UNWIND = 2.0  # seconds that cancelled interceptors get to clean up

CallKind = Literal["request", "tell", "stream"]


@dataclass(slots=True)
class OutgoingCall:
    """A message that a client is about to send; each field may be changed before it goes on.

    `proceed` returns the reply to a request (of any type: the one that the
    caller asked for is checked last), None of a tell, and of a stream the
    opened `Stream`, which an interceptor returns.

    Attributes:
        name: the mailbox it goes to.
        message: what is sent.
        kind: `request`, `tell` or `stream`; to change it has no effect.
        timeout: seconds for all of it, interceptors included, from the call on.
        metadata: what the receiver shall know about it.
    """

    name: str
    message: Message
    kind: CallKind
    timeout: float
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class IncomingCall:
    """A message that has come for a mailbox; its message and metadata may be changed.

    `proceed` puts it into the mailbox. It returns the reply to a request once
    its owner has answered, and raises if that failed it; of a tell it returns
    None at once, and of a stream when its owner has accepted it. An interceptor
    refuses by raising: a `GridError` reaches the sender as itself, for example
    `RequestFailed("no token", "UNAUTHENTICATED")`, another exception as
    `RequestFailed`. So does an error that would let the sender send again, such as
    `ReceiverBusy`, once the owner has had the message. It is cancelled when the
    caller no longer waits.

    Attributes:
        name: the mailbox's name.
        message: what was sent.
        kind: `request`, `tell` or `stream`; to change it has no effect.
        deadline: by when the caller wants the answer; None if it did not say.
        metadata: what the sender said about it.
    """

    name: str
    message: Message
    kind: CallKind
    deadline: Deadline | None = None
    metadata: dict[str, str] = field(default_factory=dict)


Proceed: TypeAlias = Callable[[C], Awaitable[Any]]
Interceptor: TypeAlias = Callable[[C, Proceed[C]], Awaitable[Any]]
Filter: TypeAlias = Callable[[C], Awaitable[bool]]


class Interception(Generic[Call]):
    """The filters and interceptors of one side, and the tasks that run them.

    `Client` and `Server` derive theirs from it; it is not meant for users.

    Raises:
        InvalidArgument: one of them cannot be called.
    """

    def __init__(self, filters: Iterable[Filter[Call]], interceptors: Iterable[Interceptor[Call]]):
        self._filters = _checked("filters", filters)
        self._interceptors = _checked("interceptors", interceptors)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._filters or self._interceptors)

    @property
    def busy(self) -> bool:
        """True while a call is in the interceptors."""
        return bool(self._tasks)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task that runs them until it ends; `close` cancels it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until no call is in the interceptors."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, grace: float = 0.0) -> None:
        """Cancel the tasks that do not end within `grace` seconds."""
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_UNWIND)

    async def filter(self, call: Call, side: str) -> None:
        """Raise `Filtered` unless each filter lets the call go on."""
        for keep in self._filters:
            if not await keep(call):
                raise Filtered(call.name, side)

    def chain(self, last: Proceed[Call]) -> Proceed[Call]:
        """The interceptors around `last`, the first outermost."""
        for one in reversed(self._interceptors):
            last = _around(one, last)
        return last


def _around(interceptor: Interceptor[C], proceed: Proceed[C]) -> Proceed[C]:
    def enter(call: C) -> Awaitable[Any]:
        return interceptor(call, proceed)

    return enter


def _checked(name: str, functions: Iterable[Callable[..., Any]]) -> tuple[Any, ...]:
    given = tuple(functions) if isinstance(functions, Iterable) else (functions,)
    if not isinstance(functions, Iterable) or not all(callable(one) for one in given):
        raise InvalidArgument(name, functions, "a list of async functions")
    return given
