"""A message on its way through a peer's filters and interceptors to its mailbox.

Each has a task. The sender's answer is watched: when its sender waits no
more, the task is cancelled. What is in the mailbox has an answer of its own,
whose outcome `proceed` returns, and which ends with the task, so that the owner
sees that its sender has left.

What has not come to its mailbox yet counts as held by it, so that a flood
before a slow interceptor is refused as it is before a slow owner. Coming there,
it has to pass the dispatcher's gate once more: the lease may be lost by then.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from grid import trace_context
from grid.deadline import Deadline, now
from grid.errors import (
    DeadlineExceeded,
    GridError,
    InvalidArgument,
    MailboxClosed,
    RequestDropped,
    RequestFailed,
    Retryable,
)
from grid.errors.classification import from_actor
from grid.interceptors import CallKind, IncomingCall, Interception
from grid.mailbox.mailbox import Mailbox
from grid.plain import is_message
from grid.transport.answer import Answer, FutureAnswer, Reply, Unanswerable

__all__ = ["IncomingInterception"]

_log = logging.getLogger("grid.server")

Find = Callable[[str, int], Mailbox]  # by full name and epoch, or raises


class IncomingInterception(Interception[IncomingCall]):
    """The filters and interceptors of a peer, and the messages that are in them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held: Counter[str] = Counter()  # by mailbox: messages that have not come to it

    def begin(
        self,
        mailbox: Mailbox,
        message: Message,
        type_name: str,
        metadata: Mapping[str, str] | None,
        answer: Answer,
        find: Find,
    ) -> None:
        """Bring a message to its mailbox through the filters and interceptors.

        Args:
            mailbox: where it goes.
            message: what was sent.
            type_name: under which name.
            metadata: what the sender says about it.
            answer: where the outcome goes.
            find: the mailbox, if it may still be given messages.

        Raises:
            ReceiverBusy: the mailbox would be full.
        """
        mailbox._check_room(self._held[mailbox.key])
        _Passage(self, mailbox, message, type_name, dict(metadata or {}), answer, find)


class _Passage:
    """One message between the wire and its mailbox."""

    def __init__(
        self,
        interception: IncomingInterception,
        mailbox: Mailbox,
        message: Message,
        type_name: str,
        metadata: dict[str, str],
        answer: Answer,
        find: Find,
    ) -> None:
        self._interception = interception
        self._mailbox = mailbox
        self._type_name = type_name
        self._answer = answer
        self._find = find
        self._held = True
        self._acted_upon = 0  # deliveries of which the owner may have done something
        interception._held[mailbox.key] += 1
        at = answer.at
        deadline = None if at == math.inf else Deadline(at, at - now())
        self._kind = _kind(answer)
        self._call = IncomingCall(mailbox.name, message, self._kind, deadline, metadata)
        # Not the context of the session, or of a caller in this process: neither's trace is its.
        context = contextvars.Context()
        context.run(trace_context.hand_out, metadata)
        task = asyncio.create_task(self._pass(), name="interceptors", context=context)
        task.add_done_callback(self._ended)
        interception.keep(task)
        answer.watch(lambda: task.cancel() if answer.cancelled else None)

    async def _pass(self) -> Any:
        call, interception = self._call, self._interception
        deadline = call.deadline
        limit = asyncio.timeout(None if deadline is None else deadline.remaining())
        try:
            async with limit:
                await interception.filter(call, "receiver")
                return await interception.chain(self._deliver)(call)
        except TimeoutError as error:
            if deadline is None or isinstance(error, GridError) or not limit.expired():
                raise
            what = f"interceptors of {self._mailbox.name!r}"
            raise DeadlineExceeded(what, deadline.timeout) from None

    async def _deliver(self, call: IncomingCall) -> Message | None:
        mailbox = self._find(self._mailbox.key, self._mailbox.epoch)
        if not is_message(call.message):
            raise InvalidArgument("the message of a call", call.message, "a message")
        if self._kind == "tell":
            self._put(mailbox, call, self._answer)
            return None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answer = FutureAnswer(future, self._answer.at)
        if self._kind == "stream":
            answer = _StreamInMailbox(future, self._answer)
        self._put(mailbox, call, answer)
        self._acted_upon += 1
        try:
            name, data = await future
        except Retryable:  # the grid's word, as whatever an owner says is a `RequestFailed`
            self._acted_upon -= 1
            raise
        finally:
            answer.cancel()
        return mailbox._codec.decode(name, data) if name else None

    def _put(self, mailbox: Mailbox, call: IncomingCall, answer: Answer) -> None:
        mailbox._put(call.message, self._type_name, dict(call.metadata), answer)
        self._leave()

    def _leave(self) -> None:
        if self._held:
            self._held = False
            held, key = self._interception._held, self._mailbox.key
            held[key] -= 1
            if not held[key]:
                del held[key]

    def _ended(self, task: asyncio.Task[Any]) -> None:
        came_to_mailbox = not self._held
        self._leave()
        error: GridError | None = None
        if task.cancelled():
            name = self._mailbox.name
            error = RequestDropped(name) if came_to_mailbox else MailboxClosed(name)
        elif (raised := task.exception()) is not None:
            error = self._refusal(raised)
        if self._kind == "tell" and came_to_mailbox:
            return  # its owner has it, and a tell has no answer
        if error is not None:
            self._answer.reject(error)
        elif self._kind != "tell" and not self._answer.done:
            self._respond(task.result())

    def _respond(self, reply: Any) -> None:
        mailbox = self._mailbox
        if self._kind == "stream" or not is_message(reply):
            wanted = "proceed" if self._kind == "stream" else "return a reply"
            _log.error("an interceptor of messages to %r did not %s", mailbox.name, wanted)
            self._answer.reject(RequestFailed(f"an interceptor did not {wanted}", "INTERNAL"))
            return
        try:
            encoded = mailbox._codec.encode(reply, limit=mailbox._limit, like=self._type_name)
            self._answer.resolve(*encoded)
        except GridError as error:
            self._answer.reject(error)

    def _refusal(self, error: BaseException) -> GridError:
        if isinstance(error, Retryable) and self._acted_upon:
            # Not as it is: its sender would take it for one that was not delivered, and send again
            # what the owner has done. So it is with an error of a request to another mailbox.
            return from_actor(error)
        if isinstance(error, GridError):
            return error
        _log.warning("a message to %r was refused", self._mailbox.name, exc_info=error)
        return RequestFailed(str(error) or type(error).__name__)


class _StreamInMailbox(FutureAnswer):
    """The answer to a request for a stream that is in the mailbox: accepted at its sender's."""

    __slots__ = ("_sender",)

    opens_stream = True

    def __init__(self, future: asyncio.Future[Reply], sender: Answer) -> None:
        super().__init__(future, sender.at)
        self._sender = sender

    def accept(self, stream: Any) -> bool:
        """See `Answer.accept`."""
        if self.done or not self._sender.accept(stream):
            return False
        self._finish()
        if not self._future.done():
            self._future.set_result(("", b""))
        return True


def _kind(answer: Answer) -> CallKind:
    if answer.opens_stream:
        return "stream"
    return "tell" if isinstance(answer, Unanswerable) else "request"
