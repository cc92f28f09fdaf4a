"""The sessions to one address: dialled when needed, used in turn, replaced when lost.

Only callers that need a dial wait for it, and they wait together: dials to one
address are one dial, and when it fails all of them fail at once. Messages that
a lost session had not written go to the next one, within their deadlines; those
it had written end at once, with an unknown outcome.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable

import grpc

from grid.aio import being_cancelled
from grid.deadline import now, reschedule
from grid.errors import (
    ClientClosed,
    GridError,
    MessageTooLarge,
    NotDelivered,
    OutcomeUnknown,
    PeerUnreachable,
    SecurityError,
)
from grid.transport._credentials import DialCredentials
from grid.transport._pool_policy import PoolPolicy
from grid.transport._targets import Targets, cause, connect
from grid.transport._token_gate import token_refused
from grid.transport.exchanges import Unwritten
from grid.transport.link import Link, Overdue
from grid.transport.settings import SessionSettings
from grid.transport.statistics import (
    BreakerStatistics,
    Counters,
    PoolStatistics,
    counted,
    total,
)
from grid.transport.stream_end import StreamEnd
from grid.transport.stream_ports import SessionPort
from grid.transport.wire import Wire

__all__ = ["NoSessions", "Pool"]

_log = logging.getLogger("grid.transport")

_DIAL_SECONDS = 5.0
_IDLE_JITTER = 0.1
_GROW_AGAIN = 1.0  # seconds after a further session could not be made


class NoSessions(Exception):
    """The peer has no `Session`: it is served by `Process`."""


class Pool:
    """The sessions to one address.

    Args:
        address: where.
        targets: the targets to dial, the best first.
        settings: of each session.
        maximum: sessions at most.
        idle: seconds after which an unused session is closed.
        dials: bounds how many dials are under way, of all pools together.
        changed: called when `single` may have changed.
        credentials: those of TLS, for targets that have it.

    Attributes:
        targets: see above; they change with the peer at the address.
        dropped: True once the transport has let go of it; nothing is dialled any more.
    """

    def __init__(
        self,
        address: str,
        targets: Targets,
        *,
        settings: SessionSettings,
        maximum: int,
        idle: float,
        dials: asyncio.Semaphore,
        changed: Callable[[Pool], None],
        credentials: DialCredentials | None = None,
    ) -> None:
        self.address = address
        self.targets = targets
        self._settings = settings
        self._idle = idle
        self._dials = dials
        self._changed = changed
        self._credentials = credentials
        self._policy: PoolPolicy[Link] = PoolPolicy(maximum)
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._dialling: asyncio.Task[Link] | None = None
        self._limit: asyncio.Timeout | None = None  # of the dial under way
        self._pending: list[Unwritten] = []
        self._when_unused: Callable[[Pool], None] | None = None
        self.dropped = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_at = math.inf
        self._grow_at = 0.0
        self._closed = False
        self._ended = Counters()
        self._tried = 0
        self._failed = 0

    @property
    def single(self) -> Link | None:
        """The only session there is, if no other shall be made now; for the fast path."""
        members = self._policy.members
        return members[0] if len(members) == 1 and self._policy.maximum == 1 else None

    @property
    def links(self) -> tuple[Link, ...]:
        """All sessions, also those that take nothing new."""
        return tuple(self._links)

    @property
    def unused(self) -> bool:
        """True if there is nothing here to keep."""
        return not (self._links or self._dialling or self._pending)

    def drop_when_unused(self, drop: Callable[[Pool], None]) -> None:
        """Call `drop` once there is nothing here to keep, perhaps now."""
        self._when_unused = drop
        self._drop_if_unused()

    def pick(self) -> Link | None:
        """A session to use at once; None if there is none yet."""
        policy = self._policy
        if policy.wants_more() and not (policy.members and now() < self._grow_at):
            self._dial()
        return policy.pick()

    async def ready(self) -> Link:
        """A session, dialled if there is none.

        Raises:
            PeerUnreachable: no connection could be made.
            SecurityError: the two sides do not trust each other.
            NoSessions: the peer does not offer sessions.
            ClientClosed: nothing is dialled any more.
        """
        while not self._closed:
            if self.dropped:
                raise PeerUnreachable(self.address, "its peer has left")
            link = self.pick()
            if link is not None:
                return link
            try:
                await asyncio.shield(self._dial())
            except (PeerUnreachable, SecurityError) as error:
                # Each waiting caller raises an error of its own.
                raise type(error)(**error.attributes()) from None
            except asyncio.CancelledError:
                if self._closed and not being_cancelled():
                    break
                raise
        raise ClientClosed

    def submit(self, opening: Unwritten) -> None:
        """Send a message that another session did not write, on the next one there is."""
        if opening.token.done():
            return
        link = self.pick()
        if link is None:
            if not self._pending:
                self._dial().add_done_callback(self._house)
            self._pending.append(opening)
            self._expire_at(opening.at)
            return
        try:
            number = link.open(opening)
        except MessageTooLarge as error:
            opening.token.set_exception(error)
            return
        if isinstance(opening.token, StreamEnd):
            opening.token.bind(SessionPort(link.session, number))

    async def close(self) -> None:
        """End all sessions, and their exchanges, at once."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks: list[asyncio.Task[object]] = [*self._links.values()]
        if self._dialling is not None:
            tasks.append(self._dialling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def heard_at(self) -> float:
        """The time of the last frame that came, on the clock of `deadline.now`; 0 if none has."""
        return max((link.heard_at for link in self._links), default=0.0)

    def ask_for_sign(self, silence: float) -> None:
        """Ping the other side after `silence` seconds without a frame; see `heard_at`."""
        if now() - self.heard_at > silence:
            for link in self._links:
                link.ask_for_sign(silence)

    def statistics(self, breaker: BreakerStatistics | None = None) -> PoolStatistics:
        """A snapshot of the pool: its sessions, and the sums of all it has had.

        Args:
            breaker: of the address, if it has one.
        """
        sessions = tuple(link.statistics() for link in self._links)
        return PoolStatistics(
            **counted(total((self._ended, *sessions))),
            address=self.address,
            sessions=sessions,
            dialling=self._dialling is not None,
            waiting=len(self._pending),
            dials=self._tried,
            failed_dials=self._failed,
            maximum=self._policy.maximum,
            breaker=breaker,
        )

    # -- dialling ---------------------------------------------------------------------

    def _dial(self) -> asyncio.Task[Link]:
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._dial_first(), name=f"dial {self.address}")
            self._dialling.add_done_callback(self._dialled)
        return self._dialling

    def _dialled(self, task: asyncio.Task[Link]) -> None:
        self._dialling = self._limit = None
        if not task.cancelled() and task.exception() is not None:
            self._grow_at = now() + _GROW_AGAIN
            _log.debug("dialling %s: %s", self.address, task.exception())
        self._drop_if_unused()

    async def _dial_first(self) -> Link:
        try:
            async with asyncio.timeout(None) as self._limit:
                return await self._dial_targets()
        except TimeoutError:
            self._failed += 1
            raise PeerUnreachable(self.address, "a name that it had has moved") from None

    async def _dial_targets(self) -> Link:
        error: PeerUnreachable | SecurityError
        error = PeerUnreachable(self.address, "no address to dial")
        for target in self.targets:
            try:
                async with self._dials:
                    self._tried += 1
                    began = now()
                    return await self._dial_one(target)
            except PeerUnreachable as failure:
                self._failed += 1
                error = failure
                if now() - began < _DIAL_SECONDS:  # a hole tells nothing
                    error = await cause(target, self.address, self._credentials) or failure
        raise error

    def moved(self) -> None:
        """End the dial that is under way: a name that the address had is elsewhere now.

        Its waiters get `PeerUnreachable`, so that the name is resolved again. An
        address that is gone without a refusal would hold them up for the whole dial.
        """
        if self._dialling is not None and self._limit is not None:
            reschedule(self._limit, asyncio.get_running_loop().time())

    async def _dial_one(self, target: str) -> Link:
        wire, close = await connect(target, self.address, self._credentials)
        link = Link(wire, dialled=True, settings=self._settings)
        link.address = self.address
        link.on_unwritten = self._take_back
        link.on_parting = lambda: self._part(link)
        link.idle_limit = self._idle * random.uniform(1 - _IDLE_JITTER, 1 + _IDLE_JITTER)
        carrying = asyncio.create_task(self._carry(link, close), name=f"session {self.address}")
        self._links[link] = carrying
        try:
            await self._greeted(link, wire, carrying)
        except BaseException:
            carrying.cancel()
            await asyncio.wait((carrying,))
            if self._links.pop(link, None) is not None:  # cancelled before it began
                await close()
            raise
        if link.parting:
            raise PeerUnreachable(self.address, link.reason or "it takes nothing new")
        self._policy.add(link)
        self._changed(self)
        return link

    async def _greeted(self, link: Link, wire: Wire, carrying: asyncio.Task[None]) -> None:
        await asyncio.wait(
            (link.ready, carrying),
            timeout=_DIAL_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if link.ready.done() and not link.ready.cancelled():
            return
        if wire.status is grpc.StatusCode.UNIMPLEMENTED:
            raise NoSessions
        if wire.status is grpc.StatusCode.UNAUTHENTICATED:
            tls = None if self._credentials is None else self._credentials.tls
            raise token_refused(self.address, tls)
        reason = link.reason or f"no answer within {_DIAL_SECONDS:g} s"
        raise PeerUnreachable(self.address, reason)

    async def _carry(self, link: Link, close: Callable[[], Awaitable[None]]) -> None:
        try:
            await link.run()
        finally:
            self._part(link)
            if self._links.pop(link, None) is not None:
                self._ended = total((self._ended, link.statistics()))
            self._drop_if_unused()
            await close()

    # -- losing --------------------------------------------------------------------------

    def _drop_if_unused(self) -> None:
        if self._when_unused is not None and self.unused and not self.dropped:
            self._when_unused(self)

    def _part(self, link: Link) -> None:
        self._policy.remove(link)
        self._changed(self)

    def _take_back(self, unwritten: list[Unwritten]) -> None:
        for one in unwritten:
            if self._closed:
                _fail(one, ClientClosed())
            else:
                self.submit(one)

    def _house(self, dialled: asyncio.Task[Link]) -> None:
        pending, self._pending = self._pending, []
        at = now()
        for one in pending:
            if one.at <= at:
                _fail(one, Overdue("overdue"))
            elif dialled.cancelled():
                _fail(one, ClientClosed())
            elif (error := dialled.exception()) is not None:
                _fail(one, self._undelivered(error))
            else:
                self.submit(one)
        self._drop_if_unused()

    def _undelivered(self, error: BaseException) -> GridError:
        if isinstance(error, SecurityError):
            return type(error)(**error.attributes())
        return PeerUnreachable(self.address, _reason(error))

    def _expire_at(self, at: float) -> None:
        if at < self._sweep_at:
            if self._sweeper is not None:
                self._sweeper.cancel()
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(max(0.0, at - now()), self._expire_pending)
            self._sweep_at = at

    def _expire_pending(self) -> None:
        self._sweep_at = math.inf
        at = now()
        pending, self._pending = self._pending, []
        for one in pending:
            if one.at <= at:
                _fail(one, Overdue("overdue"))
            elif not one.token.done():
                self._pending.append(one)
                self._expire_at(one.at)
        self._drop_if_unused()


def _reason(error: BaseException) -> str:
    if isinstance(error, PeerUnreachable):
        return error.reason
    if isinstance(error, NoSessions):
        return "the peer has no sessions any more"
    return repr(error)


def _fail(opening: Unwritten, error: BaseException) -> None:
    if opening.written and isinstance(error, NotDelivered):
        error = OutcomeUnknown(f"it was written once, and then: {error}")
    if not opening.token.done():
        opening.token.set_exception(error)
