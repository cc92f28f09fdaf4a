"""The job: a thumbnail of each file, by whatever workers there are."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grid
import node
from examples.failover import Failover, kill_leader
from examples.thumbnails.app import KIND

__all__ = ["Outcome", "make_thumbnails"]

_ATTEMPTS = 5  # of a job whose worker is killed


@dataclass(slots=True)
class Outcome:
    """Result of the job.

    Attributes:
        thumbnails: of each file.
        by_worker: their number by worker.
        again: jobs that ran again, because their worker was killed.
        seconds: from the first job to the last result.
        failover: from the killed peer, which had the leader, to the next one.
    """

    thumbnails: dict[Path, bytes] = field(default_factory=dict)
    by_worker: Counter[str] = field(default_factory=Counter)
    again: int = 0
    seconds: float = 0.0
    failover: Failover | None = None


async def make_thumbnails(
    client: grid.Client,
    files: list[Path],
    *,
    kill_peer: Callable[[str], None],
    say: Callable[[str], None],
) -> Outcome:
    """Have thumbnails made; kill a worker at two fifths of the way, and a peer half way.

    Args:
        client: of the grid.
        files: the pictures.
        kill_peer: ends the process of the peer of that name.
        say: prints a line.
    """
    outcome = Outcome()
    killing: asyncio.Task[Failover] | None = None
    began = time.monotonic()
    async with (
        node.Client(client, KIND, timeout=30.0) as pool,
        pool.map(_Contents(files), attempts=_ATTEMPTS, progress=KIND) as run,
    ):
        async for result in run:
            file = files[len(outcome.thumbnails)]  # results have the order of their inputs
            _take(outcome, file, result)
            if len(outcome.thumbnails) == 2 * len(files) // 5:
                say(f"killed a worker, {result['worker']}")
                os.kill(result["pid"], signal.SIGKILL)
            if len(outcome.thumbnails) == len(files) // 2:
                killing = asyncio.create_task(kill_leader(client, kill_peer))
    outcome.seconds = time.monotonic() - began
    if killing is not None:
        outcome.failover = await killing
    return outcome


class _Contents:
    """The files' contents, read as workers have room for them."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for file in self._files:
            yield await asyncio.to_thread(file.read_bytes)


def _take(outcome: Outcome, file: Path, result: dict[str, Any]) -> None:
    outcome.thumbnails[file] = result["thumbnail"]
    outcome.by_worker[result["worker"]] += 1
    outcome.again += result["attempt"] > 1
