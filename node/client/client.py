"""A client of one pool."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from grid.aio import Opening
from grid.client.client import Client as GridClient
from grid.deadline import Deadline, check_timeout
from grid.errors import ClientClosed, InvalidArgument
from node.client.claims import Claims
from node.client.inputs import Inputs
from node.client.mapping import MapRun
from node.client.worker import OnProgress, WorkerRef, get_worker
from node.errors import WorkerLost
from node.worker.definition import check_kind

__all__ = ["Client"]


class Client:
    """A client of the workers of one kind.

        async with grid.Client() as client, node.Client(client, "square") as squares:
            print(await squares.run(3))

    It finds the supervisor by its name, and finds it again when it was started elsewhere;
    workers that it has go on meanwhile. When the client ends, so do its claims.

    Args:
        client: of the grid; it stays open.
        kind: of the workers.
        timeout: seconds to wait for a free worker, where a call does not say otherwise.
        concurrency: jobs that a worker runs at once, if its definition says more than 1.

    Attributes:
        kind: of the workers.
        id: of this client, unique.
    """

    def __init__(
        self, client: GridClient, kind: str, *, timeout: float = 10.0, concurrency: int = 1
    ) -> None:
        if not isinstance(client, GridClient):
            raise InvalidArgument("client", client, "a grid.Client")
        self.kind = check_kind(kind)
        self.id = f"{kind}-client-{secrets.token_hex(6)}"
        self._client = client
        self._timeout = check_timeout(timeout)
        self._concurrency = concurrency
        self._claims = Claims(client, kind, self.id)
        self._closed = False

    def __repr__(self) -> str:
        return f"<node.Client {self.kind!r}{' closed' if self._closed else ''}>"

    def worker(self, *, timeout: float | None = None) -> Opening[WorkerRef]:
        """A worker of this client's own: `async with pool.worker() as worker:`.

        While all are busy the client waits; among waiting clients the one with the fewest
        workers is served first.

        Args:
            timeout: seconds to wait for a free one; by default the client's.

        Raises (once entered or awaited):
            NoWorker: none was free in time.
            UnknownKind: no peer offers the kind.
            ClientLimit: the client has as many as the pool grants to one.
            PoolFailed: workers of the kind do not start.
        """
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        return Opening(lambda: self._get(seconds))

    async def run(
        self,
        input: Any = None,  # noqa: A002
        *,
        timeout: float | None = None,
        attempts: int = 3,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """Run one job on any worker and return its result.

        If the worker is lost the job runs again on another one: at least once. Its code sees
        the number of the attempt as `node.job().attempt`.

        Args:
            input: plain data or a protobuf message.
            timeout: seconds to wait for a free worker; by default the client's.
            attempts: how often it may begin.
            on_progress: called with what the job reports.

        Raises:
            What `worker` and `WorkerRef.run` raise.
        """
        _check_attempts(attempts)
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        deadline = Deadline.after(seconds)
        for attempt in range(1, attempts + 1):
            async with self.worker(timeout=deadline.remaining()) as worker:
                try:
                    return await worker._run(input, attempt, on_progress)
                except WorkerLost as error:
                    if attempt == attempts:
                        raise WorkerLost(error.worker, error.reason, attempt) from error
            deadline = Deadline.after(seconds)
        raise AssertionError("the last attempt returns or raises")

    def map(
        self,
        inputs: Inputs,
        *,
        ordered: bool = True,
        attempts: int = 3,
        workers: int = 0,
        errors: Literal["raise", "return"] = "raise",
        on_progress: Callable[[int], None] | None = None,
    ) -> MapRun:
        """Run a job for each input over all workers; iterate over the results.

            async for result in pool.map(range(1000)):
                ...

        Inputs are read as workers have room for them, so they may be endless. There is one
        result for each input. A job whose worker was lost, and that may have run, runs again on
        another one: at least once, `node.job().attempt` tells its code.

        Args:
            inputs: plain data or protobuf messages, from an iterable or an async one.
            ordered: give results in the order of the inputs; otherwise as they come.
            attempts: how often a job may begin.
            workers: workers that it uses at most; 0: as many as the pool gives.
            errors: `"raise"` ends the run with the first job that fails; `"return"` gives a
                `Mapped` for each input, which has its result or its error.
            on_progress: called with the number of results so far.

        Raises (while iterating):
            JobFailed, WorkerLost: a job failed, or was lost in all its attempts.
            UnknownKind, PoolFailed: there are no workers, and will be none.
            NotPlainData: an input cannot be sent.
        """
        self._check_open()
        _check_attempts(attempts)
        if errors not in ("raise", "return"):
            raise InvalidArgument("errors", errors, "'raise' or 'return'")
        return MapRun(
            self._client,
            self._claims,
            self.id,
            inputs,
            ordered=ordered,
            attempts=attempts,
            workers=workers,
            errors=errors,
            concurrency=self._concurrency,
            on_progress=on_progress,
        )

    async def close(self) -> None:
        """End all claims; workers that are still in use are free for others. Idempotent."""
        self._closed = True
        await self._claims.close()

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _get(self, timeout: float) -> WorkerRef:
        self._check_open()
        return await get_worker(self._client, self._claims, self.kind, self.id, timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed


def _check_attempts(attempts: int) -> None:
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidArgument("attempts", attempts, "a whole number from 1")
