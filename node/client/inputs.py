"""Inputs of a run of jobs: taken without waiting, from a plain iterable or an async one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from typing import Any, Protocol

from grid.errors import InvalidArgument

__all__ = ["InputSource", "Inputs", "inputs_of", "size_of"]

Inputs = Iterable[Any] | AsyncIterable[Any]

_READ_AHEAD = 16  # inputs of an async iterable that are read before they are taken


class InputSource(Protocol):
    """Inputs, of which one can be taken if there is one now.

    Attributes:
        exhausted: True once the last one was taken, or no other one shall be.
    """

    exhausted: bool

    @property
    def has_next(self) -> bool:
        """True if `take` does something now: give an input, or raise."""

    def take(self) -> Any:
        """The next input. Raises `StopIteration` at the end, and what the iterable raises."""

    async def close(self) -> None:
        """Stop reading."""


def inputs_of(inputs: Inputs, on_more: Callable[[], None]) -> InputSource:
    """The source of these inputs.

    Args:
        inputs: a plain iterable, or an async one.
        on_more: called when `has_next` turns true later.

    Raises:
        InvalidArgument: it is neither.
    """
    if isinstance(inputs, AsyncIterable):
        return _AsyncInputs(inputs, on_more)
    if isinstance(inputs, Iterable):
        return _PlainInputs(iter(inputs))
    raise InvalidArgument("inputs", inputs, "an iterable, or an async one")


def size_of(inputs: Inputs) -> int | None:
    """The number of the inputs; None if it is not known."""
    try:
        return len(inputs) if isinstance(inputs, Sized) else None
    except OverflowError:  # of a range
        return None


class _PlainInputs:
    """Inputs of a plain iterable."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.exhausted = False
        self._iterator = iterator

    @property
    def has_next(self) -> bool:
        """True until the end."""
        return not self.exhausted

    def take(self) -> Any:
        """The next input."""
        try:
            return next(self._iterator)
        except BaseException:
            self.exhausted = True
            raise

    async def close(self) -> None:
        """Take no more; the iterator is its owner's."""
        self.exhausted = True


class _AsyncInputs:
    """Inputs of an async iterable, which a task reads a little ahead."""

    def __init__(self, inputs: AsyncIterable[Any], on_more: Callable[[], None]) -> None:
        self.exhausted = False
        self._inputs = inputs
        self._on_more = on_more
        self._read: deque[Any] = deque()
        self._error: BaseException | None = None
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def has_next(self) -> bool:
        """True if one was read, or the end was."""
        if self._reading is None and not self.exhausted:
            self._reading = asyncio.create_task(self._fill(), name="map reads its inputs")
        return bool(self._read) or (self._error is not None and not self.exhausted)

    def take(self) -> Any:
        """The next input."""
        if self._read:
            self._room.set()
            return self._read.popleft()
        self.exhausted = True
        raise self._error or StopIteration

    async def close(self) -> None:
        """Stop reading, and close the iterator."""
        self.exhausted = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _fill(self) -> None:
        iterator: AsyncIterator[Any] = aiter(self._inputs)
        try:
            async for one in iterator:
                self._read.append(one)
                self._on_more()
                while len(self._read) >= _READ_AHEAD:
                    self._room.clear()
                    await self._room.wait()
            self._error = StopIteration()
        except asyncio.CancelledError as error:
            if self.exhausted:  # by `close`
                raise
            self._error = error
        except Exception as error:  # noqa: BLE001 - of the inputs, raised by `take`
            self._error = error
        finally:
            await self._closed(iterator)
        self._on_more()

    async def _closed(self, iterator: AsyncIterator[Any]) -> None:
        close = getattr(iterator, "aclose", None)
        try:
            if close is not None:
                await close()
        except Exception as error:  # noqa: BLE001 - of the inputs, as well
            self._error = error
