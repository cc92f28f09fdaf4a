"""Requests to several members at once, and the choice of one by their bids."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import (
    DeadlineExceeded,
    GridError,
    InvalidArgument,
    NotDelivered,
    OutcomeUnknown,
    UnknownMailbox,
)
from rpc.buses.bus import DirectBus
from rpc.buses.members import Member, MemberTable
from rpc.service_pb2 import Call, Reply
from rpc.services.calls import Outgoing
from rpc.services.errors import AllDeclined, ServiceError, error_of
from rpc.services.failures import Attempts
from rpc.services.observers import CallWatch, tell_bids
from rpc.services.selection import Bid, Selection

__all__ = ["Asked", "Choice", "Ranked"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The outcome of bids.

    Attributes:
        number: the client's number of the bid.
        members: those that may be asked, the chosen one first; none if none was chosen.
        observed: those that want to know the outcome of their bid.
    """

    number: int
    members: list[Member]
    observed: list[Member]


class Choice:
    """Bids as they come, and what is wrong if none is chosen.

    Attributes:
        selection: the rules.
        chosen: the id of the chosen server.
        observed: servers that want to know the outcome of their bid.
    """

    def __init__(self, selection: Selection, attempts: Attempts) -> None:
        self.selection = selection
        self.chosen: str | None = None
        self._attempts = attempts
        self.observed: list[Member] = []
        self._scores: dict[str, float] = {}
        self._malformed: ServiceError | None = None

    def take(self, member: Member, outcome: Message | GridError) -> None:
        """Take the outcome of one member."""
        if isinstance(outcome, DeadlineExceeded):
            return  # as if it had not come: the time of the call may be noticed here first
        if isinstance(outcome, GridError):
            self._attempts.failed(member, outcome)
        elif isinstance(outcome, Reply) and not outcome.code:
            if outcome.observed and outcome.score > 0:
                self.observed.append(member)
            self._scores[member.server] = outcome.score
            self.chosen = self.selection.bid(Bid(member.server, outcome.score), now())
        elif isinstance(outcome, Reply):
            self._malformed = self._malformed or error_of(
                outcome.code, outcome.text, outcome.details, members=(member.server,)
            )

    def ranking(self, members: Mapping[str, Member]) -> list[Member]:
        """The members that may be asked, the chosen one first; none if none was chosen."""
        if self.chosen is None:
            return []
        if self.chosen not in members:
            raise InvalidArgument("what `choose` returned", self.chosen, "the member of a bid")
        ranking = (bid.member for bid in self.selection.ranking)
        return [members[one] for one in dict.fromkeys((self.chosen, *ranking))]

    def tell(self, watch: CallWatch) -> None:
        """Tell the observers of the bids and of their outcome."""
        tell_bids(watch, self._scores, self.chosen)

    def error(self, call: Outgoing, members: Sequence[Member]) -> ServiceError | None:
        """The reason for which none was chosen; None if not all have answered in time."""
        if self._malformed is not None:
            return self._malformed
        if self.selection.bids:
            return AllDeclined(
                f"{call.what}: {self.selection.bids} of {len(members)} servers answered, "
                "and none can take the request",
                members=[member.server for member in members],
            )
        tried = self._attempts.tried
        return self._attempts.error() if len(tried) == len(members) else None


class Asked:
    """Requests to several members, and their outcomes in the order in which they come."""

    def __init__(
        self,
        bus: DirectBus,
        members: Sequence[Member],
        message: Call,
        timeout: float,
        table: MemberTable | None,
    ) -> None:
        self._outcomes: deque[tuple[Member, Message | GridError]] = deque()
        self._pending: dict[str, tuple[Member, asyncio.Future[Message]]] = {}
        self._arrived = asyncio.Event()
        self._table = table
        if table is not None:
            table.on_left.add(self._left)
        try:
            for member in members:
                self._send(bus, member, message, timeout)
        except BaseException:
            self.close()  # or the members that were asked, and the table, would keep it
            raise

    async def next(self, until: float) -> tuple[Member, Message | GridError] | None:
        """The next outcome; None when there is none by then, or all have answered."""
        while not self._outcomes:
            if not self._pending:
                return None
            self._arrived.clear()
            try:
                async with asyncio.timeout(max(0.0, min(until - now(), 1e9))):
                    await self._arrived.wait()
            except TimeoutError:
                if not self._outcomes:
                    return None
        return self._outcomes.popleft()

    def close(self) -> None:
        """Tell the members that have not answered that their caller has left."""
        if self._table is not None:
            self._table.on_left.discard(self._left)
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            future.cancel()

    def _send(self, bus: DirectBus, member: Member, message: Call, timeout: float) -> None:
        try:
            future = bus.send(member.id, message, timeout)
        except NotDelivered as error:
            self._outcomes.append((member, error))
            return
        self._pending[member.server] = member, future
        future.add_done_callback(partial(self._done, member))

    def _done(self, member: Member, done: asyncio.Future[Message]) -> None:
        if self._pending.pop(member.server, None) is None or done.cancelled():
            if not done.cancelled():
                done.exception()  # read, or it would be logged
            return
        error = done.exception()
        if error is None:
            reply = done.result()
            absent = isinstance(reply, Reply) and reply.absent
            self._outcomes.append((member, UnknownMailbox(member.id) if absent else reply))
        elif isinstance(error, GridError):
            self._outcomes.append((member, error))
        else:
            self._outcomes.append((member, OutcomeUnknown(f"{type(error).__name__}: {error}")))
        self._arrived.set()

    def _left(self, member: Member) -> None:
        entry = self._pending.get(member.server)
        if entry is not None and entry[0].id == member.id:  # not another mailbox of the server
            del self._pending[member.server]
            entry[1].cancel()
            self._outcomes.append((member, OutcomeUnknown(f"{member.server} has left")))
            self._arrived.set()
