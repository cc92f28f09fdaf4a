"""Mailboxes: what a name receives, and how requests reach it."""

from __future__ import annotations

from grid.mailbox.mailbox import Mailbox, Request

__all__ = ["Mailbox", "Request"]
