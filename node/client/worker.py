"""One worker in the hands of a client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from grid.client.client import Client as GridClient
from grid.deadline import Deadline
from grid.errors import DeadlineExceeded, GridError
from node.client.claims import Claim, Claims
from node.client.link import Order, WorkerLink, order_of, outcome
from node.client.options import check_call, check_wait
from node.errors import NoWorker, WorkerLost, to_future
from node.pool_pb2 import Done, Progress
from rpc.machines.client import Client as RpcClient
from rpc.machines.payloads import Payload
from rpc.machines.remote_machine import RemoteMachine

__all__ = ["OnProgress", "WorkerRef", "get_worker"]

OnProgress = Callable[[float, str], None]


class WorkerRef:
    """A worker that serves this client alone, until it is closed.

    Attributes:
        name: of the worker.
        peer: where its agent runs.
    """

    def __init__(
        self, name: str, peer: str, client: GridClient, token: str, claims: Claims, claim: Claim
    ) -> None:
        self.name = name
        self.peer = peer
        self._client = client
        self._token = token
        self._remotes: list[RpcClient[Any]] = []
        self._claims = claims
        self._claim = claim
        self._link: WorkerLink | None = None
        self._futures: dict[Order, asyncio.Future[Done]] = {}
        self._lost: GridError | None = None
        self._explaining: asyncio.Task[None] | None = None  # of why it was lost
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<worker {self.name} on {self.peer}{' lost' if self._lost else ''}>"

    async def run(
        self,
        input: Any = None,  # noqa: A002
        *,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """Run one job and return its result. Jobs of one worker run in their order.

        Cancelling it, or its timeout, cancels the job. A plain function that goes on for the
        pool's `grace` costs the worker, which is then lost.

        Args:
            input: plain data or a protobuf message.
            timeout: seconds for the job and those before it; by default none.
            on_progress: called with what the job reports.

        Raises:
            NotPlainData, MessageTooLarge: the input cannot be sent; nothing ran.
            JobFailed: the job raised.
            WorkerLost: the worker ended; the job may have run. Ask for another worker.
            DeadlineExceeded: no result in time.
        """
        check_call("on_progress", on_progress)
        if timeout is not None:
            check_wait(timeout)
        order = order_of(input, self._client.max_message_bytes)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._run(order, on_progress)
        except TimeoutError:
            if not limit.expired():  # of `on_progress`, or of the worker
                raise
            raise DeadlineExceeded(f"a job of worker {self.name!r}", timeout or 0.0) from None

    async def _run(self, order: Order, on_progress: OnProgress | None) -> Any:
        order.on_done = lambda done: self._done(order, done)
        if on_progress is not None:
            order.on_progress = lambda told: self._reported(order, told, on_progress)
        if self._explaining is not None:
            await asyncio.wait([self._explaining])
        if self._lost is not None or self._link is None or self._closing is not None:
            raise self._lost or WorkerLost(self.name, "it was released")
        number = self._link.submit(order)
        future = self._futures[order] = asyncio.get_running_loop().create_future()
        try:
            return outcome(await future)
        finally:
            if self._futures.pop(order, None) is not None and self._link is not None:
                self._link.cancel(number)

    async def machine(
        self, *, on_payload: Callable[[Payload], object] | None = None, timeout: float = 5.0
    ) -> RemoteMachine[Any]:
        """The worker as a remote machine, until the worker is released.

        A worker that is a machine may be mutated by its client; others are read only.

        Args:
            on_payload: called with each payload that the worker sends.
            timeout: seconds to connect.

        Raises:
            NotConnected, GridError: it cannot be reached.
        """
        if self._lost is not None or self._link is None or self._closing is not None:
            raise self._lost or WorkerLost(self.name, "it was released")
        remote: RpcClient[Any] = RpcClient(
            self._client, self.name, token=self._token, interval=0.05, on_payload=on_payload
        )
        self._remotes.append(remote)
        try:
            await remote.start(timeout)
        except BaseException:
            self._remotes.remove(remote)
            await remote.close()
            raise
        return remote.machine

    async def close(self) -> None:
        """Release the worker. Idempotent; it is released in the end also if this is cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"release of {self.name}")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        link, self._link = self._link, None
        closing = [one.close() for one in self._remotes]
        if self._explaining is not None:
            self._explaining.cancel()
            closing.append(_ended(self._explaining))
        if link is not None:
            closing.append(link.close())
        try:
            ends = await asyncio.gather(*closing, return_exceptions=True)
        finally:
            self._claims.release(self._claim)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _done(self, order: Order, done: Done) -> None:
        future = self._futures.pop(order, None)
        if future is not None and not future.done():
            future.set_result(done)

    def _reported(self, order: Order, told: Progress, call: OnProgress) -> None:
        try:
            call(told.fraction, told.text)
        except Exception as error:  # noqa: BLE001 - of the caller's function: `run` raises it
            future = self._futures.get(order)
            if future is not None and not future.done():
                future.set_exception(to_future(error))

    def _ended(self, left: list[Order], reason: GridError | None) -> None:
        text = str(reason) if reason is not None else "it has ended"
        self._lost = WorkerLost(self.name, text)
        if reason is None:
            self._fail()
        else:
            explaining = self._explain(text)
            self._explaining = asyncio.create_task(explaining, name=f"end of {self.name}")
        self._claims.release(self._claim)  # or it would get another worker, which would stay unused

    async def _explain(self, text: str) -> None:
        """Wait a moment for the reason of the end before the jobs fail with it."""
        try:
            self._lost = await self._claims.lost(self.name, text)
        finally:
            self._fail()

    def _fail(self) -> None:
        for future in self._futures.values():
            if not future.done():
                future.set_exception(self._lost or WorkerLost(self.name))
        self._futures.clear()


async def get_worker(
    client: GridClient, claims: Claims, kind: str, name: str, deadline: Deadline, *, patient: bool
) -> WorkerRef:
    """A worker of this client's own.

    Args:
        client: of the grid.
        claims: of the client of the pool.
        kind: of the worker.
        name: of the client of the pool.
        deadline: for a free one.
        patient: True to wait while the client has as many as it may have.

    Raises:
        NoWorker: none was free in time.
        UnknownKind, ClientLimit, PoolFailed: there will be none.
    """
    waiting = _Waiting()
    claim = claims.open(1, False, waiting, patient=patient)
    try:
        async with asyncio.timeout(deadline.remaining()):
            while True:
                worker, peer = await waiting.next()
                ref = WorkerRef(worker, peer, client, name, claims, claim)
                ref._link = await WorkerLink.open(
                    client, worker, name, ref._ended, waiting.wants(worker), deadline.remaining()
                )
                if ref._link is not None:
                    return ref
                claims.release(claim)
                waiting = _Waiting()
                claim = claims.open(1, False, waiting, patient=patient)
    except TimeoutError as error:
        claims.release(claim)
        if isinstance(error, GridError):
            raise
        raise NoWorker(kind, deadline.timeout, claims.trouble) from None
    except BaseException:
        claims.release(claim)
        raise


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


class _Waiting:
    """The owner of a claim for one worker, while it waits."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self._granted: deque[tuple[str, str]] = deque()
        self._error: GridError | None = None
        self._wake = asyncio.Event()

    def wants(self, worker: str) -> Callable[[], bool]:
        """A function that is true until the worker is gone."""
        return lambda: worker not in self.gone

    async def next(self) -> tuple[str, str]:
        """The name and the peer of a granted worker. Raises what the claim was refused for."""
        while True:
            if self._error is not None:
                raise self._error
            while self._granted:
                worker, peer = self._granted.popleft()
                if worker not in self.gone:
                    return worker, peer
            self._wake.clear()
            await self._wake.wait()

    def granted(self, worker: str, peer: str) -> None:
        """It has a worker."""
        self._granted.append((worker, peer))
        self._wake.set()

    def lost(self, worker: str, reason: str) -> None:
        """A worker has ended."""
        self.gone.add(worker)

    def recalled(self, worker: str) -> None:
        """Nothing: a worker that serves one client alone is not recalled."""

    def refused(self, error: GridError) -> None:
        """It is over."""
        self._error = error
        self._wake.set()
