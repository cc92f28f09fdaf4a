"""A snapshot of a server's counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grid.mailbox.dispatcher import Dispatcher, State
from grid.mailbox.statistics import MailboxStatistics
from grid.transport.statistics import Counters, SessionStatistics, SessionTotals, counted

__all__ = ["ServerStatistics", "statistics_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics(Counters, SessionTotals):
    """A peer. The counters are those of all sessions that clients had with it.

    Attributes:
        state: what it does with requests.
        sessions: those that clients have with it now.
        mailboxes: all of them, its own for starts and stops included, the oldest first.
    """

    state: State
    sessions: tuple[SessionStatistics, ...] = ()
    mailboxes: tuple[MailboxStatistics, ...] = ()


def statistics_of(
    dispatcher: Dispatcher, counters: Any, sessions: tuple[SessionStatistics, ...]
) -> ServerStatistics:
    """The snapshot of a peer, from its mailboxes and what its sessions count."""
    return ServerStatistics(
        **counted(counters),
        state=dispatcher.state,
        sessions=sessions,
        mailboxes=tuple(one.statistics() for one in dispatcher.mailboxes()),
    )
