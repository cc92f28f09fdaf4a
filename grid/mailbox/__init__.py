"""Mailboxes: the requests under a name, and the way that they take to it."""

from __future__ import annotations

from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.mailbox.statistics import MailboxStatistics

__all__ = ["Mailbox", "MailboxStatistics", "Request"]
