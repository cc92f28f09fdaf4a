"""Many jobs over all workers that the pool has to give, with their results as they come."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from node.client.job_run import JobRun

__all__ = ["MapRun"]


class MapRun:
    """A run of many jobs: iterate over it with `async for`.

    Leaving the loop early drops the jobs that have not begun and lets the workers go, as soon as
    nothing refers to the run any more; leaving the block of `async with`, or `close`, does so at
    once. So does an error that the iteration raises.
    """

    # The tasks of a run refer to the `JobRun`, never to this: it is collected when it is dropped.

    def __init__(self, run: JobRun) -> None:
        self._run = run

    def __del__(self) -> None:
        self._run.abandon()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._run.next()
        finally:
            del self  # whoever keeps the traceback does not keep the run

    async def results(self) -> list[Any]:
        """All results in one list. Raises as the iteration does."""
        async with self:
            return [one async for one in self]

    async def close(self) -> None:
        """Drop what has not begun, and let the workers go. Idempotent.

        It goes on to the end also if this call is cancelled.
        """
        await self._run.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
