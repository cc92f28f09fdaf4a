"""The job: it sends every file to some worker until every file is counted.

Each worker is fed by a few lanes, which take files from one queue as fast as
the worker answers; so a fast worker gets more files, and none is overrun.
Workers come and go with the registry. A file whose worker is gone goes back to
the queue, also if the worker may have counted it: what did not come back as an
answer is not in the tally, so counting again is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import grid
from examples.corpus.app import WORKER
from examples.corpus.count import Tally
from examples.corpus_pb2 import CountFile, Counts
from grid.errors import DeadlineExceeded, MessageTooLarge, NotDelivered, OutcomeUnknown

__all__ = ["Job", "NoProgress", "printable"]

_LANES = 4  # requests under way to one worker: one is counted while others travel
_LEAVING = 120.0  # seconds within which a dead peer has surely left the registry


class NoProgress(Exception):
    """No file was counted for too long: there are no workers, or they are stuck."""

    def __init__(self, seconds: float, left: int) -> None:
        super().__init__(f"no file was counted for {seconds:g} s, and {left} are left")
        self.seconds = seconds
        self.left = left


class Job:
    """The counting of some files on a grid.

    Args:
        client: the way to the workers.
        files: what to count.
        patience: seconds without any progress after which `run` raises.
        progress: called after each file.

    Attributes:
        tally: what is counted so far.
        refused: files that cannot be sent, and why.
        resent: how often a file was sent again because its worker was gone.
        halfway: set when half of the files are done.
        seconds: what it took, from when there was a worker.
    """

    def __init__(
        self,
        client: grid.Client,
        files: Iterable[Path],
        *,
        patience: float = 30.0,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        self.tally = Tally()
        self.refused: dict[Path, str] = {}
        self.resent = 0
        self.halfway = asyncio.Event()
        self.seconds = 0.0
        self._client = client
        self._queue: asyncio.Queue[Path] = asyncio.Queue()
        for file in files:
            self._queue.put_nowait(file)
        self._total = self._left = self._queue.qsize()
        self._finished = asyncio.Event()
        self._began = 0.0
        self._patience = patience
        self._progress = progress
        self._alarm: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Return when every file is counted or refused.

        Raises:
            NoProgress: no file was counted for `patience` seconds.
            RequestFailed: a worker answered with an error.
            EtcdUnavailable: the workers cannot be found.
        """
        try:
            async with asyncio.timeout(self._patience) as self._alarm:
                await self._run()
        except TimeoutError:
            raise NoProgress(self._patience, self._left) from None
        except ExceptionGroup as group:
            raise _first(group) from group

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(self._feed_workers())
            if self._left:
                await self._finished.wait()
            self.seconds = asyncio.get_running_loop().time() - self._began
            feeding.cancel()

    async def _feed_workers(self) -> None:
        feeds: dict[str, asyncio.Task[None]] = {}
        async with (
            asyncio.TaskGroup() as tasks,
            self._client.watch(grid.Kind.MAILBOX) as events,
        ):
            async for event in events:
                name = event.entity.name
                if not name.startswith(WORKER):
                    continue
                if isinstance(event, grid.EntityLost):
                    feeds.pop(name).cancel()
                elif name not in feeds:
                    self._began = self._began or asyncio.get_running_loop().time()
                    feeds[name] = tasks.create_task(self._feed(event.entity))

    async def _feed(self, worker: grid.Entity) -> None:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(_LANES):
                lanes.create_task(self._lane(worker))

    async def _lane(self, worker: grid.Entity) -> None:
        while True:
            file = await self._queue.get()
            try:
                await self._count(file, worker.name)
            except (NotDelivered, OutcomeUnknown, DeadlineExceeded):
                self._again(file)
                # Either the peer recovers, or it leaves the registry, which cancels this.
                await self._client.wait_until_serving(worker.peer, timeout=_LEAVING)
            except asyncio.CancelledError:
                self._again(file)
                raise

    async def _count(self, file: Path, worker: str) -> None:
        try:
            text = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            self._refuse(file, error.strerror or str(error))
            return
        try:
            message = CountFile(path=printable(file), text=text)
            counts = await self._client.request(worker, message, reply=Counts, wait=True)
        except MessageTooLarge as error:
            self._refuse(file, str(error))
            return
        self.tally.add(file, counts)
        self._one_less()

    def _refuse(self, file: Path, reason: str) -> None:
        self.refused[file] = reason
        self._one_less()

    def _again(self, file: Path) -> None:
        self.resent += 1
        self._queue.put_nowait(file)

    def _one_less(self) -> None:
        self._left -= 1
        if 2 * self._left <= self._total:
            self.halfway.set()
        if not self._left:
            self._finished.set()
        if self._alarm is not None:
            self._alarm.reschedule(asyncio.get_running_loop().time() + self._patience)
        self._progress()


def printable(file: Path) -> str:
    """The file's name as text: a name that is not in the system's encoding is escaped."""
    return str(file).encode(errors="backslashreplace").decode()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
