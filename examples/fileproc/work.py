"""The machines of a file and of a batch: what is done in which state."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from examples.fileproc.client import Client, TransferError
from examples.fileproc.states import BatchStates, Body, FileStates, Pause, Receipt
from machine import Machine, Tracer, Transition, on, pipes
from machine.times import activations

__all__ = ["Batch", "File", "compress"]

_FIRST_PAUSE = 0.05  # seconds; twice as long each time


def compress(data: bytes) -> bytes:
    """Compress a file; equal input gives equal output."""
    return gzip.compress(data, mtime=0)


class File(Machine[FileStates]):
    """One file on its way.

    Args:
        name: on the server, and the machine's id.
        client: who talks to the server.
        folder: for what is made of it.
        attempts: how often a step is tried before the file is given up.
        parent: the batch.
    """

    def __init__(
        self, name: str, client: Client, folder: Path, *, attempts: int, parent: Batch
    ) -> None:
        super().__init__(id=name, parent=parent, tracers=parent.tracers)
        self._client = client
        self._path = folder / name
        self._limit = attempts
        self._began = self._ended = 0.0
        self.sizes: tuple[int, ...] = ()
        self.where = ""

    @property
    def seconds(self) -> float:
        """From the start to the end; 0 while it lasts."""
        return max(0.0, self._ended - self._began)

    def attempts(self, step: str) -> int:
        """Number of starts of a step, from its clock."""
        return activations(self.tick(step))

    @on.state(FileStates.Start)
    def _begin(self) -> None:
        self._began = time.monotonic()

    # -- steps: each is a task that ends with its state, so what ends the state comes last -----

    @on.state(FileStates.Downloading)
    async def _download(self) -> None:
        try:
            size = await self._client.download(self.id, self._path)
        except TransferError as error:
            self._report(error)
        else:
            self.add(FileStates.Downloaded, args=Body(self._path, size))

    @on.state(FileStates.Processing)
    async def _process(self) -> None:
        result = self._path.with_name(f"{self.id}.gz")
        size = await asyncio.to_thread(_compress_file, self._path, result)
        self.add(FileStates.Processed, args=Body(result, size))

    @on.state(FileStates.Uploading)
    async def _upload(self) -> None:
        try:
            digest = await self._client.upload(self.id, self._path)
        except TransferError as error:
            self._report(error)
        else:
            self.add(FileStates.Uploaded, args=Receipt(digest))

    @on.state(FileStates.Downloaded, FileStates.Processed)
    def _keep(self, args: Body) -> None:
        self._path = args.path
        self.sizes = (*self.sizes, args.size)

    # -- failures and the end ------------------------------------------------------------------

    def _report(self, error: TransferError) -> None:
        if error.passing:
            self.add_err_state(FileStates.ErrNetwork, error)
        else:
            self.add_err(error)

    @on.state(FileStates.Exception)
    def _after_error(self) -> None:
        """Try again what may pass; anything else ends it, errors in this file included."""
        tried = self.attempts(self.switch(FileStates.Network))
        if self.is_(FileStates.ErrNetwork) and tried < self._limit:
            pause = _FIRST_PAUSE * 2 ** (tried - 1)
            self.add(FileStates.BackingOff, args=Pause(pause))
        else:
            self.add(FileStates.Failed)

    @on.state(FileStates.BackingOff)
    async def _back_off(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.remove(FileStates.BackingOff)

    @on.enter(FileStates.Canceled)
    def _may_be_canceled(self) -> bool:
        return not self.any_(*FileStates.Ended)

    @on.state(*FileStates.Ended)
    def _end(self, transition: Transition) -> None:
        self._ended = time.monotonic()
        self.where = next((one for one in transition.before if one in FileStates.Working), "")


class Batch(Machine[BatchStates]):
    """All files; each is a machine of its own, and tells this one when it has ended.

    Args:
        names: of the files on the server.
        client: who talks to the server.
        folder: for what is made of the files.
        attempts: how often a step of a file is tried.
        tracers: observers of all the machines.
        progress: called after each file that has ended.
    """

    def __init__(
        self,
        names: Iterable[str],
        client: Client,
        folder: Path,
        *,
        attempts: int,
        tracers: Sequence[Tracer] = (),
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(id="batch", tracers=tracers)
        self._progress = progress
        self.files = [File(name, client, folder, attempts=attempts, parent=self) for name in names]
        for file in self.files:
            pipes.add(self, file, BatchStates.Start)
            pipes.add(self, file, BatchStates.Canceled)
            for end in FileStates.Ended:
                pipes.add(file, self, end, BatchStates.FileEnded)

    @on.state(BatchStates.FileEnded)
    def _count(self) -> None:
        self._progress()

    @on.enter(BatchStates.Finished)
    def _all_have_ended(self) -> bool:
        return all(file.any_(*FileStates.Ended) for file in self.files)


def _compress_file(source: Path, target: Path) -> int:
    return target.write_bytes(compress(source.read_bytes()))
