"""A probe: one actor alone, without etcd, peer or network, in virtual time.

The actor runs as it does on a server: its factory and resources, its handlers or its loop, its
mailbox, timers and state are the real ones, and messages are encoded and decoded. What it would
do to others goes to a fake client, which records it and answers as it is told. Timers follow a
virtual clock, so that an hour passes as soon as it is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from grid.actor import ActorContext
from grid.aio import Opening
from grid.client.reminders import DUE, REMINDER, Owner
from grid.codec import Codec, default_codec
from grid.errors import GridError, NotDelivered
from grid.mailbox.mailbox import Mailbox
from grid.numbers import check_seconds
from grid.plain import AnyMessage, of_type, type_name
from grid.registry.reminders import Reminder
from grid.server.definitions import (
    DEFAULT_MAILBOX,
    Definition,
    factory_of,
    is_made_of_handlers,
)
from grid.server.resources import Resources
from grid.server.restarts import Restarts
from grid.server.runs import ActorRuns, make_actor
from grid.state import MemoryStore, Store
from grid.timers import Timers
from grid.transport.answer import FutureAnswer, Reply

__all__ = ["ActorProbe", "FakeClient", "VirtualClock"]

M = TypeVar("M", bound=AnyMessage)

_LIMIT = 100 * 1024 * 1024  # bytes of a message
_END = 5.0  # seconds for an actor to end once it was told to


class VirtualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._settling: dict[asyncio.Task[Any], asyncio.Future[None]] = {}

    def time(self) -> float:
        """Seconds since its beginning."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has gone on by that time."""
        task = asyncio.current_task()
        if task is not None:
            self._settle(task)
        if seconds <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken
        if task is not None:
            self._settling[task] = asyncio.get_running_loop().create_future()
            task.add_done_callback(self._settle)

    async def advance(self, seconds: float) -> None:
        """Let time pass: all that comes due is called in its order, and has ended on return.

        Raises:
            InvalidArgument: time does not go back.
        """
        check_seconds("seconds", seconds)
        await asyncio.sleep(0)  # timers that were started just now begin to sleep
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await asyncio.sleep(0)
            while self._settling:
                await asyncio.wait(list(self._settling.values()))
        self._now = until

    def _settle(self, task: asyncio.Task[Any]) -> None:
        settling = self._settling.pop(task, None)
        if settling is not None and not settling.done():
            settling.set_result(None)


class FakeClient:
    """A client that sends nothing: it records messages, and answers as it is told.

    Reminders come while their actor's probe lasts, in virtual time.

    Attributes:
        sent: the name and the message of each request and tell, in their order.
    """

    def __init__(
        self, clock: VirtualClock, remember: Callable[[Reminder, Any], asyncio.Task[None]]
    ) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._answers: dict[str, Any] = {}
        self._clock = clock
        self._remember = remember
        self._reminders: dict[tuple[str, str], tuple[Reminder, asyncio.Task[None]]] = {}

    def answer(self, name: str, reply: Any) -> None:
        """Say what a mailbox answers: a message, an error, or a function of the message."""
        self._answers[name] = reply

    async def request(
        self, name: str, message: AnyMessage, *, reply: type[Any] | None = None, **options: Any
    ) -> Any:
        """Record a request and return its answer, or raise `NotDelivered` if there is none."""
        self.sent.append((name, message))
        if name not in self._answers:
            raise NotDelivered(f"the probe's client has no answer for {name!r}: client.answer()")
        found = self._answers[name]
        if callable(found) and not isinstance(found, type):
            found = found(message)
        if isinstance(found, BaseException):
            raise found
        return found if reply is None else of_type(reply, found)

    async def tell(self, name: str, message: AnyMessage, **options: Any) -> None:
        """Record a tell."""
        self.sent.append((name, message))

    async def _keep_reminder(
        self, owner: Owner, message: AnyMessage, wait: float, every: float
    ) -> Reminder:
        actor, name, due = owner.actor, owner.reminder, self._clock.time() + wait
        sent = type_name(type(message))
        kept = Reminder(actor, name, owner.type, due, every, sent, data=owner.data)
        self._forget(actor, name)
        self._reminders[actor, name] = kept, self._remember(kept, message)
        return kept

    async def reminders(self, actor: str | None = None) -> list[Reminder]:
        """The reminders that are still to come."""
        kept = [one for one, task in self._reminders.values() if not task.done()]
        return sorted((one for one in kept if actor in (None, one.actor)), key=lambda one: one.name)

    async def forget_reminder(self, actor: str, name: str) -> bool:
        """Forget a reminder; False if there is none."""
        return self._forget(actor, name)

    def _forget(self, actor: str, name: str) -> bool:
        _, task = self._reminders.pop((actor, name), (None, None))
        return task is not None and task.cancel()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the client of a probe has no {name!r}: it has request, tell, answer and reminders; "
            "for the rest, test with the fixtures grid_server and grid_client"
        )


class ActorProbe:
    """An actor alone: `async with ActorProbe(Account) as actor: await actor.request(...)`.

    Args:
        target: what `server.actor` decorates: a class or a function.
        name: of the actor.
        data: the bytes of its start.
        mailbox: requests that its mailbox holds.
        concurrency: see `Server.actor`.
        resources: what it may ask for by annotations; without a store, a `MemoryStore` is added.
        epoch: of the actor; a later probe on the same store needs a larger one, as owners have.
        codec: the message types that are known.

    Attributes:
        context: the actor's context.
        client: the fake client that is its `ctx.client`.
        clock: the clock of its timers.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "probe",
        data: bytes = b"",
        mailbox: int = DEFAULT_MAILBOX,
        concurrency: int = 1,
        resources: Iterable[Any] = (),
        epoch: int = 1,
        codec: Codec = default_codec,
    ) -> None:
        self._resources = Resources()
        given = list(resources)
        for one in given:
            self._resources.add(one, None, enter=False)
        if not any(isinstance(one, Store) for one in given):
            self._resources.add(MemoryStore(), None, enter=False)
        self._resources.serve(codec, _LIMIT)
        self._definition = Definition(
            "probe",
            factory_of(target, self._resources),
            mailbox,
            concurrency if is_made_of_handlers(target) else 1,
            resources=self._resources,
        )
        self._name = name
        self._data = data
        self._epoch = epoch
        self._codec = codec
        self._task: asyncio.Task[None] | None = None
        self._reminding: set[asyncio.Task[None]] = set()
        self.clock: VirtualClock = VirtualClock()
        self.client: FakeClient = FakeClient(self.clock, self._remember)

    async def __aenter__(self) -> Self:
        mailboxes = [self._mailbox(self._name, self._definition.mailbox or DEFAULT_MAILBOX)]

        def open_mailbox(name: str, size: int, *_: Any) -> Opening[Mailbox]:
            async def opened() -> Mailbox:
                mailboxes.append(self._mailbox(name, size))
                return mailboxes[-1]

            return Opening(opened)

        self.mailbox: Mailbox = mailboxes[0]
        self.context: ActorContext = ActorContext(
            name=self._name,
            id=f"test.actor.{self._name}",
            type="probe",
            namespace="test",
            peer="probe",
            epoch=self._epoch,
            data=self._data,
            client=cast("Any", self.client),
            mailbox=self.mailbox,
            open_mailbox=open_mailbox,
            resources=self._resources,
        )
        timers = Timers(self.context.id, self.context.log, clock=self.clock)
        self.context.__dict__["_timers"] = timers
        make: Callable[[], Any] = lambda: make_actor(self._definition, self._data)  # noqa: E731
        runs = ActorRuns(
            self.context, self.mailbox, mailboxes, Restarts(self._definition.restart), make
        )
        self._task = asyncio.create_task(runs.run(make()), name=f"actor {self._name}")
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Tell the actor to end, as a drain does, and wait; raises what it ended by. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self.context._stopping._set("the probe ends")
        self.mailbox._drain()
        await asyncio.wait([task], timeout=_END if self.context._watches_stopping else 0.5)
        task.cancel()
        for reminding in self._reminding:
            reminding.cancel()
        await asyncio.wait([task, *self._reminding])
        await self.mailbox.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def request(
        self,
        message: AnyMessage,
        *,
        reply: type[Any] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        """Send the actor a message and return its answer; raises as `Client.request` does."""
        name, data = self._codec.encode(message, limit=_LIMIT)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answer = FutureAnswer(future, math.inf)
        try:
            own = self._codec.decode(name, data)
            self.mailbox._put(own, name, dict(metadata or {}), answer)
        except GridError as error:
            answer.reject(error)
        try:
            answered, payload = await self._answered(future)
        finally:
            answer.cancel()
        found = self._codec.decode(answered, payload)
        return found if reply is None else of_type(reply, found)

    def _remember(self, reminder: Reminder, message: Any) -> asyncio.Task[None]:
        async def send(due: float) -> None:
            told = {REMINDER: reminder.name, DUE: f"{due:.3f}"}
            with contextlib.suppress(GridError):  # a failed answer counts as one
                await self.request(message, metadata=told)

        async def remind(due: float) -> None:
            while True:
                await self.clock.sleep(due - self.clock.time())
                sending = asyncio.create_task(send(due), name="reminder that is sent")
                try:
                    await asyncio.shield(sending)
                except asyncio.CancelledError:
                    # Its actor may have replaced or forgotten it just now, and still handles it.
                    await asyncio.wait([sending])
                    raise
                if not reminder.every:
                    return
                due += reminder.every

        task = asyncio.create_task(remind(reminder.due), name="reminder")
        self._reminding.add(task)
        task.add_done_callback(self._reminding.discard)
        return task

    async def _answered(self, future: asyncio.Future[Reply]) -> Reply:
        if self._task is not None and not future.done():
            first: list[asyncio.Future[Any]] = [future, self._task]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():  # the actor has ended: its mailbox answers what is left
                await self.mailbox.close()
        return await future

    def _mailbox(self, name: str, size: int) -> Mailbox:
        async def release(_: Mailbox) -> None:
            return None

        made = Mailbox(
            name,
            f"test.mailbox.{name}",
            size,
            codec=self._codec,
            limit=_LIMIT,
            release=release,
        )
        made.epoch = self._epoch
        return made
