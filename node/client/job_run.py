"""The engine of a run: feeds jobs to workers, puts results in order, and lets the workers go."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from grid.client.client import Client as GridClient
from grid.errors import GridError, MessageTooLarge
from node.client.claims import Claim, Claims
from node.client.inputs import Inputs, InputSource, inputs_of, size_of
from node.client.lanes import Lane, behind, one_ahead, spawn, take_back, with_room
from node.client.link import Order, WorkerLink, order_of, outcome
from node.client.mapped import Mapped
from node.client.options import RunOptions
from node.client.progress import RunProgress
from node.client.results import Results
from node.errors import after_jobs, to_future
from node.policy.windows import Window
from node.pool_pb2 import Done, Progress
from rpc.machines.errors import NotPlainData

__all__ = ["JobRun"]

_AHEAD = 1000  # jobs that are in flight, or done and not read, at most
_IDLE = 1.0  # seconds without inputs after which the workers are let go
_STARVING = 0.03  # seconds for which a worker is idle before it gets jobs of another one
_WORKERS = 1_000_000  # all that there are


class JobRun:
    """A run of many jobs; it has a claim and workers only while there are jobs for them."""

    def __init__(
        self,
        client: GridClient,
        claims: Claims,
        name: str,
        inputs: Inputs,
        options: RunOptions,
        progress: RunProgress,
    ) -> None:
        self._client = client
        self._claims = claims
        self._name = name
        self._inputs: InputSource = inputs_of(inputs, self._more)
        self._options = options
        size = size_of(inputs)
        self._want = min(options.workers or (_WORKERS if size is None else max(1, size)), _WORKERS)
        self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None  # once it has begun
        self._claim: Claim | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._lanes: dict[str, Lane] = {}
        self._openings: set[asyncio.Task[None]] = set()
        self._partings: set[asyncio.Task[None]] = set()  # never cancelled: a worker waits for each
        self._again: deque[tuple[int, Order]] = deque()
        self._orders: dict[Order, int] = {}  # in flight, with the index of their input
        self._results = Results(options.ordered)
        self._begun = 0  # inputs that were read
        self._given = 0  # results that were handed out
        self._starving_since: float | None = None
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    # -- results -----------------------------------------------------------------------------

    async def next(self) -> Any:
        """The next result. Raises `StopAsyncIteration` after the last one."""
        if self._loop is None:
            self._start()
        while (found := self._results.take()) is None:
            if self._failure is not None:
                await asyncio.shield(self._close_soon())
                failure, self._failure = self._failure, None
                raise failure or StopAsyncIteration
            if self._closing is not None or (self._is_done and self._given == self._begun):
                await self.close()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._given += 1
        self._room.set()
        try:
            return self._given_out(found)
        except BaseException as error:  # noqa: BLE001 - it is raised
            await self.close()
            raise to_future(error)  # noqa: B904 - the same, or with it as its cause

    def _given_out(self, found: Mapped) -> Any:
        if self._options.on_progress is not None:
            self._options.on_progress(self._given)
        if not self._options.raises:
            return found
        if found.error is not None:
            found.error.add_note(f"input {found.index} of the run")
            raise found.error
        return found.value

    async def close(self) -> None:
        """See `MapRun.close`."""
        self._failure = None
        self._results.clear()
        await asyncio.shield(self._close_soon())

    def abandon(self) -> None:
        """Have it closed because it has no reader left; from any thread, at any time."""
        loop = self._loop
        if loop is not None and self._closing is None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and all tasks with it
                loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._loop = asyncio.get_running_loop()
            self._give_claim_up()
            self._closing = asyncio.create_task(self._close(), name="map ends")
        return self._closing

    async def _close(self) -> None:
        tasks = [one for one in (self._feeding, *self._openings) if one is not None]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._let_all_go()
        self._orders.clear()
        self._again.clear()
        self._progress.stop()
        await self._inputs.close()
        await self._all_gone()
        self._news.set()

    # -- jobs --------------------------------------------------------------------------------

    def _more(self) -> None:
        self._room.set()
        self._news.set()

    def _start(self) -> None:
        self._claim = self._claims.open(self._want, True, self)
        self._loop = asyncio.get_running_loop()
        self._progress.start()
        self._feeding = asyncio.create_task(self._feed(), name="map feeds")
        self._feeding.add_done_callback(self._fed)

    def _fed(self, feeding: asyncio.Task[None]) -> None:
        if not feeding.cancelled() and (error := feeding.exception()) is not None:
            self._fail(error)

    @property
    def _is_done(self) -> bool:
        """True if no job is left."""
        return self._inputs.exhausted and not (self._orders or self._again)

    async def _feed(self) -> None:
        """Give jobs to workers that have room: those that came back first, then the next input."""
        while not (self._is_done or self._closing):
            alone = bool(self._again) and self._again[0][1].attempt > 1
            lane = with_room(self._lanes.values(), empty=alone)
            if lane is None and not alone and len(self._again) > len(self._lanes):
                lane = one_ahead(self._lanes.values())  # there are enough for all others
            if lane is not None and lane.link is not None and self._again:
                lane.alone = alone
                self._submit(lane, lane.link, *self._again.popleft())
            elif self._may_read() and (lane is not None or self._few_wait()):
                self._read()
            else:
                await self._wait_for_room()
        self._let_all_go()  # the results may be read later

    async def _wait_for_room(self) -> None:
        self._room.clear()
        timeout = None
        nothing = not (self._again or self._may_read())
        if nothing and not self._orders and self._claim is not None:
            timeout = _IDLE
        elif nothing:
            timeout = self._patience()
        try:
            async with asyncio.timeout(timeout):
                await self._room.wait()
        except TimeoutError:
            if self._orders:
                self._starving_since = None
                take_back(self._lanes.values())
            else:
                self._let_all_go()  # until there are inputs again
                await self._all_gone()
        if self._claim is None and self._may_read():
            self._claim = self._claims.open(self._want, True, self)

    def _patience(self) -> float | None:
        """Seconds until jobs that wait behind others are taken back for idle workers."""
        if self._loop is None or behind(self._lanes.values()) is None:
            self._starving_since = None
            return None
        now = self._loop.time()
        if self._starving_since is None:
            self._starving_since = now
        return self._starving_since + _STARVING - now

    def _give_claim_up(self) -> None:
        if self._claim is not None:
            self._claims.release(self._claim)
            self._claim = None

    def _let_all_go(self) -> None:
        self._give_claim_up()  # first: no worker may be granted while others are let go
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            if lane.link is not None:
                self._let_go(lane, lane.link)

    async def _all_gone(self) -> None:
        while self._partings:
            await asyncio.wait(self._partings)

    def _may_read(self) -> bool:
        return self._inputs.has_next and self._begun - self._given < _AHEAD

    def _read(self) -> None:
        try:
            found = self._inputs.take()
        except StopIteration:
            self._progress.total = self._begun
            self._news.set()
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - of the inputs
            self._fail(error)
            return
        index = self._begun
        self._begun += 1
        try:
            self._again.append((index, order_of(found, self._client.max_message_bytes)))
        except Exception as error:  # noqa: BLE001 - of this input
            self._put(Mapped(index, None, error, 0))

    def _fail(self, error: BaseException) -> None:
        """End the run; the iteration raises the error."""
        if self._failure is None and self._closing is None:
            self._failure = to_future(error)
            self._news.set()
            self._close_soon()

    def _few_wait(self) -> bool:
        """True if no more jobs wait than there are workers."""
        return len(self._again) <= len(self._lanes) and any(
            one.link is not None for one in self._lanes.values()
        )

    def _submit(self, lane: Lane, link: WorkerLink, index: int, order: Order) -> None:
        order.on_done = lambda done: self._done(lane, order, done)
        if self._progress.wanted:
            order.on_progress = lambda told: self._reported(index, told)
        try:
            lane.submit(link, order)
        except MessageTooLarge as error:
            lane.alone = False
            self._put(Mapped(index, None, error, 0))
        else:
            self._orders[order] = index

    def _reported(self, index: int, told: Progress) -> None:
        try:
            self._progress.report(index, told.fraction, told.text)
        except Exception as error:  # noqa: BLE001 - of the user's function; the iteration raises it
            self._fail(error)

    def _done(self, lane: Lane, order: Order, done: Done) -> None:
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
        self._let_go_if_due(lane)

    def _put(self, mapped: Mapped) -> None:
        self._progress.done += 1
        self._progress.forget(mapped.index)
        self._results.put(mapped)
        self._news.set()

    # -- workers -----------------------------------------------------------------------------

    def granted(self, worker: str, peer: str) -> None:
        """The run has one worker more."""
        lane = self._lanes[worker] = Lane(worker, Window())
        spawn(self._openings, self._open(lane), f"map opens {worker}")

    async def _open(self, lane: Lane) -> None:
        def is_wanted() -> bool:
            return self._lanes.get(lane.worker) is lane and not lane.leaving

        link = await WorkerLink.open(
            self._client,
            lane.worker,
            self._name,
            lambda left, reason: self._ended(lane, left, reason),
            is_wanted,
        )
        if link is None:
            self._release(lane)
        elif not is_wanted():
            self._let_go(lane, link)
        else:
            link.on_returned = lambda orders: self._returned(lane, orders)
            link.on_concurrency = lambda count: self._runs_at_once(lane, count)
            lane.link = link
            self._room.set()

    def _runs_at_once(self, lane: Lane, count: int) -> None:
        lane.window.widen(count)
        self._room.set()

    def lost(self, worker: str, reason: str) -> None:
        """A worker has ended; what it had not done comes back with the end of its stream."""
        lane = self._lanes.get(worker)
        if lane is not None and lane.link is None:
            del self._lanes[worker]

    def recalled(self, worker: str) -> None:
        """Another client waits for a worker: this one is let go after what it has begun."""
        lane = self._lanes.get(worker)
        if lane is None:
            return
        lane.leaving = True
        lane.take_back(lane.queued)
        self._let_go_if_due(lane)

    def refused(self, error: GridError) -> None:
        """There are no workers."""
        self._claim = None
        ran = self._progress.done or self._orders or any(one.attempt > 1 for _, one in self._again)
        self._fail(after_jobs(error) if ran else error)

    def _let_go_if_due(self, lane: Lane) -> None:
        if lane.leaving and lane.link is not None and not lane.window.in_flight:
            self._let_go(lane, lane.link)

    def _let_go(self, lane: Lane, link: WorkerLink) -> None:
        async def letting_go() -> None:
            await link.close()
            self._release(lane)

        spawn(self._partings, letting_go(), f"map lets {lane.worker} go")

    def _release(self, lane: Lane) -> None:
        if self._lanes.get(lane.worker) is lane:
            del self._lanes[lane.worker]
            if self._claim is not None:
                self._claims.release(self._claim, lane.worker)

    def _returned(self, lane: Lane, orders: list[Order]) -> None:
        """Jobs that were taken back have not begun: they go to other workers."""
        lane.window.in_flight -= len(orders)
        self._requeue(orders)
        self._let_go_if_due(lane)

    def _requeue(self, orders: list[Order]) -> None:
        found = [(self._orders.pop(one), one) for one in orders if one in self._orders]
        self._again.extendleft(reversed(found))
        self._room.set()

    def _ended(self, lane: Lane, left: list[Order], reason: GridError | None) -> None:
        """A worker has ended: its jobs go to others.

        If it did not end in order each of them may have run, so it counts as an attempt. From
        then on such a job runs with none behind it, so that one which ends its workers costs
        the others no further attempt.
        """
        self._release(lane)
        if reason is not None:
            spent: list[tuple[int, Order]] = []
            for order in left:
                self._progress.forget(self._orders.get(order, -1))
                if order.attempt < self._options.attempts:
                    order.attempt += 1
                elif (index := self._orders.pop(order, None)) is not None:
                    spent.append((index, order))
            spawn(self._openings, self._explain(lane.worker, str(reason), spent), "map hears why")
        self._requeue(left)

    async def _explain(self, worker: str, text: str, spent: list[tuple[int, Order]]) -> None:
        """Give jobs up that were tried often enough, with the reason of a worker's end."""
        lost = await self._claims.lost(worker, text)
        for index, order in spent:
            self._put(Mapped(index, None, lost.after(order.attempt), order.attempt))
