"""A watch that loses nothing: every put and every delete once, in revision order.

Theory of operation. Everything is listed at revision R, then watched from R+1.
etcd keeps the history, so after a lost connection, another endpoint or a
restart the watch goes on at the revision after the last one seen. If that
revision is compacted meanwhile, or etcd has lost its data since (the newest key
as of the last revision is another one), everything is listed again and compared with
what is known (`_view`), so that deletes without an event are still seen.

There is no task and no buffer: the consumer's own `anext` reads the stream, so
that a slow consumer holds back etcd and not this process's memory. Only while
connecting a task runs, so that `close` can end it.

Streams are asked to fail when the member has lost its leader, and connections
are pinged (`_channel`), so that a watch cannot hang on a member that was cut off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from grid.aio import being_cancelled
from grid.deadline import now
from grid.errors import ClientClosed, EtcdError, EtcdPermissionDenied
from grid.etcd import api_pb2
from grid.etcd._calls import EtcdCalls
from grid.etcd._channel import EtcdStream
from grid.etcd._failures import CallFailed, Kind
from grid.etcd._model import KeyValue, Snapshot, WatchBatch, key_value
from grid.etcd._rotation import attempt_time, pause
from grid.etcd._view import View

__all__ = ["Watch"]

_SETTLED = 1.0
_LONGEST_ROUND = 10.0

T = TypeVar("T")


class Watch:
    """All keys under a prefix, and then every change of them.

    Iterating yields a `WatchBatch` with `snapshot=True` that holds everything as
    new keys, then the changes in order. A consumer that keeps a dict sees every
    put and every delete exactly once, across lost connections, other endpoints,
    restarts and compaction (after which a key's changes in between are one).

    Use it with `async with`, or `close` it. Only one task may iterate. A
    cancelled `anext` loses nothing; the next one goes on.

    Raises, from the iteration:
        EtcdUnavailable: no connection for `patience` seconds. Iterating on tries
            again, and goes on where it was.
        EtcdAuthFailed, EtcdPermissionDenied, EtcdError: etcd refused.
    """

    def __init__(
        self,
        calls: EtcdCalls,
        name: str,
        start: bytes,
        end: bytes,
        read: Callable[[float], Coroutine[Any, Any, Snapshot]],
        patience: float,
        on_close: Callable[[Watch], object],
    ) -> None:
        self._calls = calls
        self._name = name
        self._range = (start, end)
        self._read_all = read
        self._patience = patience
        self._on_close = on_close
        self._view = View()
        self._stale = True
        self._fresh = False
        self._cluster = 0
        self._stream: EtcdStream | None = None
        self._parts: list[Any] = []
        self._down_since: float | None = None
        self._up_since = 0.0
        self._failures = 0
        self._denied = False
        self._connecting: asyncio.Task[Any] | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "live" if self._stream else "not connected"
        known, revision = len(self._view.current), self._view.revision
        return f"<Watch {self._name!r} {known} keys revision={revision} {state}>"

    @property
    def current(self) -> Mapping[str, KeyValue]:
        """The keys as of the last batch; a live view, not a copy."""
        return self._view.current

    @property
    def revision(self) -> int:
        """Everything up to this revision has been seen."""
        return self._view.revision

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchBatch:
        self._calls.check_loop()
        while not self._closed:
            try:
                batch = await self._step()
            except ClientClosed:
                break
            if batch is not None:
                return batch
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the watch and the iteration over it; idempotent."""
        self._calls.check_loop(closing=True)
        self._closed = True
        self._on_close(self)
        if self._connecting is not None:
            self._connecting.cancel()
        await self._hang_up()

    # -- steps ----------------------------------------------------------------

    async def _step(self) -> WatchBatch | None:
        """One list, one connection or one response; the batch that it makes."""
        if self._stale:
            snapshot = await self._closable(self._read_all(self._patience))
            # Not in that task: a cancelled `anext` would lose the batch.
            return self._listed(snapshot) if snapshot is not None else None
        if self._stream is None:
            await self._closable(self._connect())
            return None
        try:
            response = await self._stream.receive()
        except CallFailed as failure:
            if not self._closed:
                await self._lost(failure)
            return None
        except asyncio.CancelledError:
            # grpc.aio ended the stream with the read.
            await self._hang_up()
            raise
        return await self._handle(response)

    async def _closable(self, work: Coroutine[Any, Any, T]) -> T | None:
        task = asyncio.create_task(work, name=f"etcd-watch-{self._name}")
        self._connecting = task
        try:
            return await task
        except asyncio.CancelledError:
            if self._closed and not being_cancelled():
                return None
            await asyncio.wait([task])
            raise
        finally:
            self._connecting = None

    def _listed(self, snapshot: Snapshot) -> WatchBatch | None:
        self._stale, self._fresh = False, True
        return self._view.relist(snapshot)

    async def _handle(self, response: Any) -> WatchBatch | None:
        if response.canceled:
            await self._cancelled(response)
            return None
        self._denied = False
        if response.fragment:
            self._parts.extend(response.events)
            return None
        if not response.events and not self._parts:
            self._view.advance(response.header.revision)
            return None
        events = [*self._parts, *response.events] if self._parts else response.events
        self._parts = []
        return self._view.apply(events)

    async def _cancelled(self, response: Any) -> None:
        reason, stream = response.cancel_reason, self._stream
        await self._hang_up()
        if response.compact_revision or "compacted" in reason:
            self._stale = True
        elif "permission denied" in reason or "auth token" in reason:
            # etcd 3.5 calls a token that has expired "permission denied" here.
            if self._denied or self._calls.config.user is None:
                raise EtcdPermissionDenied(f"watch of {self._name!r}: {reason}")
            self._denied = True
            self._calls.forget_login(stream.metadata if stream else None)
        elif "no leader" in reason:
            await self._lost(CallFailed("UNAVAILABLE", reason))
        else:
            raise EtcdError(f"watch of {self._name!r} cancelled: {reason or 'no reason given'}")

    # -- connection -----------------------------------------------------------

    async def _connect(self) -> None:
        """Open the stream at the next revision, or raise when patience is over.

        There is no stream after all if etcd's first answer is to list again.
        """
        while True:
            rest = pause(self._failures, len(self._calls.rotation), random.random())
            await asyncio.sleep(rest)
            remaining = self._patience
            if self._down_since is not None:
                remaining = max(0.05, self._down_since + self._patience - now())
            round_time = min(self._patience, _LONGEST_ROUND)
            limit = attempt_time(remaining, round_time, len(self._calls.rotation))
            try:
                return await self._open(limit)
            except CallFailed as failure:
                await self._lost(failure, limit)

    async def _open(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                self._stream = await self._calls.stream("Watch/Watch", limit)
                await self._stream.send(self._request())
                created = await self._stream.receive()
                same = created.canceled or await self._is_same_store(created.header, limit)
        except TimeoutError:
            raise CallFailed(
                "DEADLINE_EXCEEDED", f"no answer within {round(limit, 3):g} s"
            ) from None
        except asyncio.CancelledError:
            await self._hang_up()
            raise
        self._down_since, self._up_since = None, now()
        if created.canceled:
            await self._cancelled(created)
            return
        self._denied = False
        if not same:
            await self._hang_up()
            self._stale = True

    def _request(self) -> Any:
        start, end = self._range
        create = api_pb2.WatchCreateRequest(
            key=start,
            range_end=end,
            start_revision=self._view.revision + 1,
            progress_notify=True,
            fragment=True,
        )
        return api_pb2.WatchRequest(create_request=create)

    async def _is_same_store(self, header: Any, limit: float) -> bool:
        """True if the store is the one that the view was read from.

        An etcd that lost its data keeps its cluster id, and may have more revisions than
        the view by now; events of a watch from there on would not fit the view. A member that
        is only behind may look like that; to list again is right for both.
        """
        before, self._cluster = self._cluster, header.cluster_id
        fresh, self._fresh = self._fresh, False
        if before and before != header.cluster_id:
            return False
        if fresh:
            return True
        if header.revision < self._view.revision:
            return False
        return await self._continues(limit)

    async def _continues(self, limit: float) -> bool:
        assert self._stream is not None  # noqa: S101  # the caller has opened it
        start, end = self._range
        request = api_pb2.RangeRequest(
            key=start,
            range_end=end,
            revision=self._view.revision,
            sort_target=api_pb2.RangeRequest.MOD,
            sort_order=api_pb2.RangeRequest.DESCEND,
            limit=1,
        )
        try:
            response = await self._stream.channel.unary(
                "KV/Range", request, limit, self._stream.metadata
            )
        except CallFailed as failure:
            if failure.kind is Kind.REFUSED:  # compacted, or not there yet
                return False
            raise
        newest = key_value(response.kvs[0]) if response.kvs else None
        return self._view.continued_by(newest, response.count)

    async def _lost(self, failure: CallFailed, waited: float = 0.0) -> None:
        stream = self._stream
        await self._hang_up()
        self._fresh = False  # the next answer may come from another store than was listed
        settled = self._down_since is None and now() - self._up_since >= _SETTLED
        self._failures = 1 if settled else self._failures + 1
        if self._down_since is None:
            self._down_since = now()
        if failure.kind is Kind.TOKEN and not self._denied:
            self._denied = True
            self._calls.forget_login(stream.metadata if stream else None)
            return
        channel = stream.channel if stream is not None else self._calls.channel()
        await self._calls.give_up_on(channel, failure, waited)
        if now() - self._down_since >= self._patience:
            self._down_since = None
            raise self._calls.unavailable(self._patience, failure)

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        self._parts = []
        if stream is not None:
            await stream.close()
