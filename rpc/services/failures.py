"""Errors of calls whose attempts all failed: each cause has its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from grid.errors import (
    BreakerOpen,
    GridError,
    MailboxClosed,
    OutcomeUnknown,
    PeerBusy,
    PeerNotServing,
    ReceiverBusy,
    UnknownMailbox,
)
from rpc.buses.members import Member
from rpc.services.calls import Outgoing
from rpc.services.errors import (
    AllDeclined,
    AllUnreachable,
    NoServers,
    OutcomeUnclear,
    ServiceError,
)

__all__ = ["Attempts"]

_LEAVING = (PeerNotServing, MailboxClosed)  # its successor may be there
_DECLINED = (ReceiverBusy, PeerBusy, BreakerOpen, *_LEAVING)


class Attempts:
    """The members that were asked in vain.

    Attributes:
        tried: their ids, each with its error.
        asked: the ids of all that were asked to open a stream.
        looked_again: the directory was read again since.
    """

    def __init__(self, service: str, call: Outgoing) -> None:
        self.tried: dict[str, GridError] = {}
        self.asked: set[str] = set()
        self.looked_again = False
        self._mailboxes: dict[str, str] = {}
        self._service = service
        self._call = call

    @property
    def stale(self) -> bool:
        """True if the view that led to a member may lag behind."""
        # Servers that are merely busy are no sign of that.
        return any(
            isinstance(error, _LEAVING) or not isinstance(error, _DECLINED)
            for error in self.tried.values()
        )

    def failed(self, member: Member, error: GridError) -> None:
        """Note a failure that leaves the call open to another member."""
        self.tried[member.server] = error
        self._mailboxes[member.server] = member.id

    def forget(self, members: Iterable[Member]) -> None:
        """Forget mailboxes that have left: they were in a view that lagged behind.

        Their servers may be there again, with another mailbox.
        """
        there = {member.id for member in members}
        for server, error in tuple(self.tried.items()):
            left = self._mailboxes[server] not in there
            if left and isinstance(error, (UnknownMailbox, *_LEAVING)):
                del self.tried[server]

    def error(self) -> ServiceError:
        """The error for the caller."""
        what, tried = self._call.what, self.tried
        if not tried:
            topic = f" of topic {self._call.topic}" if self._call.topic else ""
            return NoServers(f"{what}: no server{topic} is registered")
        reasons = "; ".join(f"{member}: {error}" for member, error in tried.items())
        cls: type[AllDeclined | AllUnreachable | OutcomeUnclear]
        if any(isinstance(one, OutcomeUnknown) for one in tried.values()):
            cls, said = OutcomeUnclear, "the servers were lost"
        elif any(isinstance(one, _DECLINED) for one in tried.values()):
            cls, said = AllDeclined, "no server takes requests now"
        else:
            cls, said = AllUnreachable, "no server can be reached"
        error = cls(f"{what}: {said} ({reasons})", members=tried)
        error.__cause__ = next(reversed(tried.values()))
        return error
