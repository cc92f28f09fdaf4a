"""Reminders from the outside, and the ways in which they are written and sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from grid.client.actors import ActorCalls
from grid.deadline import Deadline
from grid.errors import LeaseLost, MessageTooLarge, UnregisteredMailbox
from grid.etcd import EtcdClient, api_pb2
from grid.plain import AnyMessage
from grid.registry.names import Kind, full_name
from grid.registry.reminders import (
    Reminder,
    check_times,
    decode_reminder,
    encode_reminder,
    marker_key,
    reminder_key,
    reminder_prefix,
)

__all__ = [
    "DUE",
    "REMINDER",
    "Owner",
    "ReminderCalls",
    "ReminderKeeper",
    "remind",
    "remove_marker",
    "send_reminder",
]

_LARGEST = 256 * 1024  # bytes of a message; etcd keeps it in memory
REMINDER, DUE = "grid-reminder", "grid-reminder-due"  # metadata of a reminder's message


@dataclass(frozen=True, slots=True)
class Owner:
    """An actor that asks for a reminder.

    Attributes:
        key: its full name.
        epoch: the fence of this incarnation.
        actor: its name.
        reminder: the name of the reminder.
        type: the definition that it was started by.
        data: the bytes that it was started with.
    """

    key: str
    epoch: int
    actor: str
    reminder: str
    type: str
    data: bytes


class ReminderKeeper(Protocol):
    """A client as far as an actor's reminders need it: that of a peer, or of a probe."""

    async def _keep_reminder(
        self, owner: Owner, message: AnyMessage, wait: float, every: float
    ) -> Reminder:
        """Keep a reminder that is due in `wait` seconds, and again after each `every` if not 0."""


class ReminderCalls(ActorCalls):
    """Calls about reminders; see `Client`."""

    async def reminders(
        self, actor: str | None = None, *, timeout: float | None = None
    ) -> list[Reminder]:
        """The reminders that wait, of one actor or all, in the order of their names.

        Raises:
            InvalidName: the name breaks the rule.
            EtcdUnavailable: etcd does not answer.
        """
        self._check_open()
        start = reminder_prefix(self.namespace, actor or "")
        found = await self._etcd.get_prefix(start, timeout=timeout)
        decoded = map(decode_reminder, found.items)
        return [one for one in decoded if one is not None]

    async def forget_reminder(self, actor: str, name: str, *, timeout: float | None = None) -> bool:
        """Remove a reminder; False if there is none. One that is being sent may still arrive.

        Raises:
            InvalidName: a name breaks the rule.
            EtcdUnavailable: etcd does not answer. Asking again is safe.
        """
        self._check_open()
        key = reminder_key(self.namespace, actor, name)
        found = await self._etcd.delete(key, timeout=timeout)
        await remove_marker(self._etcd, self.namespace)
        return found

    async def _keep_reminder(
        self, owner: Owner, message: AnyMessage, wait: float, every: float
    ) -> Reminder:
        self._check_open()
        key = reminder_key(self.namespace, owner.actor, owner.reminder)
        message_type, payload = self._encode(message, None)
        if len(payload) > _LARGEST:
            raise MessageTooLarge(len(payload), _LARGEST, "the message of a reminder")
        written = Reminder(
            owner.actor,
            owner.reminder,
            owner.type,
            time.time() + wait,
            every,
            message_type,
            payload,
            owner.data,
        )
        transaction = api_pb2.TxnRequest()
        transaction.compare.add(
            result=api_pb2.Compare.EQUAL,
            target=api_pb2.Compare.CREATE,
            key=owner.key.encode(),
            create_revision=owner.epoch,
        )
        for at, value in ((key, encode_reminder(written)), (marker_key(self.namespace), b"")):
            put = transaction.success.add().request_put
            put.key, put.value = at.encode(), value
        response = await self._etcd.txn(transaction)
        if not response.succeeded:
            raise LeaseLost(f"{owner.key} has another owner than that of epoch {owner.epoch}")
        return written


async def remind(
    keeper: ReminderKeeper,
    owner: Owner,
    message: AnyMessage,
    *,
    after: float | None,
    every: float | None,
) -> Reminder:
    """Write a reminder of an actor, if the actor still has its name.

    Args:
        keeper: the client of its peer.
        owner: the actor, and the name of the reminder.
        message: what is sent.
        after: see `ActorContext.remind`.
        every: likewise.
    """
    wait, period = check_times(after, every)
    return await keeper._keep_reminder(owner, message, wait, period)


async def remove_marker(etcd: EtcdClient, namespace: str) -> None:
    """Remove the mark that there are reminders, unless there are."""
    transaction = api_pb2.TxnRequest()
    start = reminder_prefix(namespace)
    transaction.compare.add(
        result=api_pb2.Compare.EQUAL,
        target=api_pb2.Compare.VERSION,
        key=start.encode(),
        range_end=f"{start[:-1]}/".encode(),  # the character after the dot
        version=0,
    )
    transaction.success.add().request_delete_range.key = marker_key(namespace).encode()
    await etcd.txn(transaction)


async def send_reminder(client: ActorCalls, reminder: Reminder, timeout: float) -> None:
    """Send a reminder's message to its actor, which is started if it does not run.

    Raises:
        RequestFailed: the actor had it, and failed it.
        GridError: it may not have arrived.
    """
    key = full_name(client.namespace, Kind.MAILBOX, reminder.actor)
    metadata: Mapping[str, str] = {REMINDER: reminder.name, DUE: f"{reminder.due:.3f}"}
    deadline = Deadline.after(timeout)

    async def ask() -> None:
        await client._router.ask(
            key,
            reminder.message,
            reminder.payload,
            metadata,
            deadline.remaining(),
            idempotent=True,
            wait=True,
        )

    try:
        await ask()
    except UnregisteredMailbox:
        await client.start_actor(
            reminder.type,
            name=reminder.actor,
            data=reminder.data,
            if_exists="return",
            timeout=deadline.remaining(),
        )
        await ask()
