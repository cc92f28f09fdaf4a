"""Many jobs over all workers that the pool has to give, with their results as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sized
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from grid.client.client import Client as GridClient
from grid.errors import GridError, MessageTooLarge
from node.client.claims import Claim, Claims
from node.client.inputs import Inputs, inputs_of
from node.client.link import Order, WorkerLink, outcome
from node.errors import PoolError, WorkerLost
from node.policy.windows import Window
from node.pool_pb2 import Done
from rpc.machines.errors import NotPlainData
from rpc.machines.values import to_scalar

__all__ = ["MapRun", "Mapped"]

_AHEAD = 1000  # jobs that are in flight, or done and not read, at most
_OPEN_TIMEOUT = 5.0  # seconds
_BUSY_PAUSE = 0.02  # seconds before a worker that was just freed is asked again
_IDLE = 1.0  # seconds without inputs after which the workers are let go
_WORKERS = 1_000_000  # all that there are


@dataclass(frozen=True, slots=True)
class Mapped:
    """The end of one job.

    Attributes:
        index: of its input, from 0.
        value: its result; None if it failed.
        error: why it failed; None if it did not.
        attempt: the try that ended so, from 1.
    """

    index: int
    value: Any
    error: Exception | None
    attempt: int


@dataclass(slots=True, eq=False)
class _Lane:
    """A worker of the run."""

    worker: str
    window: Window
    link: WorkerLink | None = None
    leaving: bool = False
    alone: bool = False  # a job runs there that may have been the end of another worker


class MapRun:
    """A run of many jobs: iterate over it with `async for`.

    Leaving the loop early, or the block of `async with`, drops the jobs that have not begun and
    lets the workers go.
    """

    def __init__(
        self,
        client: GridClient,
        claims: Claims,
        name: str,
        inputs: Inputs,
        *,
        ordered: bool,
        attempts: int,
        workers: int,
        errors: Literal["raise", "return"],
        concurrency: int,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._client = client
        self._claims = claims
        self._name = name
        self._inputs = inputs_of(inputs, self._more)
        self._ordered = ordered
        self._attempts = attempts
        self._want = workers or (max(1, len(inputs)) if isinstance(inputs, Sized) else _WORKERS)
        self._errors = errors
        self._concurrency = concurrency
        self._on_progress = on_progress
        self._claim: Claim | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._lanes: dict[str, _Lane] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._again: deque[tuple[int, Order]] = deque()
        self._orders: dict[Order, int] = {}  # in flight, with the index of their input
        self._ready: dict[int, Mapped] = {}  # ordered: by index
        self._fifo: deque[Mapped] = deque()  # as completed
        self._next = 0
        self._begun = 0  # inputs that were read
        self._given = 0  # results that were handed out
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    # -- results -----------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._feeding is None:
            self._start()
        while True:
            found = self._take()
            if found is not None:
                break
            if self._failure is not None:
                failure, self._failure = self._failure, None
                await self.close()
                raise failure
            if self._inputs.exhausted and self._given == self._begun:
                await self.close()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._given += 1
        self._room.set()
        if self._on_progress is not None:
            self._on_progress(self._given)
        if self._errors == "return":
            return found
        if found.error is not None:
            await self.close()
            raise found.error
        return found.value

    async def results(self) -> list[Any]:
        """All results in one list. Raises as the iteration does."""
        async with self:
            return [one async for one in self]

    async def close(self) -> None:
        """Drop what has not begun, and let the workers go. Idempotent."""
        self._give_claim_up()
        tasks = [one for one in (self._feeding, *self._opening) if one is not None]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._inputs.close()
        self._orders.clear()
        self._again.clear()
        self._inputs.exhausted, self._begun = True, self._given
        await self._let_all_go()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _take(self) -> Mapped | None:
        if not self._ordered:
            return self._fifo.popleft() if self._fifo else None
        found = self._ready.pop(self._next, None)
        if found is not None:
            self._next += 1
        return found

    # -- jobs --------------------------------------------------------------------------------

    def _more(self) -> None:
        self._room.set()
        self._news.set()

    def _start(self) -> None:
        self._feeding = asyncio.create_task(self._feed(), name="map feeds")
        self._claim = self._claims.open(self._want, True, self)

    async def _feed(self) -> None:
        """Give jobs to workers that have room: those that came back first, then the next input."""
        while True:
            alone = bool(self._again) and self._again[0][1].attempt > 1
            lane = self._lane_with_room(empty=alone)
            if lane is not None and lane.link is not None and self._again:
                lane.alone = alone
                self._submit(lane, lane.link, *self._again.popleft())
            elif lane is not None and self._may_read():
                self._read()
            else:
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        idle = not (self._orders or self._again or self._may_read() or self._inputs.exhausted)
        try:
            async with asyncio.timeout(_IDLE if idle and self._claim is not None else None):
                await self._room.wait()
        except TimeoutError:
            await self._let_all_go()  # until there are inputs again
        if self._claim is None and self._may_read():
            self._claim = self._claims.open(self._want, True, self)

    def _give_claim_up(self) -> None:
        if self._claim is not None:
            self._claims.release(self._claim)
            self._claim = None

    async def _let_all_go(self) -> None:
        self._give_claim_up()  # first: no worker may be granted while others are let go
        lanes, self._lanes = list(self._lanes.values()), {}
        await asyncio.gather(*(one.link.close() for one in lanes if one.link is not None))

    def _may_read(self) -> bool:
        return self._inputs.has_next and self._begun - self._given < _AHEAD

    def _read(self) -> None:
        try:
            order = Order(to_scalar(self._inputs.take()))
        except StopIteration:
            self._news.set()
            return
        except Exception as error:  # noqa: BLE001 - of the inputs; the iteration raises it
            self._fail(error)
            return
        self._again.append((self._begun, order))
        self._begun += 1

    def _fail(self, error: Exception) -> None:
        self._inputs.exhausted = True
        self._failure = error
        self._news.set()

    def _lane_with_room(self, *, empty: bool) -> _Lane | None:
        """The worker with the most room; None if none has any, or none is empty if it must be."""
        best, most = None, 0
        for lane in self._lanes.values():
            if lane.link is not None and not (lane.leaving or lane.alone):
                room = 0 if empty and lane.window.in_flight else lane.window.room
                if room > most:
                    best, most = lane, room
        return best

    def _submit(self, lane: _Lane, link: WorkerLink, index: int, order: Order) -> None:
        self._orders[order] = index
        order.on_done = lambda done: self._done(lane, order, done)
        lane.window.in_flight += 1
        link.submit(order)

    def _done(self, lane: _Lane, order: Order, done: Done) -> None:
        lane.window.done(done.seconds)
        lane.alone = False
        self._room.set()
        index = self._orders.pop(order, None)
        if index is None:
            return
        try:
            mapped = Mapped(index, outcome(done), None, order.attempt)
        except (GridError, NotPlainData) as error:
            mapped = Mapped(index, None, error, order.attempt)
        self._put(mapped)
        if lane.leaving and lane.link is not None and not lane.window.in_flight:
            self._let_go(lane, lane.link)

    def _put(self, mapped: Mapped) -> None:
        if self._ordered:
            self._ready[mapped.index] = mapped
        else:
            self._fifo.append(mapped)
        self._news.set()

    # -- workers -----------------------------------------------------------------------------

    def granted(self, worker: str, peer: str) -> None:
        """The run has one worker more."""
        lane = self._lanes[worker] = _Lane(worker, Window(self._concurrency))
        opening = asyncio.create_task(self._open(lane), name=f"map opens {worker}")
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _OPEN_TIMEOUT
        while self._lanes.get(lane.worker) is lane and not lane.leaving:
            try:
                link = await WorkerLink.open(
                    self._client,
                    lane.worker,
                    self._name,
                    lambda left, reason: self._ended(lane, left, reason),
                    max(0.1, give_up - loop.time()),
                )
            except GridError:
                if loop.time() > give_up:
                    break
                await asyncio.sleep(_BUSY_PAUSE)
            else:
                if self._lanes.get(lane.worker) is not lane:
                    await link.close()
                    return
                lane.link = link
                self._room.set()
                return
        self._release(lane)

    def lost(self, worker: str, reason: str) -> None:
        """A worker has ended; what it had not done comes back with the end of its stream."""
        lane = self._lanes.get(worker)
        if lane is not None and lane.link is None:
            del self._lanes[worker]

    def recalled(self, worker: str) -> None:
        """Another client waits for a worker: this one is let go after its jobs."""
        lane = self._lanes.get(worker)
        if lane is None:
            return
        lane.leaving = True
        if lane.link is not None and not lane.window.in_flight:
            self._let_go(lane, lane.link)

    def refused(self, error: PoolError) -> None:
        """There are no workers."""
        self._claim = None
        self._fail(error)

    def _let_go(self, lane: _Lane, link: WorkerLink) -> None:

        async def letting_go() -> None:
            await link.close()
            self._release(lane)

        task = asyncio.create_task(letting_go(), name=f"map lets {lane.worker} go")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _release(self, lane: _Lane) -> None:
        if self._lanes.get(lane.worker) is lane:
            del self._lanes[lane.worker]
        if self._claim is not None:
            self._claims.release(self._claim, lane.worker)

    def _ended(self, lane: _Lane, left: list[Order], reason: GridError | None) -> None:
        """A worker has ended: its jobs go to others.

        If it did not end in order each of them may have run, so it counts as an attempt. From
        then on such a job runs with none behind it, so that one which ends its workers costs
        the others no further attempt.
        """
        self._release(lane)
        text = str(reason) if reason is not None else ""
        again: list[tuple[int, Order]] = []
        for order in left:
            index = self._orders.pop(order, None)
            if index is None:
                continue
            if isinstance(reason, MessageTooLarge) and order.input.ByteSize() >= reason.limit:
                self._put(Mapped(index, None, reason, order.attempt))
            elif reason is not None and order.attempt >= self._attempts:
                lost = WorkerLost(lane.worker, text, order.attempt)
                self._put(Mapped(index, None, lost, order.attempt))
            else:
                order.attempt += reason is not None
                again.append((index, order))
        self._again.extendleft(reversed(again))
        self._room.set()
