"""An executor of `concurrent.futures` whose jobs run on a pool of workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument
from grid.etcd import EtcdConfig
from grid.numbers import check_count
from grid.tls import TLS
from node.client.client import Client
from node.worker.definition import check_kind, definition_of
from rpc.machines.values import to_scalar

__all__ = ["Executor"]

_log = logging.getLogger("node.client")

_Job = tuple[Any, "concurrent.futures.Future[Any]"]


class Executor(concurrent.futures.Executor):
    """Runs the function of a kind on its workers, for code that knows `concurrent.futures`.

        with node.Executor("square") as executor:
            print(list(executor.map(square, range(10))))

    The function that is submitted must be the kind's own, or its name: workers have their code,
    and none is sent. A job whose worker is lost runs again, up to `attempts` times.

    It has an event loop in a thread of its own. A blocking call of it on another event loop
    blocks that.

    Args:
        kind: of the workers.
        namespace, etcd, tls: as of `grid.Client`.
        attempts: how often a job may begin.

    Raises:
        InvalidName, InvalidArgument: the kind, or `attempts`, is not possible.
    """

    def __init__(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        etcd: str | EtcdConfig | None = None,
        tls: TLS | None = None,
        attempts: int = 3,
    ) -> None:
        self._kind = check_kind(kind)
        self._attempts = check_count("attempts", attempts)
        self._make: Callable[[], GridClient] = lambda: GridClient(namespace, etcd=etcd, tls=tls)
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._shut = False
        self._error: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._more = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"pool {kind}", daemon=True)
        self._thread.start()

    def submit(
        self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Queue a job; its future has the result, or the error of `node.Client.run`.

        Raises:
            InvalidArgument: it is not the kind's function, or has not one argument.
            NotPlainData: the argument cannot be sent.
            RuntimeError: the executor is shut down.
            PoolError, GridError: the pool has failed for good; make another executor.
        """
        self._check(fn)
        if len(args) > 1 or kwargs:
            given = f"{len(args)} arguments" + (f" and {', '.join(kwargs)}" if kwargs else "")
            raise InvalidArgument("the arguments of a job", given, "one input")
        value = args[0] if args else None
        to_scalar(value)  # what cannot be sent is refused here, not in the run of all jobs
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._jobs.append((value, future))
            self._loop.call_soon_threadsafe(self._more.set)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; with `wait` return when all are done."""
        with self._lock:
            self._shut = True
            dropped = [*self._jobs] if cancel_futures else []
            if cancel_futures:
                self._jobs.clear()
            with contextlib.suppress(RuntimeError):  # the loop has ended, with an error
                self._loop.call_soon_threadsafe(self._more.set)
        for _, future in dropped:  # without the lock, which their callbacks may take in `submit`
            future.cancel()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def _check(self, function: Callable[..., Any] | str) -> None:
        known = definition_of(self._kind)
        name = getattr(function, "__name__", repr(function))
        if function == self._kind or (known is not None and function is known.function):
            return
        raise InvalidArgument(
            f"the function of an executor of {self._kind!r}",
            name,
            f"{self._kind!r} or its function",
        )

    # -- in its thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        futures: dict[int, concurrent.futures.Future[Any]] = {}
        try:
            async with self._make() as client, Client(client, self._kind) as pool:
                run = pool.map(
                    self._inputs(futures), ordered=False, errors="return", attempts=self._attempts
                )
                async for end in run:
                    _settle(futures.pop(end.index), end.error, end.value)
        except Exception as error:  # noqa: BLE001 - of the pool: every job has it
            self._fail(list(futures.values()), error)

    async def _inputs(
        self, futures: dict[int, concurrent.futures.Future[Any]]
    ) -> AsyncIterator[Any]:
        number = 0
        while True:
            while self._jobs:
                value, future = self._jobs.popleft()
                if future.set_running_or_notify_cancel():
                    futures[number] = future
                    number += 1
                    yield value
            with self._lock:
                if self._shut and not self._jobs:
                    return
                self._more.clear()
            await self._more.wait()

    def _fail(self, begun: list[concurrent.futures.Future[Any]], error: Exception) -> None:
        with self._lock:
            self._error = error
            waiting = [future for _, future in self._jobs]
            self._jobs.clear()
        for future in (*begun, *waiting):
            if not future.done():
                _settle(future, error, None)


def _settle(future: concurrent.futures.Future[Any], error: Exception | None, value: Any) -> None:
    """End a future. What its callbacks raise ends no other one, as of an executor of Python."""
    try:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:  # noqa: BLE001 - SystemExit and the like: others are caught before
        _log.exception("a callback of %r has failed", future)
