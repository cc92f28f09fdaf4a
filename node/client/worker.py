"""One worker in the hands of a client."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from grid.client.client import Client as GridClient
from grid.deadline import Deadline
from grid.errors import DeadlineExceeded, GridError, MessageTooLarge
from node.client.claims import Claim, Claims
from node.client.link import Order, WorkerLink, outcome
from node.errors import NoWorker, PoolError, WorkerLost
from node.pool_pb2 import Done, Progress
from rpc.machines.client import Client as RpcClient
from rpc.machines.payloads import Payload
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.values import to_scalar

__all__ = ["OnProgress", "WorkerRef", "get_worker"]

OnProgress = Callable[[float, str], None]

_OPEN_TIMEOUT = 5.0  # seconds
_BUSY_PAUSE = 0.02  # seconds before a worker that was just freed is asked again


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

        Cancelling it, or its timeout, drops a job that has not begun; one that has goes on in
        the worker, and its result is dropped.

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
        try:
            async with asyncio.timeout(timeout):
                return await self._run(input, 1, on_progress)
        except TimeoutError as error:
            if isinstance(error, GridError):
                raise
            raise DeadlineExceeded(f"a job of worker {self.name!r}", timeout or 0.0) from None

    async def _run(self, input: Any, attempt: int, on_progress: OnProgress | None) -> Any:  # noqa: A002
        order = Order(to_scalar(input), attempt=attempt)
        order.on_done = lambda done: self._done(order, done)
        if on_progress is not None:
            order.on_progress = _forwarded(on_progress)
        if self._lost is not None or self._link is None:
            raise self._lost or WorkerLost(self.name, "it was released")
        future = self._futures[order] = asyncio.get_running_loop().create_future()
        number = self._link.submit(order)
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
        if self._lost is not None or self._link is None:
            raise self._lost or WorkerLost(self.name, "it was released")
        remote: RpcClient[Any] = RpcClient(
            self._client, self.name, token=self._token, interval=0.05, on_payload=on_payload
        )
        await remote.start(timeout)
        self._remotes.append(remote)
        return remote.machine

    async def close(self) -> None:
        """Release the worker. Idempotent."""
        remotes, self._remotes = self._remotes, []
        await asyncio.gather(*(one.close() for one in remotes))
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()
        self._claims.release(self._claim)

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

    def _ended(self, left: list[Order], reason: GridError | None) -> None:
        text = str(reason) if reason is not None else "it has ended"
        self._lost = reason if isinstance(reason, MessageTooLarge) else WorkerLost(self.name, text)
        for future in self._futures.values():
            if not future.done():
                future.set_exception(self._lost)
        self._futures.clear()
        self._claims.release(self._claim)  # or it would get another worker, which nobody uses


async def get_worker(
    client: GridClient, claims: Claims, kind: str, name: str, timeout: float
) -> WorkerRef:
    """A worker of this client's own.

    Raises:
        NoWorker: none was free in time.
        UnknownKind, ClientLimit, PoolFailed: there will be none.
    """
    deadline = Deadline.after(timeout)
    waiting = _Waiting()
    claim = claims.open(1, False, waiting)
    try:
        async with asyncio.timeout(deadline.remaining()):
            while True:
                worker, peer = await waiting.next()
                ref = WorkerRef(worker, peer, client, name, claims, claim)
                link = await _linked(client, worker, name, ref, deadline, waiting)
                if link is not None:
                    ref._link = link
                    return ref
                claims.release(claim)
                waiting = _Waiting()
                claim = claims.open(1, False, waiting)
    except TimeoutError as error:
        claims.release(claim)
        if isinstance(error, GridError):
            raise
        raise NoWorker(kind, timeout, claims.trouble) from None
    except BaseException:
        claims.release(claim)
        raise


async def _linked(
    client: GridClient,
    worker: str,
    name: str,
    ref: WorkerRef,
    deadline: Deadline,
    waiting: _Waiting,
) -> WorkerLink | None:
    """The link to a granted worker; None if it turned out to be gone or in other hands."""
    give_up = Deadline.after(min(_OPEN_TIMEOUT, deadline.remaining()))
    while not give_up.passed and worker not in waiting.gone:
        with contextlib.suppress(GridError):
            return await WorkerLink.open(client, worker, name, ref._ended, give_up.remaining())
        await asyncio.sleep(_BUSY_PAUSE)
    return None


class _Waiting:
    """The owner of a claim for one worker, while it waits."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self._granted: deque[tuple[str, str]] = deque()
        self._error: PoolError | None = None
        self._wake = asyncio.Event()

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

    def refused(self, error: PoolError) -> None:
        """It is over."""
        self._error = error
        self._wake.set()


def _forwarded(call: OnProgress) -> Callable[[Progress], None]:
    return lambda told: call(told.fraction, told.text)
