"""What reaches a machine from elsewhere: errors, and functions that want a turn."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from machine.core.base import check_callable
from machine.core.mutation import DropReason, Event, Mutation, Source, source_of
from machine.core.queue import Queue
from machine.errors import EvalTimeout, InvalidArgument
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION
from machine.waits.result import CANCELED, Result

__all__ = ["Reporting"]

From = Event | Source | None


class Reporting(Queue):
    """Errors of the machine, and work that is done between transitions."""

    __slots__ = ()

    # -- errors --------------------------------------------------------------------------

    def add_err(
        self,
        error: BaseException | None,
        *,
        args: Mapping[str, Any] | None = None,
        source: From = None,
    ) -> Result:
        """Make an error the machine's: `err` holds it, and `Exception` becomes active.

        Never refused for a full queue or a backoff. None and CancelledError
        are no errors, and canceled.

        Args:
            error: handlers of `Exception` get it as `error`.
            args: more for these handlers.
        """
        return self._add_error((EXCEPTION,), error, args, source)

    def add_err_state(
        self,
        state: str,
        error: BaseException | None,
        *,
        args: Mapping[str, Any] | None = None,
        source: From = None,
    ) -> Result:
        """As `add_err`, and activate a state for this kind of error as well."""
        return self._add_error((*self._names((state,)), EXCEPTION), error, args, source)

    def _add_error(
        self, states: tuple[str, ...], error: BaseException | None, args: Any, source: Any
    ) -> Result:
        if error is None or isinstance(error, asyncio.CancelledError):
            return CANCELED
        if not isinstance(error, BaseException):
            raise InvalidArgument(
                f"an error is an exception, not {type(error).__name__}", argument="error"
            )
        given = dict(self._mutation(Kind.ADD, (), args, None).values)
        self._record(error)
        if self._disposing:
            return self._refuse(Kind.ADD, states, args, DropReason.DISPOSED)
        mutation = Mutation(Kind.ADD, tuple(dict.fromkeys(states)), {**given, "error": error})
        mutation.source = source_of(source)
        if self._busy.acquire(False):
            if not self._queue:
                self._queue_tick += 1
                return self._drain_with(mutation)
            self._busy.release()
        return self._enqueue(mutation, limited=False)

    @contextlib.contextmanager
    def catching(
        self, state: str = EXCEPTION, *, args: Mapping[str, Any] | None = None
    ) -> Iterator[None]:
        """What the body raises becomes the machine's error, and goes no further.

        For work outside of handlers. KeyboardInterrupt and CancelledError pass.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - this is what it is for
            self.add_err_state(state, error, args=args)

    # -- serialised work -----------------------------------------------------------------

    def eval(
        self, source: str, function: Callable[[], object], *, timeout: float | None = None
    ) -> bool:
        """Run a function while no transition runs and no handler.

        Args:
            source: who asks, for logs.
            function: must be quick; what it raises comes out here.
            timeout: seconds to wait for a turn; `eval_timeout` by default.

        Returns:
            True if it ran. False if it did not have a turn in time (then it
            never runs), in a handler of this machine (which would wait for
            itself), and on a disposed machine.
        """
        if not isinstance(source, str) or not source:
            raise InvalidArgument("eval needs to know who asks", argument="source")
        check_callable(function, "function")
        if self._disposing:
            return False
        if self._thread == threading.get_ident():
            if self._transition is not None and self._running:
                self._add_error((EXCEPTION,), _nested(self.id, source), None, None)
            return False
        self._note("ops", f"[eval] {source}")
        turn = _Turn(function)
        mutation = Mutation(Kind.ADD, ())
        mutation._function = turn.take
        result = self._prepend(mutation)
        seconds = self._options.eval_timeout if timeout is None else timeout
        if result.queued:
            with contextlib.suppress(TimeoutError):
                result.wait(seconds)
        ran = turn.end()
        if not ran:
            self._note("ops", f"[eval:timeout] {source}")
            self._remember_late(EvalTimeout(source, seconds, machine=self.id))
        return ran


class _Turn:
    """A function that runs once, unless it was given up before."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._lock = threading.Lock()  # held for good by who comes first
        self._ran = False
        self._error: BaseException | None = None

    def take(self) -> None:
        if self._lock.acquire(False):
            self._ran = True
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - raised at the one who asked
                self._error = error

    def end(self) -> bool:
        self._lock.acquire(False)
        if self._error is not None:
            raise self._error
        return self._ran


def _nested(machine: str, source: str) -> InvalidArgument:
    return InvalidArgument(
        f"eval {source!r} inside a handler would wait for itself",
        machine=machine,
        hint="Call the function directly: a handler has the machine to itself.",
    )
