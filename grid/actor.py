"""Actors: the protocol that users implement, and the context that an actor gets.

An actor is an object with `async def act(ctx)`, an async function of the
context, or a plain blocking function of it, which then runs in a thread of its
own with a blocking context. It holds its name from before `act` is called
until after it has returned.

An actor is asked to end before it is made to. `ctx.stopping` is set, its
mailboxes take nothing new, and iterating over them ends after what they hold;
so an actor that serves a mailbox ends by itself. One that is still there after
the grace is cancelled, the asyncio way. An actor that holds no mailbox and
never looked at `ctx.stopping` has no other way to learn of it, so it is
cancelled at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from grid.aio import Opening, check_loop
from grid.client.reminders import Owner, remind
from grid.deadline import Deadline
from grid.errors import InvalidArgument
from grid.exposers import opening_of
from grid.mailbox.mailbox import Groups, Mailbox
from grid.plain import AnyMessage
from grid.registry.reminders import Reminder
from grid.state import ActorState
from grid.timers import Timer, Timers

if TYPE_CHECKING:
    from grid.client.client import Client

__all__ = ["Actor", "ActorContext", "ActorLog", "StopSignal"]

_log = logging.getLogger("grid.actor")

T = TypeVar("T")


@runtime_checkable
class Actor(Protocol):
    """An actor: the object that a definition's factory returns."""

    def act(self, ctx: ActorContext, /) -> Awaitable[None]:
        """Do the work; return when it is done, or when `ctx.stopping` is set."""
        ...


class StopSignal:
    """Set when the actor shall end. True in a condition once it is set."""

    __slots__ = ("_event", "_is_set", "_loop", "reason")

    def __init__(self) -> None:
        self._loop = asyncio._get_running_loop()
        self._is_set = False
        self._event: asyncio.Event | None = None  # made when first waited for: few do
        self.reason: str = ""

    def __bool__(self) -> bool:
        return self._is_set

    def __repr__(self) -> str:
        return f"<StopSignal {self.reason or 'not set'}>"

    def is_set(self) -> bool:
        """True once the actor shall end."""
        return self._is_set

    async def wait(self) -> None:
        """Return once the actor shall end; raises `WrongEventLoop` on another loop than its own."""
        check_loop(self._loop, "actor")
        if not self._is_set:
            if self._event is None:
                self._event = asyncio.Event()
            await self._event.wait()

    def _set(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._is_set = True
        if self._event is not None:
            self._event.set()


class ActorLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines say which actor wrote them.

    Each line begins with the actor's full name, its epoch and its peer. For structured logs its
    record has the attributes `actor`, `actor_type`, `actor_name`, `epoch` and `peer`, as have the
    lines that the server writes about an actor.
    """

    def __init__(self, context: ActorContext) -> None:
        super().__init__(_log, context._log_fields())

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the actor to a line, beside the `extra` of the call."""
        own = self.extra or {}
        kwargs["extra"] = {**own, **(kwargs.get("extra") or {})}
        return f"{own['actor']}@{own['epoch']} on {own['peer']}: {msg}", kwargs


class Resources(Protocol):
    """The resources of the server that an actor runs on; see `Server.provide`."""

    def find(self, annotation: Any, what: str) -> Any:
        """The resource for a class; `what` it is for is said in the error."""

    def state_of(self, context: ActorContext) -> ActorState:
        """The state of an actor, in the store that was provided."""


class ActorContext:
    """The identity of an actor, and its way to the rest of the grid.

    Attributes:
        name: the actor's name.
        id: its full name, `<namespace>.actor.<name>`.
        type: the definition it was started by.
        namespace: the grid it belongs to.
        peer: the name of the peer it runs on.
        epoch: the fence of this incarnation. Larger at each new owner of the
            name; hand it to outside stores to keep an older one from writing.
        data: the opaque bytes it was started with.
        client: the peer's client, shared by all its actors; do not close it.
        deadline: by when it must have ended; None until it is asked to.
    """

    def __init__(
        self,
        *,
        name: str,
        id: str,  # noqa: A002
        type: str,  # noqa: A002
        namespace: str,
        peer: str,
        epoch: int,
        data: bytes,
        client: Client,
        mailbox: Mailbox | None,
        open_mailbox: Callable[[str, int, str, Groups | None], Opening[Mailbox]],
        resources: Resources | None = None,
    ) -> None:
        self.name = name
        self.id = id
        self.type = type
        self.namespace = namespace
        self.peer = peer
        self.epoch = epoch
        self.data = data
        self.client = client
        self.deadline: Deadline | None = None
        self._mailbox = mailbox
        self._open_mailbox = open_mailbox
        self._resources = resources
        self._stopping = StopSignal()
        self._watches_stopping = False

    def __repr__(self) -> str:
        return f"<ActorContext {self.id} on {self.peer} epoch={self.epoch}>"

    @cached_property
    def log(self) -> ActorLog:
        """A logger (`grid.actor`) whose lines say which actor wrote them."""
        return ActorLog(self)

    def after(self, seconds: float, call: Callable[[], Awaitable[object] | object]) -> Timer:
        """Call a function once, after some seconds, unless the actor has ended by then.

        Where the actor serves its requests one after another by handlers, the call takes its
        turn among them.

        Args:
            seconds: time until the call.
            call: a function without arguments, async or not. Its error is logged.

        Raises:
            InvalidArgument: `seconds` is no number of seconds, or `call` is no function, or one
                that needs arguments.
            WrongEventLoop: this is not the actor's loop.
        """
        check_loop(self._stopping._loop, "actor")
        return self._timers.start(seconds, call, again=False)

    def every(self, seconds: float, call: Callable[[], Awaitable[object] | object]) -> Timer:
        """Call a function again and again, `seconds` apart, while the actor runs; see `after`.

        A call that comes due while the one before it still runs is skipped.
        """
        check_loop(self._stopping._loop, "actor")
        return self._timers.start(seconds, call, again=True)

    async def remind(
        self,
        name: str,
        message: AnyMessage,
        *,
        after: float | None = None,
        every: float | None = None,
    ) -> Reminder:
        """Have a message sent to this actor later, even if it or its peer have ended by then.

        The reminder is kept in etcd. When it is due, its message comes as a request, with the
        metadata `grid-reminder` (its name) and `grid-reminder-due` (seconds since 1970); an actor
        that does not run is started by its type and start bytes. It comes at least once: twice, if
        the answer was lost. A failed answer counts as one. If no peer can start the
        actor it is tried again and again, and `grid reminders` shows the error.

        Args:
            name: the reminder's name; another one of that name is replaced.
            message: the message.
            after: seconds until it is due; by default those of `every`.
            every: seconds from one time to the next, 1 at least; by default it comes once. Of
                the times that were missed, one is made up for.

        Returns:
            The reminder, with its time.

        Raises:
            InvalidName, InvalidArgument, UnsupportedMessage, MessageTooLarge: before any I/O.
            LeaseLost: the actor no longer has its name.
            EtcdUnavailable: it may be kept or not. Asking again is safe.
        """
        check_loop(self._stopping._loop, "actor")
        if self._mailbox is None:
            raise InvalidArgument("ctx.remind", name, "an actor with a mailbox: mailbox=64")
        owner = Owner(self.id, self.epoch, self.name, name, self.type, self.data)
        return await remind(self.client, owner, message, after=after, every=every)

    async def forget(self, name: str) -> bool:
        """Remove a reminder of this actor; False if there is none of that name.

        One that is being sent may still come. Raises as `Client.forget_reminder` does.
        """
        return await self.client.forget_reminder(self.name, name)

    async def reminders(self) -> list[Reminder]:
        """The reminders of this actor that wait; raises as `Client.reminders` does."""
        return await self.client.reminders(self.name)

    def _log_fields(self) -> dict[str, object]:
        return {
            "actor": self.id,
            "actor_type": self.type,
            "actor_name": self.name,
            "epoch": self.epoch,
            "peer": self.peer,
        }

    @cached_property
    def _timers(self) -> Timers:
        return Timers(self.id, self.log)

    def _begin_timers(self) -> None:
        if "_timers" in self.__dict__:
            self._timers.open()

    async def _end_run(self) -> None:
        """End what a run of the actor has begun here: its timers, and what it exposes."""
        await self._timers.close()
        exposed: list[Any] = self.__dict__.pop("_exposed", [])
        for one in reversed(exposed):
            await one.__aexit__(None, None, None)

    def expose(self, subject: object, **options: Any) -> Opening[Any]:
        """Let others in the grid use an object of this actor, such as a state machine.

        Awaited, it stays exposed until the actor ends; entered (`async with`), until the
        block is left. What can be exposed, and how it is used, is for other packages to
        say; for machines it is `rpc`, whose `rpc.Server` is returned and takes the options:
        `await ctx.expose(lights, interval=0.1)`, elsewhere `rpc.Client(client, "lights")`.

        Raises:
            InvalidArgument: no installed package exposes such an object.

        Raises (once entered or awaited):
            InvalidName, AlreadyRegistered, LeaseLost, EtcdUnavailable: as of `open_mailbox`.
        """
        check_loop(self._stopping._loop, "actor")
        opening = opening_of(self, subject, options)

        async def exposed() -> Any:
            opened = await opening
            self.__dict__.setdefault("_exposed", []).append(opened)
            return opened

        return Opening(exposed)

    @property
    def stopping(self) -> StopSignal:
        """Set when the actor shall end; look at it or wait for it."""
        self._watches_stopping = True
        return self._stopping

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox of the actor's own name.

        It is there if the definition asks for one (`mailbox=64`); name and
        mailbox are then claimed together, so that an actor whose start was
        acknowledged can be sent requests at once.
        """
        if self._mailbox is None:
            raise RuntimeError(
                f"actor type {self.type!r} is defined without a mailbox: "
                f"define it with mailbox=64, or use ctx.open_mailbox()"
            )
        return self._mailbox

    @cached_property
    def state(self) -> ActorState:
        """The state that outlives the actor, in the store that the server was given.

        Raises:
            InvalidArgument: it was given none; see `grid.state` for those there are.
        """
        if self._resources is None:
            raise InvalidArgument("ctx.state", None, "the state of an actor on a server")
        return self._resources.state_of(self)

    def _cut_state(self, reason: str) -> None:
        if "state" in self.__dict__:
            self.state._cut(reason)

    async def _save_at_end(self) -> None:
        if "state" in self.__dict__:
            await self.state._end()

    def provided(self, kind: type[T]) -> T:
        """The resource that the server was given as this class; see `Server.provide`.

        Raises:
            InvalidArgument: nothing was, or several things fit.
        """
        if self._resources is None:
            raise InvalidArgument("a resource", kind, "one that server.provide was given")
        found: T = self._resources.find(kind, "a resource")
        return found

    def open_mailbox(
        self,
        name: str | None = None,
        *,
        size: int = 64,
        type: str = "",  # noqa: A002
        groups: Groups | None = None,
    ) -> Opening[Mailbox]:
        """A mailbox that closes with the actor; its own name by default.

        Use it as `async with ctx.open_mailbox("orders") as mailbox:`, or await it.

        Args:
            name: its name.
            size: requests that it holds at most while none is read.
            type: registered with the name, for clients that look for mailboxes of a kind.
            groups: paths of groups that are registered together with the name, each with
                what it offers; they go with it.

        Raises (once entered or awaited):
            InvalidName: the name breaks the rule.
            AlreadyRegistered: the name or a path has an owner.
            LeaseLost, EtcdUnavailable: it cannot be claimed now.
        """
        return self._open_mailbox(self.name if name is None else name, size, type, groups)
