"""A client of one pool."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from grid.aio import Opening
from grid.client.client import Client as GridClient
from grid.deadline import Deadline
from grid.errors import ClientClosed, InvalidArgument, Retryable
from grid.numbers import check_count
from machine.core.machine import Machine
from node.client.claims import Claims
from node.client.inputs import Inputs, size_of
from node.client.job_run import JobRun
from node.client.link import order_of
from node.client.mapping import MapRun
from node.client.options import RunOptions, check_call, check_wait
from node.client.progress import OnJobProgress, RunProgress, bar_text
from node.client.states import ClientStates
from node.client.worker import OnProgress, WorkerRef, get_worker
from node.errors import NoWorker, WorkerLost
from node.worker.definition import check_kind

__all__ = ["Client"]

_RUNS = 100  # of one client, that have a worker or wait for one; later ones wait here


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

    Attributes:
        kind: of the workers.
        id: of this client, unique.
        mach: its own life, with the states `ClientStates`.
    """

    def __init__(self, client: GridClient, kind: str, *, timeout: float = 10.0) -> None:
        if not isinstance(client, GridClient):
            raise InvalidArgument("client", client, "a grid.Client")
        self.kind: str = check_kind(kind)
        self.id: str = f"{kind}-client-{secrets.token_hex(6)}"
        self._client = client
        self._timeout = check_wait(timeout)
        self._turns = asyncio.Semaphore(_RUNS)
        self.mach: Machine[ClientStates] = Machine(ClientStates, id=self.id)
        self.mach.add("Start")
        self._claims = Claims(client, kind, self.id, self.mach)
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
            ClientLimit: the client keeps as many as the pool grants to one.
            PoolFailed: workers of the kind do not start.
        """
        seconds = self._seconds(timeout)
        return Opening(lambda: self._get(Deadline.after(seconds), patient=False))

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

        Each call has a worker for itself while it lasts. Calls beyond the workers that there are,
        or that one client may have, wait for their turn; `map` does many jobs faster.

        Args:
            input: plain data or a protobuf message.
            timeout: seconds to wait for a free worker, before each attempt; by default the
                client's. The job itself may take any time.
            attempts: how often it may begin.
            on_progress: called with what the job reports.

        Raises:
            NotPlainData, MessageTooLarge: the input cannot be sent; nothing ran.
            JobFailed: the job raised.
            WorkerLost: the worker was lost in all attempts, or in one after which there was no
                other worker; the job may have run.
            NoWorker, UnknownKind, PoolFailed, NoPlace: there is no worker; nothing ran.
        """
        self._check_open()
        check_count("attempts", attempts)
        check_call("on_progress", on_progress)
        deadline = Deadline.after(self._seconds(timeout))
        order = order_of(input, self._client.max_message_bytes)
        await self._take_turn(deadline)
        lost: WorkerLost | None = None
        try:
            while True:
                async with await self._again(deadline, lost) as worker:
                    try:
                        return await worker._run(order, on_progress)
                    except WorkerLost as error:
                        lost = error.after(order.attempt)
                        if order.attempt == attempts:
                            raise lost from error
                order.attempt += 1
                deadline = Deadline.after(deadline.timeout)
        finally:
            self._turns.release()

    def map(
        self,
        inputs: Inputs,
        *,
        ordered: bool = True,
        attempts: int = 3,
        workers: int = 0,
        errors: Literal["raise", "return"] = "raise",
        on_progress: Callable[[int], None] | None = None,
        on_job_progress: OnJobProgress | None = None,
        progress: bool | str = False,
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
            attempts: how often a job may begin, if its workers are lost.
            workers: workers that it uses at most; 0: as many as the pool gives.
            errors: `"raise"` ends the run with the first job that fails; `"return"` gives a
                `Mapped` for each input, which has its result or its error.
            on_progress: called with the number of results so far.
            on_job_progress: called with what jobs report: the index of the input, the fraction
                and the text of `node.job().progress`.
            progress: True shows a bar on stderr while it is iterated, if that is a terminal;
                a text is shown before the bar. Jobs that report count by their fractions.

        Raises (while iterating):
            JobFailed, WorkerLost: a job failed, or was lost in all its attempts.
            NotPlainData, MessageTooLarge: an input cannot be sent.
            UnknownKind, PoolFailed, NoPlace: there are no workers, and will be none.
            EtcdUnavailable: etcd was away from the start, for some ten seconds.
            And what the inputs raise.
        """
        self._check_open()
        check_call("on_job_progress", on_job_progress)
        if errors not in ("raise", "return"):
            raise InvalidArgument("errors", repr(errors), "'raise' or 'return'")
        options = RunOptions(
            ordered=ordered,
            attempts=attempts,
            workers=workers,
            raises=errors == "raise",
            on_progress=on_progress,
        )
        bar = RunProgress(bar_text(progress), size_of(inputs), on_job_progress)
        return MapRun(JobRun(self._client, self._claims, self.id, inputs, options, bar))

    async def close(self) -> None:
        """End all claims, and runs with them. Idempotent.

        Workers that are still in use are free for others once they are released.
        """
        self._closed = True
        await self._claims.close()
        self.mach.remove("Start")
        self.mach.dispose()
        await self.mach.join()

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

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else check_wait(timeout)

    async def _take_turn(self, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.remaining()):
                await self._turns.acquire()
        except TimeoutError:
            why = f"{_RUNS} other runs of this client wait or have one"
            raise NoWorker(self.kind, deadline.timeout, why) from None

    async def _get(self, deadline: Deadline, *, patient: bool) -> WorkerRef:
        self._check_open()
        return await get_worker(
            self._client, self._claims, self.kind, self.id, deadline, patient=patient
        )

    async def _again(self, deadline: Deadline, lost: WorkerLost | None) -> WorkerRef:
        """A worker for an attempt; `lost` is the end of the one before, if there was one."""
        try:
            return await self._get(deadline, patient=True)
        except Retryable as error:
            if lost is None:
                raise
            # The job may have run, which an error that is safe to retry denies.
            lost.add_note(f"there was no other worker: {error}")
            raise lost from error

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed
