"""Reminders are sent by an elected actor, on one of the peers, while there are any.

It is elected as the leader is, among the peers that may lead. It watches the reminders in etcd,
sends each when it is due, and takes it off, or moves it to its next time, once its actor has had
it: in one transaction that asks for the revision of the reminder and for its own epoch. So one
that was changed or forgotten meanwhile stays as it is, and an elected one that was frozen changes
nothing when it wakes up. A reminder may be sent twice, but is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

from grid.actor import ActorContext
from grid.client.reminders import remove_marker, send_reminder
from grid.errors import EtcdError, GridError, RequestFailed
from grid.errors.classification import text_of
from grid.etcd import Change, EtcdClient, api_pb2
from grid.registry.reminders import (
    Reminder,
    Schedule,
    decode_reminder,
    encode_reminder,
    marker_key,
    reminder_prefix,
)

__all__ = ["REMINDERS", "ReminderSender", "wait_for_reminders"]

_log = logging.getLogger("grid.reminders")

REMINDERS = "grid-reminders"

_TIMEOUT = 30.0  # seconds for an actor to start and to answer
_REST = 1.0  # seconds between a watch that failed and the next
_MAX_CONCURRENT = 256  # reminders that are being sent
_FIRST_PAUSE = 1.0  # seconds between attempts to send one; doubles each time
_LONGEST_PAUSE = 60.0
_LONGEST_LOOK = 30.0  # seconds; wall clocks are set now and then


async def wait_for_reminders(etcd: EtcdClient, namespace: str) -> None:
    """Return once there are reminders."""
    while True:
        try:
            async with etcd.watch(marker_key(namespace), exact=True) as watch:
                async for batch in watch:
                    if any(change.current is not None for change in batch.changes):
                        return
        except EtcdError as error:
            _log.warning("reminders cannot be looked for: %s", error)
        await asyncio.sleep(_REST)


class ReminderSender:
    """The actor that sends reminders.

    Args:
        etcd: where the reminders are.
    """

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._schedule = Schedule()
        self._failures: dict[str, int] = {}  # attempts in a row that failed
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def act(self, ctx: ActorContext) -> None:
        """Send reminders until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(ctx.namespace), name="reminders: watch")
            while True:
                for key, reminder, revision in self._schedule.due(time.time()):
                    await self._slots.acquire()
                    sending = self._send(ctx, key, reminder, revision)
                    tasks.create_task(sending, name=f"reminder {key}")
                await self._change_before(self._schedule.next_at())

    async def _change_before(self, at: float) -> None:
        try:
            async with asyncio.timeout(min(at - time.time(), _LONGEST_LOOK)):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _follow(self, namespace: str) -> None:
        while True:
            try:
                async with self._etcd.watch(reminder_prefix(namespace)) as watch:
                    async for batch in watch:
                        known = len(self._schedule)
                        if batch.snapshot:
                            self._schedule.clear()
                        for change in batch.changes:
                            self._take(change)
                        self._changed.set()
                        if (known or batch.snapshot) and not len(self._schedule):
                            # The last was forgotten while others were there that were sent
                            # since, or the sender before ended before it came to it.
                            await self._unmark(namespace)
            except EtcdError as error:
                _log.warning("going on with the reminders that were known: %s", error)
            await asyncio.sleep(_REST)

    def _take(self, change: Change) -> None:
        stored = change.current
        found = None if stored is None else decode_reminder(stored)
        if stored is None or found is None:
            self._schedule.drop(change.key)
            self._failures.pop(change.key, None)
            if stored is not None:
                _log.warning("skipped, not a reminder: %s", change.key)
            return
        self._schedule.put(change.key, found, stored.mod_revision)
        if failures := self._failures.get(change.key):  # this is the note of it
            self._schedule.later(change.key, stored.mod_revision, time.time() + _pause(failures))

    async def _send(self, ctx: ActorContext, key: str, reminder: Reminder, revision: int) -> None:
        try:
            error = ""
            try:
                await send_reminder(ctx.client, reminder, _TIMEOUT)
            except RequestFailed as failed:  # its actor has had it
                _log.warning("%s was sent, and its actor failed it: %s", key, failed)
                error = f"{type(failed).__name__}: {text_of(failed)}"
            except GridError as failed:
                await self._failed(ctx, key, reminder, revision, failed)
                return
            await self._sent(ctx, key, reminder, revision, error)
        finally:
            self._slots.release()

    async def _sent(
        self, ctx: ActorContext, key: str, reminder: Reminder, revision: int, error: str
    ) -> None:
        self._failures.pop(key, None)
        following = reminder.after(time.time())
        if following is not None:
            following = replace(following, error=error)
        try:
            await self._write(ctx, key, following, revision)
        except EtcdError as failed:
            _log.warning("%s was sent, and will be again: etcd did not note it: %s", key, failed)
            self._schedule.later(key, revision, time.time() + _FIRST_PAUSE)
            self._changed.set()
            return
        if not len(self._schedule):
            await self._unmark(ctx.namespace)

    async def _unmark(self, namespace: str) -> None:
        with contextlib.suppress(EtcdError):  # the mark alone does no harm
            await remove_marker(self._etcd, namespace)

    async def _failed(
        self, ctx: ActorContext, key: str, reminder: Reminder, revision: int, error: GridError
    ) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        told = f"{type(error).__name__}: {text_of(error)}"
        self._schedule.later(key, revision, time.time() + _pause(failures))
        self._changed.set()
        if told != reminder.error:
            _log.error("%s was not sent, and will be tried again: %s", key, told)
            with contextlib.suppress(EtcdError):  # it is shown by the next attempt, then
                await self._write(ctx, key, replace(reminder, error=told), revision)

    async def _write(
        self, ctx: ActorContext, key: str, reminder: Reminder | None, revision: int
    ) -> None:
        """Write a reminder, or remove it, if it is the one of that revision, and we the elected."""
        transaction = api_pb2.TxnRequest()
        compare = transaction.compare
        equal, of = api_pb2.Compare.EQUAL, api_pb2.Compare
        compare.add(result=equal, target=of.MOD, key=key.encode(), mod_revision=revision)
        compare.add(result=equal, target=of.CREATE, key=ctx.id.encode(), create_revision=ctx.epoch)
        operation = transaction.success.add()
        if reminder is None:
            operation.request_delete_range.key = key.encode()
        else:
            put = operation.request_put
            put.key, put.value = key.encode(), encode_reminder(reminder)
        response = await self._etcd.txn(transaction)
        if response.succeeded and reminder is None:
            # The watch would tell it a moment later.
            self._schedule.drop(key)


def _pause(failures: int) -> float:
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 64), _LONGEST_PAUSE)
