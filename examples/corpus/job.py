"""The job: each file is counted by whatever worker has room for it.

A file whose worker is killed is sent again, also if the worker may have counted it: a count that
did not come back is not in the tally, so counting again is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import grid
import node
from examples.corpus.app import KIND, LARGEST
from examples.corpus.count import Tally
from examples.corpus_pb2 import CountFile
from grid.errors import MessageTooLarge

__all__ = ["Job", "printable"]

_ATTEMPTS = 10  # of a file whose workers are killed
_OVERHEAD = 1024  # bytes of a message beside the file
_TOO_LARGE = MessageTooLarge.__name__


class Job:
    """The counting of some files on a pool.

    Args:
        client: the way to the workers.
        files: what to count.
        progress: called after each file.

    Attributes:
        tally: what is counted so far.
        refused: files that cannot be sent, and why.
        resent: how often a file was sent again because its worker was gone.
        halfway: set when half of the files are done.
        seconds: what it took, from the first file that was sent.
    """

    def __init__(
        self,
        client: grid.Client,
        files: Iterable[Path],
        *,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        self.tally = Tally()
        self.refused: dict[Path, str] = {}
        self.resent = 0
        self.halfway = asyncio.Event()
        self.seconds = 0.0
        self._client = client
        self._files = list(files)
        self._sent: list[Path] = []  # by the index of their input
        self._left = len(self._files)
        self._progress = progress

    async def run(self) -> None:
        """Return when every file is counted or refused.

        Raises:
            UnknownKind, PoolFailed: there are no workers.
            JobFailed: a worker failed at a file.
            WorkerLost: a file ended each worker that had it.
        """
        began = asyncio.get_running_loop().time()
        async with (
            node.Client(self._client, KIND) as pool,
            pool.map(self._inputs(), ordered=False, errors="return", attempts=_ATTEMPTS) as run,
        ):
            async for end in run:
                self._take(self._sent[end.index], end)
        self.seconds = asyncio.get_running_loop().time() - began

    async def _inputs(self) -> AsyncIterator[CountFile]:
        """Files as messages, read as workers have room for them."""
        for file in self._files:
            try:
                text = await asyncio.to_thread(file.read_bytes)
            except OSError as error:
                self._refuse(file, error.strerror or str(error))
                continue
            if len(text) > LARGEST - _OVERHEAD:
                self._refuse(file, f"too large: {len(text):,} bytes")
                continue
            self._sent.append(file)
            yield CountFile(path=printable(file), text=text)

    def _take(self, file: Path, end: node.Mapped) -> None:
        self.resent += end.attempt - 1
        if end.error is None:
            self.tally.add(file, end.value)
            self._one_less()
        elif isinstance(end.error, node.JobFailed) and end.error.type == _TOO_LARGE:
            self._refuse(file, end.error.text)  # almost every word a new name
        else:
            raise end.error

    def _refuse(self, file: Path, reason: str) -> None:
        self.refused[file] = reason
        self._one_less()

    def _one_less(self) -> None:
        self._left -= 1
        if 2 * self._left <= len(self._files):
            self.halfway.set()
        self._progress()


def printable(file: Path) -> str:
    """The file's name as text: a name that is not in the system's encoding is escaped."""
    return str(file).encode(errors="backslashreplace").decode()
