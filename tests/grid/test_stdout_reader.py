"""A command that waits ends once the reader of its output has gone, and not later than its body."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from grid.stdout_reader import UntilReaderGoes


async def test_a_body_that_waits_ends_when_the_reader_goes() -> None:
    async def body() -> None:
        await asyncio.sleep(60)

    await ends_as_its_reader_goes(body)


async def test_a_write_that_finds_it_out_first_is_not_followed_by_a_cancellation() -> None:
    async def body() -> None:
        print("one", flush=True)

    await ends_as_its_reader_goes(body)


async def test_a_clean_up_that_fails_leaves_no_cancellation_behind() -> None:
    async def body() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            print("one", flush=True)

    await ends_as_its_reader_goes(body)


async def test_a_cancellation_by_others_stays_one() -> None:
    async def wait() -> None:
        with UntilReaderGoes():
            await asyncio.sleep(60)

    with read_by() as reader:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(reader)


@contextlib.contextmanager
def read_by() -> Iterator[int]:
    """Make stdout a pipe, and give its reading end, which the body has to close."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stdout:
        before, sys.stdout = sys.stdout, stdout
        try:
            yield reading
        finally:
            sys.stdout = before


async def ends_as_its_reader_goes(body: Callable[[], Awaitable[None]]) -> None:
    """Let the reader of a body go; the body ends with `BrokenPipeError`, and that is all."""

    async def run() -> None:
        with read_by() as reader, UntilReaderGoes():
            os.close(reader)
            await body()

    with pytest.raises(BrokenPipeError):
        await run()
    task = asyncio.current_task()
    assert task is not None
    await asyncio.sleep(0.1)  # the watcher looks at the pipe on a thread, and may be late
    assert task.cancelling() == 0
