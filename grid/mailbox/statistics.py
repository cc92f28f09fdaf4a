"""Snapshots of a mailbox's counters."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MailboxStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStatistics:
    """One mailbox, since it was opened.

    Attributes:
        name: its short name.
        queued: requests that wait to be read.
        size: how many may.
        unanswered: requests taken in that are not over yet, read or not.
        received: requests and tells taken in.
        refused: requests and tells not taken in, because it was full or closing.
    """

    name: str
    queued: int
    size: int
    unanswered: int
    received: int
    refused: int

    @property
    def answered(self) -> int:
        """Requests that are over: answered, let go of, or no longer waited for."""
        return self.received - self.unanswered
